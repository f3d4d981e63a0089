"""locate_teacher: the peak exactly, and its DARK refinement, against the oracle."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hhd_kernels as hk
import oracle
from kernels.samples import (
    DTYPES,
    LAYOUT_NAMES,
    SEEDS,
    STYLES,
    accumulate,
    as_array,
    map_shapes,
    random_maps,
    tensor,
)


@given(
    shape=map_shapes(max_side=40),
    seed=SEEDS,
    style=STYLES,
    layout=LAYOUT_NAMES,
    dtype=st.sampled_from(DTYPES),
)
def test_peak(
    backend: str, shape: tuple[int, ...], seed: int, style: str, layout: str, dtype: torch.dtype
) -> None:
    heatmaps = tensor(random_maps(seed, shape, style), dtype, layout)
    centers = hk.locate_teacher(heatmaps)
    assert centers.dtype == accumulate(dtype)
    np.testing.assert_array_equal(as_array(centers), oracle.locate_teacher(as_array(heatmaps)))


@pytest.mark.parametrize("last", [False, True])
def test_every_position_and_its_tie(backend: str, last: bool) -> None:
    """The peak at each pixel in turn, tied with the last pixel or not: lanes and tails of loops."""
    height, width = 5, 37
    heatmaps = torch.zeros(height * width, 1, height * width)
    heatmaps[torch.arange(height * width), 0, torch.arange(height * width)] = 1.0
    heatmaps[:, :, -1] = 1.0 if last else heatmaps[:, :, -1]
    centers = hk.locate_teacher(heatmaps.view(-1, 1, height, width))
    index = torch.arange(height * width)
    assert torch.equal(centers[:, 0, 0], (index % width).float())
    assert torch.equal(centers[:, 0, 1], (index // width).float())


@pytest.mark.parametrize("refine", ["none", "dark"])
@pytest.mark.parametrize(("bad", "expected"), [(np.nan, (0, 0)), (np.inf, (3, 2)), (-np.inf, None)])
def test_bad_pixels(
    backend: str, bad: float, expected: tuple[int, int] | None, refine: str
) -> None:
    values = random_maps(3, (1, 2, 9, 8))
    values[0, 1, 2, 3] = bad
    centers = hk.locate_teacher(tensor(values), refine)
    exact = oracle.locate_teacher(values, refine)
    np.testing.assert_allclose(as_array(centers), exact, atol=1e-3)
    if expected is not None:
        assert tuple(centers[0, 1].tolist()) == expected


def test_minus_infinity_everywhere(backend: str) -> None:
    heatmaps = torch.full((1, 1, 4, 5), -torch.inf)
    assert hk.locate_teacher(heatmaps).tolist() == [[[0.0, 0.0]]]
    assert hk.locate_teacher(heatmaps, "dark").tolist() == [[[0.0, 0.0]]]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("blur_kernel", [3, 11, 17])
def test_dark(backend: str, blur_kernel: int, dtype: torch.dtype) -> None:
    heatmaps = tensor(random_maps(7, (4, 4, 32, 24), "peaked"), dtype)
    centers = hk.locate_teacher(heatmaps, "dark", blur_kernel=blur_kernel)
    exact = oracle.locate_teacher(as_array(heatmaps), "dark", blur_kernel=blur_kernel)
    assert np.abs(exact - oracle.locate_teacher(as_array(heatmaps))).max() > 0.1
    np.testing.assert_allclose(as_array(centers), exact, atol=2e-3)


@given(shape=map_shapes(max_side=14), seed=SEEDS, style=STYLES, layout=LAYOUT_NAMES)
def test_dark_of_any_map_is_finite_and_on_the_map(
    backend: str, shape: tuple[int, ...], seed: int, style: str, layout: str
) -> None:
    heatmaps = tensor(random_maps(seed, shape, style), torch.float32, layout)
    centers = hk.locate_teacher(heatmaps, "dark", blur_kernel=5)
    assert torch.isfinite(centers).all()
    assert (centers >= 0).all()
    assert (centers <= torch.tensor([shape[3] - 1.0, shape[2] - 1.0])).all()


def test_no_gradient(backend: str) -> None:
    heatmaps = tensor(random_maps(1, (1, 1, 4, 4))).requires_grad_()
    assert not hk.locate_teacher(heatmaps).requires_grad
