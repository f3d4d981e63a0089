"""normalize: values and gradients against the oracle, over dtypes, kinds, shapes and layouts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hhd_kernels as hk
import oracle
from kernels import eager
from kernels.budget import check_gradient, check_value, normalize_slope
from kernels.samples import (
    DTYPES,
    KINDS,
    LAYOUT_NAMES,
    SEEDS,
    STYLES,
    as_array,
    has_layout_of,
    map_shapes,
    random_maps,
    tensor,
)


def check(
    backend: str,
    x: torch.Tensor,
    kind: str,
    beta: float = 1.0,
    eps: float = 1e-6,
    upstream_scale: float = 1.0,
) -> None:
    x.requires_grad_()
    got = hk.normalize(x, kind, beta=beta, eps=eps)
    usual = eager.normalize(x, kind, beta=beta, eps=eps)
    assert got.dtype == x.dtype
    assert got.shape == x.shape
    check_value(got, oracle.normalize(as_array(x), kind, beta=beta, eps=eps), usual)
    upstream = tensor(random_maps(99, x.shape, scale=upstream_scale), x.dtype)
    (grad,) = torch.autograd.grad(got, x, upstream)
    (usual_grad,) = torch.autograd.grad(usual, x, upstream)
    assert has_layout_of(grad, x, backend)
    expected = oracle.normalize_backward(as_array(upstream), as_array(x), kind, beta=beta, eps=eps)
    slope = normalize_slope(as_array(x), kind, beta, eps)
    terms = slope * float(np.abs(as_array(upstream)).max())
    check_gradient(grad, expected, usual_grad, terms=terms)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_dtypes(backend: str, kind: str, dtype: torch.dtype) -> None:
    check(backend, tensor(random_maps(1, (2, 3, 19, 13), "peaked"), dtype), kind, beta=2.5)


@given(
    shape=map_shapes(),
    seed=SEEDS,
    style=STYLES,
    layout=LAYOUT_NAMES,
    kind=st.sampled_from(KINDS),
    dtype=st.sampled_from(DTYPES),
    eps=st.sampled_from([1e-6, 1.0, 100.0]),
)
def test_any_map(
    backend: str,
    shape: tuple[int, ...],
    seed: int,
    style: str,
    layout: str,
    kind: str,
    dtype: torch.dtype,
    eps: float,
) -> None:
    # A float16 gradient of a zero map is g / eps and may overflow; eps = 1 keeps it in range.
    eps = 1.0 if dtype == torch.float16 and style == "zeros" else eps
    check(backend, tensor(random_maps(seed, shape, style), dtype, layout), kind, beta=3.0, eps=eps)


EXTREMES = [("l1", 1e20), ("l1", 1e30), ("l1_positive", 1e20), ("l2", 1e18), ("l2", 4e-20)]


@pytest.mark.parametrize(("kind", "scale"), EXTREMES)
def test_norms_whose_square_is_beyond_float32(backend: str, kind: str, scale: float) -> None:
    x = tensor(random_maps(4, (1, 2, 2, 3), scale=scale))
    check(backend, x, kind, eps=1e-30, upstream_scale=100.0)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(backend: str, kind: str) -> None:
    x = tensor(random_maps(2, (1, 2, 5, 4)), torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: hk.normalize(v, kind, beta=1.5), (x,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_pixels_stay_in_their_map(backend: str, kind: str, bad: float) -> None:
    values = random_maps(3, (1, 2, 6, 5))
    values[0, 1, 2, 3] = bad
    x = tensor(values).requires_grad_()
    got = hk.normalize(x, kind)
    expected = oracle.normalize(as_array(x), kind)
    np.testing.assert_allclose(as_array(got), expected, rtol=1e-5, atol=1e-7)
    (grad,) = torch.autograd.grad(got.sum(), x)
    assert torch.isfinite(grad[0, 0]).all()


@pytest.mark.parametrize("scale", [1e4, 1e37])
def test_softmax_of_huge_logits(backend: str, scale: float) -> None:
    x = tensor(random_maps(4, (1, 2, 6, 5), scale=scale))
    got = as_array(hk.normalize(x, "softmax", beta=10.0))
    np.testing.assert_allclose(got, oracle.normalize(as_array(x), "softmax", beta=10.0), rtol=1e-5)
