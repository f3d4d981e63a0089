"""Same input, same bits: repeats, thread counts, batch size; and every output is written."""

from collections.abc import Iterator

import pytest
import torch

import hhd_kernels as hk
from kernels.calls import differentiable, every, value_and_gradient
from kernels.samples import BORDERS, FUSED, loss_setup, random_maps, tensor

SETUP = loss_setup(2, (5, 3, 33, 27))
NAMES = sorted(every(SETUP))


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def poisoned() -> Iterator[None]:
    """Fresh tensors are filled with NaN, so that what an op leaves unwritten shows."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", NAMES)
def test_repeats_are_bit_equal(backend: str, name: str) -> None:
    call = every(SETUP)[name]
    first = value_and_gradient(call, SETUP.logits)
    for _ in range(3):
        again = value_and_gradient(call, SETUP.logits.clone())
        assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.usefixtures("threads")
def test_thread_counts_are_bit_equal(fused: str, name: str) -> None:
    call = every(SETUP)[name]
    answers = []
    with hk.use_backend(fused):
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            answers.append(value_and_gradient(call, SETUP.logits))
    for other in answers[1:]:
        assert all(torch.equal(one, two) for one, two in zip(answers[0], other, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("poisoned")
def test_every_output_is_written(backend: str, name: str) -> None:
    value, grad = value_and_gradient(every(SETUP)[name], SETUP.logits)
    assert torch.isfinite(value).all()
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.usefixtures("poisoned")
def test_joints_of_no_weight_are_written_too(backend: str, weight: float, border: str) -> None:
    logits = tensor(random_maps(3, (2, 2, 6, 6))).requires_grad_()
    targets = hk.teacher_targets(logits.detach(), (7, 7), border=border)
    weights = torch.tensor([[weight, 0.0], [0.0, weight]])
    loss = hk.hhd_loss(logits, targets, weights, border=border)
    (grad,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(grad).all()
    assert not grad[0, 1].any()


@pytest.mark.parametrize("name", sorted(differentiable(SETUP)))
@pytest.mark.parametrize("fused", FUSED)
def test_a_map_does_not_depend_on_its_neighbours(fused: str, name: str) -> None:
    """A batch cut to one instance gives that instance the same bits."""
    if "loss" in name:
        pytest.skip("a loss is one number for the batch")
    logits = SETUP.logits
    with hk.use_backend(fused):
        whole = differentiable(SETUP)[name](logits)
        part = SETUP._replace(centers=SETUP.centers[3:4], windows=SETUP.windows[3:4])
        alone = differentiable(part)[name](logits[3:4])
    assert torch.equal(whole[3:4], alone)
