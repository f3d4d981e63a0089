"""Autograd: retained graphs, saved gradients, second derivatives, grad mode, autocast, vmap."""

import pytest
import torch

import hhd_kernels as hk
from hhd_kernels import backend as choice
from kernels.calls import differentiable, every, targets_of, value_and_gradient
from kernels.samples import DEVICE, FUSED, loss_setup, random_maps, tensor

SETUP = loss_setup(2)
NAMES = sorted(differentiable(SETUP))
DOUBLE = loss_setup(3, (1, 2, 5, 4), (3, 3), dtypes=(torch.float64,) * 3)


def upstream_of(value: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
    return torch.full_like(value, factor)


@pytest.mark.parametrize("name", NAMES)
def test_a_retained_graph_gives_the_same_gradient_again(backend: str, name: str) -> None:
    x = SETUP.logits.clone().requires_grad_()
    value = differentiable(SETUP)[name](x)
    first = torch.autograd.grad(value, x, upstream_of(value), retain_graph=True)[0]
    kept = first.clone()
    doubled = torch.autograd.grad(value, x, upstream_of(value, 2.0), retain_graph=True)[0]
    again = torch.autograd.grad(value, x, upstream_of(value))[0]
    assert torch.equal(first, kept)
    assert torch.equal(again, kept)
    torch.testing.assert_close(doubled, 2 * kept)


@pytest.mark.parametrize("name", NAMES)
def test_writing_into_a_gradient_is_harmless_or_refused(backend: str, name: str) -> None:
    """What a graph keeps may be handed out, but then autograd must notice a write to it."""
    x = SETUP.logits.clone().requires_grad_()
    value = differentiable(SETUP)[name](x)
    value.backward(upstream_of(value), retain_graph=True)
    assert x.grad is not None
    kept = x.grad.clone()
    x.grad.zero_()
    assert torch.equal(
        torch.autograd.grad(value, x, upstream_of(value), retain_graph=True)[0], kept
    )
    torch.autograd.grad(value, x, upstream_of(value), retain_graph=True)[0].fill_(torch.nan)
    try:
        again = torch.autograd.grad(value, x, upstream_of(value))[0]
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)  # noqa: PT017
        return
    assert torch.equal(again, kept)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_batched_upstream_gradients(backend: str, name: str) -> None:
    """As of torch.autograd.functional.jacobian(vectorize=True); the first pass may take them."""
    x = SETUP.logits.clone().requires_grad_()
    value = differentiable(SETUP)[name](x)
    upstream = torch.stack([upstream_of(value, factor) for factor in (1.0, 2.0)])
    (got,) = torch.autograd.grad(value, x, upstream, retain_graph=True, is_grads_batched=True)
    for grad, factor in zip(got, upstream, strict=True):
        torch.testing.assert_close(grad, torch.autograd.grad(value, x, factor, True)[0])


@pytest.mark.parametrize("name", NAMES)
def test_backward_accumulates(backend: str, name: str) -> None:
    x = SETUP.logits.clone().requires_grad_()
    for _ in range(2):
        value = differentiable(SETUP)[name](x)
        value.backward(upstream_of(value))
    _, once = value_and_gradient(lambda v: differentiable(SETUP)[name](v).sum() * 1.0, SETUP.logits)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, -2 * once)


@pytest.mark.parametrize("fused", FUSED)
def test_a_factor_of_1_leaves_the_gradient_alone(fused: str) -> None:
    """Not even a signalling NaN is quieted, which any arithmetic would do to it."""
    bits = torch.full((2, 3, 9, 7), 0x7F800001, dtype=torch.int32)
    grad = bits.clone().view(torch.float32)
    with hk.use_backend(fused):
        ops = choice.ops("hhd_loss", grad)
    ops.loss_backward_(grad, torch.tensor(1.0))
    assert torch.equal(grad.view(torch.int32), bits)
    ops.loss_backward_(grad, torch.tensor(2.0))
    assert not (grad.view(torch.int32) == bits).any()


@pytest.mark.parametrize("name", sorted(every(SETUP)))
def test_inputs_are_never_written(backend: str, name: str) -> None:
    setup = loss_setup(2)
    before = [None if value is None else value.clone() for value in setup]
    value_and_gradient(every(setup)[name], setup.logits)
    for one, two in zip(setup, before, strict=True):
        assert one is None or (two is not None and torch.equal(one, two))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fused", FUSED)
def test_second_derivatives_are_refused_by_name(fused: str, name: str) -> None:
    x = SETUP.logits.clone().requires_grad_()
    with hk.use_backend(fused):
        value = differentiable(SETUP)[name](x)
        (grad,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        if not name.startswith("crop") and name != "normalize none":
            with pytest.raises(RuntimeError, match=r"hhd_kernels\.\w+: second derivative"):
                torch.autograd.grad(grad.square().sum(), x)
            return
        # What is linear in the maps has a second derivative of zero: right, or refused.
        try:
            (second,) = torch.autograd.grad(grad.square().sum(), x, allow_unused=True)
        except RuntimeError:
            return
        assert second is None or not second.any()


@pytest.mark.parametrize(
    "name", ["normalize l2", "normalize softmax", "soft_argmax", "crop bilinear", "hhd_loss kl"]
)
def test_second_derivatives_of_the_reference(name: str) -> None:
    x = DOUBLE.logits.clone().requires_grad_()
    with hk.use_backend("reference"):
        assert torch.autograd.gradgradcheck(differentiable(DOUBLE)[name], (x,))


@pytest.mark.parametrize("name", NAMES)
def test_no_graph_without_grad_mode(backend: str, name: str) -> None:
    x = SETUP.logits.clone().requires_grad_()
    call = differentiable(SETUP)[name]
    with torch.no_grad():
        without = call(x)
    assert not without.requires_grad
    with torch.inference_mode():
        assert torch.equal(call(SETUP.logits), without)
    assert not call(SETUP.logits).requires_grad
    assert torch.equal(call(x), without)


@pytest.mark.parametrize("name", NAMES)
def test_backward_runs_on_what_ran_forward(backend: str, name: str) -> None:
    """Leaving `use_backend` before the backward pass changes nothing."""
    _, expected = value_and_gradient(differentiable(SETUP)[name], SETUP.logits)
    x = SETUP.logits.clone().requires_grad_()
    value = differentiable(SETUP)[name](x)
    upstream = torch.linspace(-1.0, 2.0, value.numel(), dtype=value.dtype).view(value.shape)
    with hk.use_backend("reference"):
        (grad,) = torch.autograd.grad(value, x, upstream)
    assert torch.equal(grad, expected)


@pytest.mark.parametrize("name", sorted(every(SETUP)))
def test_autocast_changes_nothing(backend: str, name: str) -> None:
    expected = value_and_gradient(every(SETUP)[name], SETUP.logits)
    with torch.autocast(DEVICE, torch.bfloat16):
        got = value_and_gradient(every(SETUP)[name], SETUP.logits)
    for one, two in zip(got, expected, strict=True):
        assert one.dtype == two.dtype
        assert torch.equal(one, two)


def test_bf16_logits_beside_float32_targets_under_autocast(backend: str) -> None:
    layer = torch.nn.Conv2d(4, 3, 1)
    features = tensor(random_maps(5, (2, 4, 16, 12)))
    with torch.autocast(DEVICE, torch.bfloat16):
        logits = layer(features)
        assert logits.dtype == torch.bfloat16
        loss = hk.IntegralHHDLoss()(logits, targets_of(SETUP), SETUP.target_coords).loss
    loss.backward()
    assert loss.dtype == torch.float32
    assert layer.weight.grad is not None
    assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize("name", sorted(every(SETUP)))
def test_vmap_is_right_or_refused(backend: str, name: str) -> None:
    call = every(SETUP)[name]
    stacked = torch.stack([SETUP.logits, SETUP.logits.flip(0)])
    try:
        got = torch.vmap(call)(stacked)
    except (RuntimeError, NotImplementedError, ValueError, TypeError):
        return
    expected = torch.stack([call(stacked[0]), call(stacked[1])])
    torch.testing.assert_close(got, expected)


def test_functional_gradients_of_the_loss(backend: str) -> None:
    """torch.func.grad, or a refusal, but not a wrong gradient."""
    call = differentiable(SETUP)["hhd_loss kl"]
    _, expected = value_and_gradient(lambda x: -call(x), SETUP.logits)
    try:
        got = torch.func.grad(call)(SETUP.logits)
    except (RuntimeError, NotImplementedError):
        return
    torch.testing.assert_close(got, expected)
