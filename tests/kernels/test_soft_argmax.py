"""soft_argmax: coordinates, confidence and gradients against the oracle."""

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
    DTYPES,
    LAYOUT_NAMES,
    SEEDS,
    STYLES,
    accumulate,
    as_array,
    has_layout_of,
    map_shapes,
    random_maps,
    tensor,
)


def check(backend: str, logits: torch.Tensor, beta: float, window: int | None) -> None:
    logits.requires_grad_()
    coords, confidence = hk.soft_argmax(logits, beta, window)
    usual = eager.soft_argmax(logits, beta, window)
    exact, exact_confidence = oracle.soft_argmax(as_array(logits), beta, window)
    assert coords.dtype == confidence.dtype == accumulate(logits.dtype)
    assert not confidence.requires_grad
    check_value(coords, exact, usual, "coords", max(logits.shape[2:]))
    _check_confidence(confidence, exact_confidence, exact)
    upstream = tensor(np.random.default_rng(5).standard_normal(coords.shape), coords.dtype)
    (grad,) = torch.autograd.grad(coords, logits, upstream)
    (usual_grad,) = torch.autograd.grad(usual, logits, upstream)
    assert has_layout_of(grad, logits, backend)
    expected = oracle.soft_argmax_backward(as_array(upstream), as_array(logits), beta, window)
    # Each pixel's slope is its position less the expectation, both up to the map's side.
    p = 1.0 if window else oracle.normalize(as_array(logits), "softmax", beta=beta).max()
    terms = beta * p * np.abs(as_array(upstream)).max() * max(logits.shape[2:])
    check_gradient(grad, expected, usual_grad, terms=terms)


def _check_confidence(got: torch.Tensor, exact: np.ndarray, coords: np.ndarray) -> None:
    """Within float32 rounding wherever no coordinate is on the edge between two boxes."""
    fraction = np.abs(coords + 0.5 - np.round(coords + 0.5))
    clear = (fraction > 1e-4).all(axis=-1)
    np.testing.assert_allclose(as_array(got)[clear], exact[clear], rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("window", [None, 1, 5, 9, 41])
@pytest.mark.parametrize("beta", [1.0, 10.0])
def test_dtypes(backend: str, beta: float, window: int | None, dtype: torch.dtype) -> None:
    check(backend, tensor(random_maps(1, (2, 3, 21, 17), "peaked"), dtype), beta, window)


@given(
    shape=map_shapes(max_side=40),
    seed=SEEDS,
    style=STYLES,
    layout=LAYOUT_NAMES,
    dtype=st.sampled_from(DTYPES),
    window=st.sampled_from([None, 1, 3, 7, 25]),
    beta=st.sampled_from([0.3, 1.0, 10.0]),
)
def test_any_map(
    backend: str,
    shape: tuple[int, ...],
    seed: int,
    style: str,
    layout: str,
    dtype: torch.dtype,
    window: int | None,
    beta: float,
) -> None:
    check(backend, tensor(random_maps(seed, shape, style), dtype, layout), beta, window)


@pytest.mark.parametrize("window", [None, 3])
def test_gradcheck(backend: str, window: int | None) -> None:
    logits = tensor(random_maps(2, (1, 2, 5, 4)), torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: hk.soft_argmax(v, 2.0, window)[0], (logits,))


@pytest.mark.parametrize("scale", [1e4, 1e37])
def test_huge_logits(backend: str, scale: float) -> None:
    logits = tensor(random_maps(3, (1, 2, 9, 8), scale=scale)).requires_grad_()
    coords, _ = hk.soft_argmax(logits, 10.0)
    np.testing.assert_allclose(
        as_array(coords), oracle.soft_argmax(as_array(logits), 10.0)[0], atol=1e-5
    )
    (grad,) = torch.autograd.grad(coords.sum(), logits)
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_pixels_stay_in_their_map(backend: str, bad: float, window: int | None) -> None:
    values = random_maps(3, (1, 2, 6, 5))
    values[0, 1, 2, 3] = bad
    logits = tensor(values).requires_grad_()
    coords, confidence = hk.soft_argmax(logits, 1.0, window)
    exact, _ = oracle.soft_argmax(as_array(logits), 1.0, window)
    np.testing.assert_allclose(as_array(coords[0, 0]), exact[0, 0], rtol=1e-5)
    assert coords[0, 1].isnan().all()
    assert confidence[0, 1].isnan()
    (grad,) = torch.autograd.grad(coords[0, 0].sum(), logits)
    assert torch.isfinite(grad[0, 0]).all()


def test_minus_infinity_is_no_mass(backend: str) -> None:
    values = random_maps(4, (1, 1, 6, 5))
    values[0, 0, :, :3] = -np.inf
    logits = tensor(values).requires_grad_()
    coords, _ = hk.soft_argmax(logits, 1.0)
    exact, _ = oracle.soft_argmax(as_array(logits), 1.0)
    np.testing.assert_allclose(as_array(coords), exact, rtol=1e-5)
    (grad,) = torch.autograd.grad(coords.sum(), logits)
    expected = oracle.soft_argmax_backward(np.ones((1, 1, 2)), as_array(logits), 1.0)
    np.testing.assert_allclose(as_array(grad), expected, atol=1e-6)
