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


def check(heatmaps: torch.Tensor, window: tuple[int, int], **options: str) -> None:
    kind = options.pop("kind")
    got = hk.teacher_targets(heatmaps, window, normalize=kind, **options)
    assert isinstance(got, hk.TeacherTargets)
    dtype = accumulate(heatmaps.dtype)
    assert {value.dtype for value in got} == {dtype}
    values = as_array(heatmaps)
    np.testing.assert_array_equal(as_array(got.centers), oracle.locate_teacher(values))
    _, windows, confidence = oracle.teacher_targets(
        values, window, normalize=kind, centers=as_array(got.centers), **options
    )
    np.testing.assert_array_equal(as_array(got.confidence), confidence)
    usual = eager.crop(eager.normalize(heatmaps.to(dtype), kind), got.centers, window, **options)
    check_value(got.windows, windows, usual, "windows")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_dtypes(backend: str, sampling: str, kind: str, dtype: torch.dtype) -> None:
    heatmaps = tensor(random_maps(1, (2, 3, 19, 13), "peaked"), dtype)
    check(heatmaps, (7, 8), kind=kind, sampling=sampling, border="mirror")


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
) -> None:
    heatmaps = tensor(random_maps(seed, shape, style), dtype, layout)
    check(heatmaps, window, kind=kind, sampling=sampling, border=border)


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
