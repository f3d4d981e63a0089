"""teacher_targets: centres, windows and confidence against the oracle."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hhd_kernels as hk
import oracle
from kernels import eager
from kernels.budget import check_value
from kernels.samples import (
    BORDERS,
    DTYPES,
    FLOORS,
    KINDS,
    LAYOUT_NAMES,
    SAMPLINGS,
    SEEDS,
    STYLES,
    WINDOWS,
    accumulate,
    as_array,
    map_shapes,
    random_maps,
    tensor,
)


def check(
    heatmaps: torch.Tensor, window: tuple[int, int], kind: str, floor: float = 0.0, **options: str
) -> None:
    got = hk.teacher_targets(heatmaps, window, normalize=kind, floor=floor, **options)
    assert isinstance(got, hk.TeacherTargets)
    dtype = accumulate(heatmaps.dtype)
    assert {value.dtype for value in got} == {dtype}
    values = as_array(heatmaps)
    np.testing.assert_array_equal(as_array(got.centers), oracle.locate_teacher(values))
    maps = heatmaps.to(dtype)
    _, windows, confidence = oracle.teacher_targets(
        values,
        window,
        normalize=kind,
        floor=floor,
        accumulate=str(dtype).removeprefix("torch."),
        centers=as_array(got.centers),
        **options,
    )
    np.testing.assert_array_equal(as_array(got.confidence), confidence)
    if floor and maps.numel():
        maps = torch.where(maps < floor * maps.amax(dim=(2, 3), keepdim=True), 0, maps)
    usual = eager.crop(eager.normalize(maps, kind), got.centers, window, **options)
    check_value(got.windows, windows, usual, "windows")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_dtypes(backend: str, sampling: str, kind: str, dtype: torch.dtype) -> None:
    heatmaps = tensor(random_maps(1, (2, 3, 19, 13), "peaked"), dtype)
    check(heatmaps, (7, 8), kind, sampling=sampling, border="mirror")


@given(
    shape=map_shapes(max_side=14),
    seed=SEEDS,
    style=STYLES,
    layout=LAYOUT_NAMES,
    dtype=st.sampled_from(DTYPES),
    window=WINDOWS,
    kind=st.sampled_from(KINDS),
    sampling=st.sampled_from(SAMPLINGS),
    border=st.sampled_from(BORDERS),
    floor=st.sampled_from(FLOORS),
)
def test_any_map(
    backend: str,
    shape: tuple[int, ...],
    seed: int,
    style: str,
    layout: str,
    dtype: torch.dtype,
    window: tuple[int, int],
    kind: str,
    sampling: str,
    border: str,
    floor: float,
) -> None:
    heatmaps = tensor(random_maps(seed, shape, style), dtype, layout)
    floor = 0.0 if kind == "softmax" else floor
    check(heatmaps, window, kind, floor, sampling=sampling, border=border)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["none", "l1", "l2", "l1_positive"])
def test_what_is_below_the_floor_counts_as_0(backend: str, kind: str, dtype: torch.dtype) -> None:
    """At the size that GPU kernels have paths of their own for, too."""
    for size in ((19, 13), (64, 48)):
        heatmaps = tensor(random_maps(1, (2, 3, *size), "peaked"), dtype)
        check(heatmaps, (7, 7), kind, 0.3, sampling="nearest", border="mirror")


def test_the_floor_is_a_share_and_not_of_a_softmax(backend: str) -> None:
    heatmaps = tensor(random_maps(1, (1, 1, 4, 4)))
    with pytest.raises(ValueError, match=r"floor is 1\.0; it takes a number from 0 below 1"):
        hk.teacher_targets(heatmaps, floor=1.0)
    with pytest.raises(ValueError, match="normalize='softmax', which has no zeros, it takes 0"):
        hk.teacher_targets(heatmaps, normalize="softmax", floor=0.1)


def test_bad_pixels_stay_in_their_map(backend: str) -> None:
    values = random_maps(3, (1, 2, 6, 5))
    values[0, 1, 2, 3] = np.nan
    got = hk.teacher_targets(tensor(values), (3, 3))
    assert got.centers[0, 1].tolist() == [0.0, 0.0]
    assert got.confidence[0, 1].isnan()
    assert got.windows[0, 1].isnan().any()
    assert all(torch.isfinite(value[0, 0]).all() for value in got)


def test_no_gradient(backend: str) -> None:
    heatmaps = tensor(random_maps(1, (1, 1, 4, 4))).requires_grad_()
    assert not any(value.requires_grad for value in hk.teacher_targets(heatmaps))
