"""crop: windows and gradients against the oracle, past every border."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hhd_kernels as hk
import oracle
from kernels import eager
from kernels.budget import check_gradient, check_value
from kernels.samples import (
    BORDERS,
    DTYPES,
    LAYOUT_NAMES,
    SAMPLINGS,
    SEEDS,
    WINDOWS,
    as_array,
    has_layout_of,
    map_shapes,
    random_centers,
    random_maps,
    tensor,
)


def check(
    backend: str,
    maps: torch.Tensor,
    centers: torch.Tensor,
    window: tuple[int, int],
    sampling: str,
    border: str,
) -> None:
    options = {"sampling": sampling, "border": border}
    maps.requires_grad_()
    got = hk.crop(maps, centers, window, **options)
    assert (got.dtype, got.shape) == (maps.dtype, (*maps.shape[:2], *window))
    usual = eager.crop(maps, centers, window, **options)
    check_value(got, oracle.crop(as_array(maps), as_array(centers), window, **options), usual)
    upstream = tensor(random_maps(9, got.shape), maps.dtype)
    (grad,) = torch.autograd.grad(got, maps, upstream)
    (usual_grad,) = torch.autograd.grad(usual, maps, upstream)
    assert has_layout_of(grad, maps, backend)
    expected = oracle.crop_backward(as_array(upstream), maps.shape, as_array(centers), **options)
    check_gradient(grad, expected, usual_grad)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("window", [(7, 7), (8, 8), (5, 16)])
def test_dtypes(
    backend: str, window: tuple[int, int], sampling: str, border: str, dtype: torch.dtype
) -> None:
    shape = (2, 3, 11, 13)
    check(
        backend,
        tensor(random_maps(1, shape), dtype),
        random_centers(1, shape),
        window,
        sampling,
        border,
    )


@given(
    shape=map_shapes(max_side=14),
    seed=SEEDS,
    layout=LAYOUT_NAMES,
    dtype=st.sampled_from(DTYPES),
    center_dtype=st.sampled_from([torch.float32, torch.float64]),
    window=WINDOWS,
    sampling=st.sampled_from(SAMPLINGS),
    border=st.sampled_from(BORDERS),
)
def test_any_window(
    backend: str,
    shape: tuple[int, ...],
    seed: int,
    layout: str,
    dtype: torch.dtype,
    center_dtype: torch.dtype,
    window: tuple[int, int],
    sampling: str,
    border: str,
) -> None:
    maps = tensor(random_maps(seed, shape), dtype, layout)
    check(backend, maps, random_centers(seed, shape, center_dtype), window, sampling, border)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_gradcheck(backend: str, sampling: str) -> None:
    shape = (1, 2, 5, 4)
    maps = tensor(random_maps(2, shape), torch.float64).requires_grad_()
    centers = random_centers(2, shape, torch.float64)
    assert torch.autograd.gradcheck(
        lambda v: hk.crop(v, centers, (3, 4), sampling=sampling), (maps,)
    )


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("far", [-1e30, 1e30, 1e9, -torch.inf, torch.inf, torch.nan])
def test_a_centre_far_outside_touches_nothing(
    backend: str, far: float, sampling: str, border: str
) -> None:
    maps = tensor(random_maps(3, (1, 1, 6, 6))).requires_grad_()
    window = hk.crop(maps, torch.tensor([[[far, 2.0]]]), (3, 3), sampling=sampling, border=border)
    if not np.isnan(far):
        assert not window.any()
    (grad,) = torch.autograd.grad(window.sum(), maps)
    assert not grad.nan_to_num(0.0).any()


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_pixel_outside_the_window_does_not_leak(
    backend: str, bad: float, sampling: str
) -> None:
    values = random_maps(4, (1, 1, 9, 9))
    values[0, 0, 0, :] = values[0, 0, :, 8] = bad
    maps = tensor(values)
    # The last bilinear row and column fall exactly on pixels: their second tap has weight 0.
    window = hk.crop(maps, torch.tensor([[[6.0, 2.0]]]), (3, 3), sampling=sampling)
    assert torch.isfinite(window).all()
    assert torch.equal(window[0, 0], maps[0, 0, 1:4, 5:8])


def test_centres_take_no_gradient(backend: str) -> None:
    maps = tensor(random_maps(1, (1, 1, 4, 4))).requires_grad_()
    centers = torch.ones(1, 1, 2, requires_grad=True)
    window = hk.crop(maps, centers, (3, 3), sampling="bilinear")
    (grad,) = torch.autograd.grad(window.sum(), centers, allow_unused=True)
    assert grad is None or not grad.any()
