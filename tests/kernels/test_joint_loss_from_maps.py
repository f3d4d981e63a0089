"""Live teacher maps: one op makes their targets and takes them, and is what two ops are."""

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import hhd_kernels as hk
from kernels.samples import DEVICE, Setup, loss_setup, random_maps, tensor

SHAPE = (2, 5, 16, 12)
FORMS: dict[str, dict[str, Any]] = {
    "kl": {},
    "floor": {"floor": 0.2},
    "debiased": {"locate": "debiased", "sampling": "bilinear"},
    "official": {"reduction": "official", "window": (5, 8)},
    "squares": {"divergence": "sse", "normalize": ("l2", "l2"), "locate": "published"},
    "no coordinates": {"coordinate_loss": "none"},
}
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Seen(TorchDispatchMode):
    """Which of our ops ran."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func.namespace.startswith("hhd"):
            self.ops.append(func._opname)
        return func(*args, **(kwargs or {}))


def teacher_of(setup: Setup, dtype: torch.dtype = torch.float32) -> Tensor:
    return tensor(abs(random_maps(7, tuple(setup.logits.shape), "peaked")), dtype)


def leaf_of(setup: Setup) -> Tensor:
    return setup.logits.clone().requires_grad_()


@pytest.mark.parametrize("weights", ["none", "one", "two"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_as_from_targets(backend: str, dtype: torch.dtype, form: str, weights: str) -> None:
    """Results and gradients, scaled by what comes from above."""
    setup = loss_setup(3, SHAPE, dtypes=(dtype, torch.float32, torch.float32))
    teacher, loss = teacher_of(setup), hk.IntegralHHDLoss(**FORMS[form])
    given = {
        "none": (None, None),
        "one": (setup.weight, None),
        "two": (setup.weight, setup.weight.flip(0) + 1),
    }[weights]
    found = []
    for taught in (teacher, loss.targets(teacher)):
        logits = leaf_of(setup)
        result = loss(logits, taught, setup.target_coords, *given)
        (3 * result.loss).backward()
        again, grad = loss.loss_and_grad(setup.logits, taught, setup.target_coords, *given)
        found.append((*result, logits.grad, *again, grad))
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_the_teacher_has_its_own_dtype(backend: str, dtype: torch.dtype) -> None:
    setup, loss = loss_setup(4, SHAPE), hk.IntegralHHDLoss()
    teacher = teacher_of(setup, dtype)
    found = loss(setup.logits, teacher, setup.target_coords).loss
    expected = loss(setup.logits, loss.targets(teacher), setup.target_coords).loss
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_one_op_runs() -> None:
    setup, loss = loss_setup(5, SHAPE), hk.IntegralHHDLoss()
    teacher = teacher_of(setup)
    with hk.use_backend(DEVICE), Seen() as seen:
        result = loss(leaf_of(setup), teacher, setup.target_coords)
        result.loss.backward()
        loss.loss_and_grad(setup.logits, teacher, setup.target_coords)
    assert seen.ops == ["joint_loss_from_maps", "loss_backward_", "joint_loss_from_maps"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_maps_are_not_kept(backend: str, dtype: torch.dtype) -> None:
    """A teacher's memory is free, or its next answer's, before the backward pass."""
    setup = loss_setup(6, SHAPE, dtypes=(dtype, torch.float32, torch.float32))
    loss, logits, teacher = hk.IntegralHHDLoss(), leaf_of(setup), teacher_of(setup)
    expected = loss.loss_and_grad(setup.logits, teacher, setup.target_coords)[1]
    result = loss(logits, teacher, setup.target_coords)
    teacher.zero_()
    kept = weakref.ref(teacher)
    del teacher
    gc.collect()
    assert kept() is None
    result.loss.backward()
    torch.testing.assert_close(logits.grad, expected)


def test_the_upstream_factor_has_a_derivative(backend: str) -> None:
    """As a gradient penalty's weight has; the logits have no second one, but by the reference."""
    setup, loss = loss_setup(8, SHAPE), hk.IntegralHHDLoss()
    teacher, factor = teacher_of(setup), torch.tensor(2.0, requires_grad=True)
    norms = []
    for taught in (teacher, loss.targets(teacher)):
        logits = leaf_of(setup)
        scaled = factor.to(logits.device) * loss(logits, taught, setup.target_coords).loss
        (grad,) = torch.autograd.grad(scaled, logits, create_graph=True)
        norms.append(torch.autograd.grad(grad.square().sum(), factor)[0])
    torch.testing.assert_close(*norms)


def test_a_teacher_that_learns_gets_nothing(backend: str) -> None:
    setup, loss = loss_setup(9, SHAPE), hk.IntegralHHDLoss()
    teacher, logits = teacher_of(setup).requires_grad_(), leaf_of(setup)
    loss(logits, teacher, setup.target_coords).loss.backward()
    assert teacher.grad is None
    assert logits.grad is not None


def test_maps_of_inference_mode(backend: str) -> None:
    setup, loss = loss_setup(10, SHAPE), hk.IntegralHHDLoss()
    with torch.inference_mode():
        teacher = teacher_of(setup) * 1
    logits = leaf_of(setup)
    loss(logits, teacher, setup.target_coords).loss.backward()
    assert logits.grad is not None


def test_no_persons(backend: str) -> None:
    loss = hk.IntegralHHDLoss()
    logits = torch.zeros(0, 5, 8, 6, device=loss_setup().logits.device, requires_grad=True)
    result = loss(logits, logits.detach(), logits.new_zeros(0, 5, 2), logits.new_zeros(0, 5))
    result.loss.backward()
    assert result.loss == 0
    assert logits.grad is not None
    assert logits.grad.shape == logits.shape
