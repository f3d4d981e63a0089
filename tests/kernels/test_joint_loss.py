"""joint_loss and joint_loss_and_grad: terms, total and gradient against the oracle."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hhd_kernels as hk
import oracle
from kernels import eager
from kernels.budget import check_gradient, check_value
from kernels.calls import targets_of
from kernels.samples import (
    COORDINATE_LOSSES,
    HHD_FORMS,
    LAYOUT_NAMES,
    MIXTURES,
    SEEDS,
    WINDOWS,
    Setup,
    accumulate,
    as_array,
    has_layout_of,
    loss_setup,
    map_shapes,
)
from kernels.test_hhd_loss import gradient_terms as hhd_terms
from kernels.test_hhd_loss import loss_terms as hhd_loss_terms
from kernels.test_hhd_loss import share_of_a_joint


def call(
    setup: Setup, target: torch.Tensor | None, teacher_weight: torch.Tensor | None, **options: Any
) -> Any:
    """The op's answer, the oracle's, and eager's loss."""
    logits = setup.logits.requires_grad_()
    arguments = (targets_of(setup), target, setup.weight, teacher_weight)
    got = hk.joint_loss(logits, *arguments, **options)
    locate = options.pop("locate", "peak")
    beta = options.get("beta", 10.0)
    window = tuple(setup.windows.shape[2:])
    at = hk.locate_student(logits, setup.centers, locate, beta=beta, window=window)
    numbers = [
        None if value is None else as_array(value)
        for value in (setup.centers, setup.windows, target, setup.weight, teacher_weight)
    ]
    exact = oracle.joint_loss(as_array(logits), *numbers, student_centers=as_array(at), **options)
    usual = _eager(logits, setup, at, target, teacher_weight, options)
    return got, exact, usual


def _eager(
    logits: torch.Tensor,
    setup: Setup,
    at: torch.Tensor,
    target: torch.Tensor | None,
    teacher_weight: torch.Tensor | None,
    options: dict[str, Any],
) -> torch.Tensor:
    weight = setup.weight if teacher_weight is None else teacher_weight
    total = options.get("hhd_weight", 1.0) * eager.hhd_loss(
        logits, setup.centers, at, setup.windows, weight, **options
    )
    if target is None:
        return total
    unit = options.get("coordinate_unit", 2.0)
    height, width = logits.shape[2:]
    coordinate = eager.coordinate_loss(
        eager.soft_argmax(logits, options.get("beta", 10.0)),
        target,
        setup.weight,
        kind=options.get("coordinate_loss", "l1"),
        unit=(width, height) if unit == "map" else (unit, unit),
        transition=options.get("transition", 1.0),
        reduction=options.get("reduction", "mean"),
    )
    return total + options.get("coordinate_weight", 1.0) * coordinate


def gradient_terms(setup: Setup, teacher_weight: torch.Tensor | None, **options: Any) -> float:
    """The size of what a pixel's gradient is a difference of: hhd_loss's own, and positions."""
    beta, reduction = options.get("beta", 10.0), options.get("reduction", "mean")
    form = (options.get("divergence", "kl"), options.get("normalize", "softmax"), "peak")
    weight = setup.weight if teacher_weight is None else teacher_weight
    eps = options.get("eps", 1e-6)
    hhd = hhd_terms(setup, weight, form, beta, reduction=reduction, eps=eps)
    share = share_of_a_joint(setup.weight, setup.logits.shape, reduction)
    p = oracle.normalize(as_array(setup.logits), "softmax", beta=beta).max()
    unit = options.get("coordinate_unit", 2.0)
    side = max(setup.logits.shape[2:])
    slope = side if options.get("coordinate_loss") == "l2" else 1.0
    return hhd + share * beta * p * side * slope / (side if unit == "map" else unit)


def check(
    backend: str,
    setup: Setup,
    *,
    labelled: bool = True,
    own_weight: bool = True,
    teacher_weight: torch.Tensor | None = None,
    **options: Any,
) -> None:
    target = setup.target_coords if labelled else None
    if teacher_weight is None and own_weight and setup.weight is not None:
        teacher_weight = setup.weight.flip(1) + 0.5
    got, exact, usual = call(setup, target, teacher_weight, **options)
    logits = setup.logits
    assert isinstance(got, hk.JointLoss)
    assert {value.dtype for value in got} == {accumulate(logits.dtype)}
    assert [value.requires_grad for value in got] == [True, False, False, False, False]
    (grad,) = torch.autograd.grad(got.loss, logits)
    (usual_grad,) = torch.autograd.grad(usual, logits)
    assert has_layout_of(grad, logits, backend)
    side = float(max(logits.shape[2:]))
    unit = options.get("coordinate_unit", 2.0)
    weight = setup.weight if teacher_weight is None else teacher_weight
    hhd = {"divergence": "kl"} | options
    terms = 2 * max(side / (side if unit == "map" else unit), hhd_loss_terms(setup, weight, **hhd))
    check_value(got.loss, np.array(exact.loss), usual.detach(), "loss", terms=terms)
    for name in ("coordinate_loss", "hhd_loss"):
        expected = np.array(getattr(exact, name))
        value = getattr(got, name)
        check_value(value, expected, torch.from_numpy(expected), name, terms=terms)
    coords = eager.soft_argmax(logits, options.get("beta", 10.0))
    check_value(got.coords, exact.coords, coords, "coords", terms=side)
    terms = gradient_terms(setup, teacher_weight, **options)
    check_gradient(grad, exact.grad, usual_grad, terms=terms)


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
@pytest.mark.parametrize("kind", COORDINATE_LOSSES)
@pytest.mark.parametrize("unit", [2.0, "map"])
def test_dtypes(
    backend: str, unit: float | str, kind: str, mixture: tuple[torch.dtype, ...]
) -> None:
    setup = loss_setup(3, dtypes=mixture)
    options = {"coordinate_unit": unit, "coordinate_loss": kind, "transition": 0.7}
    check(backend, setup, coordinate_weight=0.7, hhd_weight=1.3, **options)


@given(
    shape=map_shapes(max_side=14),
    seed=SEEDS,
    style=st.sampled_from(["normal", "peaked", "ties"]),
    layout=LAYOUT_NAMES,
    window=WINDOWS,
    mixture=st.sampled_from(MIXTURES),
    form=st.sampled_from(HHD_FORMS),
    kind=st.sampled_from(COORDINATE_LOSSES),
    reduction=st.sampled_from(["mean", "official"]),
    weighted=st.booleans(),
    own_weight=st.booleans(),
    labelled=st.booleans(),
)
def test_any_call(
    backend: str,
    shape: tuple[int, int, int, int],
    seed: int,
    style: str,
    layout: str,
    window: tuple[int, int],
    mixture: tuple[torch.dtype, torch.dtype, torch.dtype],
    form: tuple[str, str, str],
    kind: str,
    reduction: str,
    weighted: bool,
    own_weight: bool,
    labelled: bool,
) -> None:
    setup = loss_setup(
        seed, shape, window, dtypes=mixture, layout=layout, style=style, weighted=weighted
    )
    divergence, normalize, locate = form
    check(
        backend,
        setup,
        labelled=labelled,
        own_weight=own_weight,
        divergence=divergence,
        normalize=normalize,
        locate=locate,
        coordinate_loss=kind,
        reduction=reduction,
        beta=3.0,
        eps=1.0,
    )


@pytest.mark.parametrize("kind", COORDINATE_LOSSES)
def test_gradcheck(backend: str, kind: str) -> None:
    setup = loss_setup(5, (1, 2, 6, 5), (3, 4), dtypes=MIXTURES[-1])
    logits = setup.logits.requires_grad_()

    def loss(v: torch.Tensor) -> torch.Tensor:
        return hk.joint_loss(
            v, targets_of(setup), setup.target_coords, beta=1.5, coordinate_loss=kind
        ).loss

    assert torch.autograd.gradcheck(loss, (logits,))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_one_pass_is_the_same_loss_and_gradient(
    backend: str, dtype: torch.dtype, scaled: bool
) -> None:
    setup = loss_setup(6, dtypes=(dtype, torch.float32, torch.float32))
    scale = torch.tensor(4.0) if scaled else None
    arguments = (setup.logits, targets_of(setup), setup.target_coords, setup.weight)
    got, grad = hk.joint_loss_and_grad(*arguments, grad_scale=scale)
    assert not got.loss.requires_grad
    setup.logits.requires_grad_()
    expected = hk.joint_loss(*arguments)
    (upstream,) = torch.autograd.grad(expected.loss * (4.0 if scaled else 1.0), setup.logits)
    assert torch.equal(got.loss, expected.loss)
    assert has_layout_of(grad, setup.logits, backend)
    # A power of two scales exactly, whether before or after the rounding to the logits' dtype.
    torch.testing.assert_close(grad, upstream, rtol=1e-6, atol=0)


def test_terms_add_up_and_are_not_weighted(backend: str) -> None:
    setup = loss_setup(7)
    arguments = (setup.logits, targets_of(setup), setup.target_coords, setup.weight)
    plain = hk.joint_loss(*arguments)
    weighted = hk.joint_loss(*arguments, coordinate_weight=3.0, hhd_weight=0.25)
    assert torch.equal(plain.coordinate_loss, weighted.coordinate_loss)
    assert torch.equal(plain.hhd_loss, weighted.hhd_loss)
    torch.testing.assert_close(weighted.loss, 3 * plain.coordinate_loss + plain.hhd_loss / 4)
    coords, confidence = hk.soft_argmax(setup.logits, 10.0)
    torch.testing.assert_close(plain.coords, coords, rtol=0, atol=1e-5)
    torch.testing.assert_close(plain.confidence, confidence, rtol=1e-5, atol=1e-6)


def test_unlabelled_joints_are_still_taught(backend: str) -> None:
    setup = loss_setup(8)
    logits = setup.logits.requires_grad_()
    none, ones = torch.zeros(logits.shape[:2]), torch.ones(logits.shape[:2])
    got = hk.joint_loss(logits, targets_of(setup), setup.target_coords * torch.nan, none, ones)
    expected = hk.joint_loss(logits, targets_of(setup))
    assert got.coordinate_loss == 0.0
    assert torch.equal(got.hhd_loss, expected.hhd_loss)
    (grad,) = torch.autograd.grad(got.loss, logits)
    (expected_grad,) = torch.autograd.grad(expected.loss, logits)
    assert torch.equal(grad, expected_grad)


def test_a_perfect_coordinate_has_no_gradient(backend: str) -> None:
    """The gradient of |d| at 0 is 0."""
    logits = torch.zeros(1, 1, 3, 5)
    logits[0, 0, 1, 3] = 100.0
    logits.requires_grad_()
    targets = hk.TeacherTargets(*(torch.zeros(s) for s in ((1, 1, 2), (1, 1, 3, 3), (1, 1))))
    got = hk.joint_loss(logits, targets, torch.tensor([[[3.0, 1.0]]]))
    assert got.loss == 0.0
    (grad,) = torch.autograd.grad(got.loss, logits)
    assert not grad.any()
