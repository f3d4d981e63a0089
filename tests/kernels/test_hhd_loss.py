"""hhd_loss: loss and gradient against the oracle, over forms, dtypes, shapes and layouts."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hhd_kernels as hk
import oracle
from kernels import eager
from kernels.budget import check_gradient, check_value, normalize_slope
from kernels.calls import targets_of
from kernels.samples import (
    BORDERS,
    HHD_FORMS,
    LAYOUT_NAMES,
    MIXTURES,
    SAMPLINGS,
    SEEDS,
    WINDOWS,
    Setup,
    accumulate,
    as_array,
    has_layout_of,
    loss_setup,
    map_shapes,
    tensor,
)
from kernels.test_normalize import EXTREMES


def share_of_a_joint(weight: torch.Tensor | None, shape: torch.Size, reduction: str) -> float:
    """The largest factor that the reduction gives a joint."""
    given = np.ones(shape[:2]) if weight is None else as_array(weight)
    divisor = given.sum() if reduction == "mean" else shape[0]
    return float(given.max() / divisor) if divisor else 0.0


def gradient_terms(
    setup: Setup,
    weight: torch.Tensor | None,
    form: tuple[str, str, str],
    beta: float,
    **options: Any,
) -> float:
    """The size of what a pixel's gradient is a difference of: shares of mass, or window values."""
    divergence, kind, _ = form
    share = share_of_a_joint(weight, setup.logits.shape, options.get("reduction", "mean"))
    if divergence == "kl":
        return share * beta
    x, eps = as_array(setup.logits), options.get("eps", 1e-6)
    student = np.abs(oracle.normalize(x, kind, beta=beta, eps=eps)).max()
    values = student + float(setup.windows.abs().max())
    return float(share * 2 * values * normalize_slope(x, kind, beta, eps))


def loss_terms(
    setup: Setup, weight: torch.Tensor | None, divergence: str, reduction: str = "mean", **_: Any
) -> float:
    """The size of what the loss is a difference of: for KL, entropies of up to log(bins)."""
    if divergence != "kl":
        return 0.0
    joints = setup.logits.shape[1] * setup.logits.shape[0]
    total = float(joints if weight is None else weight.sum())
    shares = min(total, 1.0) if reduction == "mean" else total / setup.logits.shape[0]
    return shares * float(np.log(setup.windows[0, 0].numel() + 1))


def check(
    backend: str, setup: Setup, form: tuple[str, str, str], beta: float = 4.0, **options: Any
) -> None:
    """One call; the student's centres are the backend's own, tested in test_locate_student."""
    divergence, kind, locate = form
    logits = setup.logits.requires_grad_()
    options |= {"beta": beta, "normalize": kind, "divergence": divergence}
    loss = hk.hhd_loss(logits, targets_of(setup), setup.weight, locate=locate, **options)
    (grad,) = torch.autograd.grad(loss, logits)
    window = tuple(setup.windows.shape[2:])
    at = hk.locate_student(logits, setup.centers, locate, beta=beta, window=window)
    exact, exact_grad = oracle.hhd_loss(
        as_array(logits),
        as_array(setup.centers),
        as_array(setup.windows),
        None if setup.weight is None else as_array(setup.weight),
        student_centers=as_array(at),
        **options,
    )
    usual = eager.hhd_loss(logits, setup.centers, at, setup.windows, setup.weight, **options)
    (usual_grad,) = torch.autograd.grad(usual, logits)
    assert (loss.dtype, loss.shape) == (accumulate(logits.dtype), ())
    assert has_layout_of(grad, logits, backend)
    terms = loss_terms(setup, setup.weight, **options)
    check_value(loss, np.array(exact), usual, "loss", terms=terms)
    terms = gradient_terms(setup, setup.weight, form, **options)
    check_gradient(grad, exact_grad, usual_grad, terms=terms)


@pytest.mark.parametrize("mixture", MIXTURES, ids=str)
@pytest.mark.parametrize("form", HHD_FORMS, ids="-".join)
def test_dtypes(backend: str, form: tuple[str, str, str], mixture: tuple[torch.dtype, ...]) -> None:
    for sampling in SAMPLINGS:
        check(backend, loss_setup(3, dtypes=mixture, sampling=sampling), form, sampling=sampling)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("window", [(7, 7), (8, 8), (5, 16)])
@pytest.mark.parametrize("reduction", ["mean", "official"])
def test_geometry(
    backend: str, reduction: str, window: tuple[int, int], sampling: str, border: str
) -> None:
    options = {"sampling": sampling, "border": border}
    refine = "dark" if sampling == "bilinear" else "none"
    for form in HHD_FORMS[:3]:
        setup = loss_setup(4, (2, 2, 13, 11), window, refine=refine, **options)
        check(backend, setup, form, reduction=reduction, **options)


@given(
    shape=map_shapes(max_side=14),
    seed=SEEDS,
    style=st.sampled_from(["normal", "peaked", "ties", "zeros"]),
    layout=LAYOUT_NAMES,
    window=WINDOWS,
    mixture=st.sampled_from(MIXTURES),
    form=st.sampled_from(HHD_FORMS),
    sampling=st.sampled_from(SAMPLINGS),
    border=st.sampled_from(BORDERS),
    weighted=st.booleans(),
    beta=st.sampled_from([0.5, 1.0, 10.0]),
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
    sampling: str,
    border: str,
    weighted: bool,
    beta: float,
) -> None:
    setup = loss_setup(
        seed,
        shape,
        window,
        dtypes=mixture,
        layout=layout,
        style=style,
        weighted=weighted,
        sampling=sampling,
        border=border,
    )
    # eps = 1 keeps a zero map's gradient, which grows as 1 / eps, inside float16.
    check(backend, setup, form, beta, sampling=sampling, border=border, eps=1.0)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("form", HHD_FORMS, ids="-".join)
def test_gradcheck(backend: str, form: tuple[str, str, str], sampling: str) -> None:
    """The centres are data, so that no truncation or debiasing moves under the difference step."""
    divergence, kind, locate = form
    setup = loss_setup(5, (1, 2, 6, 5), (3, 4), dtypes=MIXTURES[-1], sampling=sampling)
    options = {"normalize": kind, "divergence": divergence, "sampling": sampling, "beta": 1.5}
    locate = "peak" if locate == "debiased" else locate
    logits = setup.logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: hk.hhd_loss(v, targets_of(setup), setup.weight, locate=locate, **options),
        (logits,),
    )


def test_defaults_are_the_documented_ones(backend: str) -> None:
    setup = loss_setup(6)
    got = hk.hhd_loss(setup.logits, targets_of(setup))
    spelled = hk.hhd_loss(
        setup.logits,
        targets_of(setup),
        None,
        beta=10.0,
        normalize="softmax",
        divergence="kl",
        locate="peak",
        sampling="nearest",
        border="mirror",
        reduction="mean",
        eps=1e-6,
    )
    assert torch.equal(got, spelled)


@pytest.mark.parametrize(("kind", "scale"), EXTREMES)
def test_norms_whose_square_is_beyond_float32(backend: str, kind: str, scale: float) -> None:
    setup = loss_setup(7, (1, 2, 2, 3), (2, 2), style="normal", scale=scale)
    setup = setup._replace(weight=torch.full((1, 2), 1e3))
    check(backend, setup, ("sse", kind, "peak"), eps=1e-30, reduction="official")


@pytest.mark.parametrize("scale", [50.0, 1e4])
def test_kl_of_extreme_logits_is_exact(backend: str, scale: float) -> None:
    """In log space: the masses underflow float32, their logarithms do not."""
    setup = loss_setup(7, scale=scale, weighted=False)
    check(backend, setup, HHD_FORMS[0], beta=10.0)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_kl_counts_an_empty_mass_as_tiny(backend: str, sampling: str) -> None:
    """Windows larger than the map leave cells without taps and no rest; -inf logits, no mass."""
    setup = loss_setup(8, (2, 2, 4, 5), (11, 12), sampling=sampling, weighted=False)
    check(backend, setup, HHD_FORMS[0], sampling=sampling)
    setup.logits.detach()[:, :, 1] = -torch.inf
    check(backend, setup, HHD_FORMS[0], sampling=sampling)


def test_a_zero_teacher_teaches_nothing_under_kl(backend: str) -> None:
    setup = loss_setup(9, weighted=False)
    setup.windows[0, 1] = 0.0
    logits = setup.logits.requires_grad_()
    loss = hk.hhd_loss(logits, targets_of(setup))
    (grad,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(grad).all()
    assert not grad[0, 1].any()
    check(backend, setup, HHD_FORMS[0], beta=10.0)


def test_targets_are_the_full_map_form(backend: str) -> None:
    setup = loss_setup(10)
    teacher = tensor(np.abs(as_array(loss_setup(11).logits)))
    criterion = hk.HHDLoss()
    direct = criterion(setup.logits, teacher, setup.weight)
    assert torch.equal(direct, criterion(setup.logits, criterion.targets(teacher), setup.weight))
    assert torch.equal(direct, hk.hhd_loss(setup.logits, hk.teacher_targets(teacher), setup.weight))
