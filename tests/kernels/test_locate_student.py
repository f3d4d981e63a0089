"""locate_student: its three modes against the oracle, and the traps of the published arithmetic."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hhd_kernels as hk
import oracle
from kernels.samples import (
    LAYOUT_NAMES,
    MIXTURES,
    SEEDS,
    STYLES,
    WINDOWS,
    Array,
    accumulate,
    as_array,
    map_shapes,
    random_centers,
    random_maps,
    tensor,
)


def near_truncation(logits: Array, centers: Array) -> Array:
    """Where the published value is so near an integer that rounding chooses the side, `[B, K]`."""
    with np.errstate(all="ignore"):
        c = np.exp(logits).sum(axis=(2, 3))[..., None]
        s = c / (c - 1) * (centers - 1 / (2 * c))
        slack = 1e-5 * (1 + np.abs(s)) / np.minimum(np.abs(c - 1), 1)
        unclear = np.abs(s - np.round(s)) <= slack
    return unclear.any(axis=-1) & (np.abs(centers - s) > 1e-9).any(axis=-1)


@given(
    shape=map_shapes(),
    seed=SEEDS,
    style=STYLES,
    layout=LAYOUT_NAMES,
    window=WINDOWS,
    mixture=st.sampled_from(MIXTURES),
    offset=st.sampled_from([0.0, -2.0, -4.0, -5.5, 3.0]),
    mode=st.sampled_from(["peak", "published", "debiased"]),
)
def test_any_map(
    backend: str,
    shape: tuple[int, ...],
    seed: int,
    style: str,
    layout: str,
    window: tuple[int, int],
    mixture: tuple[torch.dtype, ...],
    offset: float,
    mode: str,
) -> None:
    logits = tensor(random_maps(seed, shape, style) + offset, mixture[0], layout)
    centers = random_centers(seed, shape, accumulate(mixture[1])).clamp_min(0)
    limit = torch.tensor([shape[3] - 1, shape[2] - 1], dtype=centers.dtype)
    centers = torch.minimum(centers, limit)
    got = hk.locate_student(logits, centers, mode, beta=2.0, window=window)
    assert got.dtype == accumulate(mixture[0])
    exact = oracle.locate_student(
        as_array(logits), as_array(centers), mode, beta=2.0, window=window
    )
    clear = np.ones(shape[:2], bool)
    if mode == "published":
        clear = ~near_truncation(as_array(logits), as_array(centers))
    np.testing.assert_allclose(as_array(got)[clear], exact[clear], atol=2e-4)


@pytest.mark.parametrize("offset", [0.0, 20.0, 60.0])
def test_published_truncates_a_sub_pixel_centre(backend: str, offset: float) -> None:
    """However large c is, a refined teacher centre is cut to an integer: no shortcut for it."""
    logits = torch.full((1, 1, 16, 16), offset)
    centers = torch.tensor([[[10.75, 3.0]]])
    got = hk.locate_student(logits, centers, "published", window=(8, 8))
    assert got.tolist() == [[[10.0, 3.0]]]


@pytest.mark.parametrize("value", [100.0, torch.inf, torch.nan, -100.0])
def test_published_without_a_usable_sum_keeps_the_teachers_centre(
    backend: str, value: float
) -> None:
    logits = torch.full((1, 1, 6, 6), value)
    centers = torch.tensor([[[4.75, 3.0]]])
    assert torch.equal(hk.locate_student(logits, centers, "published"), centers)


def test_published_overflows_with_the_accumulator(backend: str) -> None:
    """exp(100) is infinite in float32 and an ordinary number in float64."""
    centers = torch.tensor([[[4.75, 3.0]]])
    logits = torch.full((1, 1, 6, 6), 100.0, dtype=torch.float64)
    got = hk.locate_student(logits, centers.double(), "published")
    assert got.tolist() == [[[4.0, 3.0]]]


@pytest.mark.parametrize("length", [16, 64])
def test_published_below_and_above_the_bound(backend: str, length: int) -> None:
    """Sums on both sides of max(H, W), where a shortcut may stop looking."""
    for c in (length * 0.5, length - 1.0, length - 0.4, length + 0.5, length * 3.0):
        logits = torch.full((1, 1, length, length), float(np.log(c / length**2)))
        centers = torch.tensor([[[length - 1.0, 1.0]]])
        got = hk.locate_student(logits, centers, "published", window=(8, 8))
        exact = oracle.locate_student(
            as_array(logits), as_array(centers), "published", window=(8, 8)
        )
        np.testing.assert_array_equal(as_array(got), exact, err_msg=f"c = {c}")


def test_debiased_ignores_a_constant(backend: str) -> None:
    logits = tensor(random_maps(5, (2, 2, 24, 24), "peaked"), torch.float64)
    centers = hk.locate_teacher(logits)
    first = hk.locate_student(logits, centers, "debiased", beta=8.0)
    second = hk.locate_student(logits + 3.0, centers, "debiased", beta=8.0)
    assert not torch.equal(first, centers)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("size", [(16, 13), (7, 24), (64, 48)])
def test_debiased_leaves_the_middle_of_the_map_alone(backend: str, size: tuple[int, int]) -> None:
    """Exactly, whatever the background's share: half a pixel there is where rounding turns."""
    peaks = random_maps(2, (4, 8, *size), "peaked") * np.linspace(0.1, 1.2, 8)[:, None, None]
    centers = torch.tensor([(size[1] - 1) / 2, (size[0] - 1) / 2]).expand(4, 8, 2)
    got = hk.locate_student(tensor(peaks), centers, "debiased", beta=8.0)
    assert torch.equal(got, centers)
    assert (
        oracle.locate_student(peaks, as_array(centers), "debiased", beta=8.0) == as_array(got)
    ).all()
    moved = hk.locate_student(tensor(peaks), centers + 1, "debiased", beta=8.0)
    assert not torch.equal(moved, centers + 1)


@pytest.mark.parametrize("mode", ["peak", "published", "debiased"])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_coordinate_that_is_not_finite_stays(backend: str, bad: float, mode: str) -> None:
    logits = tensor(random_maps(3, (1, 2, 9, 12))) - 5.0
    centers = torch.tensor([[[bad, 3.0], [8.0, 3.0]]])
    got = hk.locate_student(logits, centers, mode)
    exact = oracle.locate_student(as_array(logits), as_array(centers), mode)
    np.testing.assert_allclose(as_array(got), exact, atol=2e-4)
    np.testing.assert_array_equal(as_array(got[0, 0, 0]), bad)


def test_no_gradient(backend: str) -> None:
    logits = tensor(random_maps(1, (1, 1, 4, 4))).requires_grad_()
    centers = torch.ones(1, 1, 2)
    for mode in ("peak", "published", "debiased"):
        assert not hk.locate_student(logits, centers, mode).requires_grad
