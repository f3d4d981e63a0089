"""The error budgets of DESIGN: how far a result may be from the float64 oracle."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import oracle
from kernels.samples import accumulate, as_array

Array = NDArray[np.float64]

TIMES_EAGER = 2.0
ULPS = 4.0
# In float64 the oracle is itself no better than what it judges.
ULPS_FLOAT64 = 32.0
# Caps on a gradient: what rounding to its dtype can do, and this many epsilons of the accumulator.
ACCUMULATED = 8.0
FLOAT64_NOISE = 1e-15


def ulp(scale: float, dtype: torch.dtype) -> float:
    """The spacing of `dtype` at `scale`."""
    info = torch.finfo(dtype)
    exponent = np.floor(np.log2(max(scale, info.smallest_normal)))
    return float(info.eps * 2.0**exponent)


def normalize_slope(x: Array, kind: str, beta: float, eps: float) -> float:
    """The size of a normalisation's derivative, 1 / norm or beta p, before its two terms cancel."""
    if kind == "none" or not x.size:
        return 1.0
    largest = float(np.abs(oracle.normalize(x, kind, beta=beta, eps=eps)).max())
    return beta * largest if kind == "softmax" else largest / max(float(np.abs(x).max()), 1e-30)


def check_value(
    got: Tensor, expected: Array, eager: Tensor, what: str = "value", terms: float = 0.0
) -> None:
    """`got` is at most max(2 x eager's distance, 4 ulp of the result's scale) from `expected`.

    The scale is the largest expected value, in the result's dtype, or `terms`, in the sums':
    the size of what the result is a sum or difference of. NaN and infinities must be where the
    oracle has them; what overflows the dtype is an infinity.
    """
    measured, exact, usual = _finite_parts(got, expected, eager, what)
    if not exact.size:
        return
    distance = np.abs(measured - exact).max()
    ulps = ULPS_FLOAT64 if got.dtype == torch.float64 else ULPS
    limit = max(
        TIMES_EAGER * float(np.abs(usual - exact).max()),
        ulps * ulp(float(np.abs(exact).max()), got.dtype),
        ulps * ulp(terms, accumulate(got.dtype)),
    )
    assert distance <= limit, f"{what}: {distance:.3e} from the oracle, the budget is {limit:.3e}"


def check_gradient(
    got: Tensor, expected: Array, eager: Tensor, what: str = "gradient", terms: float = 0.0
) -> None:
    """`check_value`, and caps on relative L2, cosine and bias, each at least twice eager's own."""
    check_value(got, expected, eager, what, terms)
    measured, exact, usual = _finite_parts(got, expected, eager, what)
    scale = float(np.linalg.norm(exact))
    eps = torch.finfo(got.dtype).eps
    if scale <= torch.finfo(got.dtype).smallest_normal / eps:
        return
    cancelled = max(1.0, terms / float(np.abs(exact).max()))
    noise = ACCUMULATED * torch.finfo(accumulate(got.dtype)).eps * cancelled
    relative = eps / 2 + noise
    # Rounding errors average out over the pixels that carry the gradient.
    pixels = scale**4 / float((exact**4).sum())
    caps = (relative, relative**2 + FLOAT64_NOISE, min(0.5, pixels**-0.5) * eps + noise)
    # 1 - cosine is quadratic in the error, and so is its multiple of eager's.
    measures = (("relative L2", 1), ("1 - cosine", 2), ("bias", 1))
    distances = zip(
        measures, _distances(measured, exact), _distances(usual, exact), caps, strict=True
    )
    for (name, power), distance, eager_distance, cap in distances:
        limit = max(TIMES_EAGER**power * eager_distance, cap)
        assert distance <= limit, f"{what}: {name} {distance:.3e}, the budget is {limit:.3e}"


def _distances(measured: Array, exact: Array) -> tuple[float, float, float]:
    """Relative L2, 1 - cosine, and bias (the relative error along the gradient itself)."""
    scale = np.linalg.norm(exact)
    unit = exact / scale
    along = float((measured / scale * unit).sum())
    length = np.linalg.norm(measured / scale)
    cosine = along / length if length else 0.0
    return float(np.linalg.norm(measured / scale - unit)), abs(1.0 - cosine), abs(along - 1.0)


def _finite_parts(
    got: Tensor, expected: Array, eager: Tensor, what: str
) -> tuple[Array, Array, Array]:
    """The three results where the oracle is finite; elsewhere `got` must be what the oracle is."""
    measured = as_array(got).ravel()
    exact = np.asarray(expected, dtype=np.float64).ravel()
    usual = as_array(eager).ravel()
    assert measured.shape == exact.shape == usual.shape, f"{what}: {got.shape} {expected.shape}"
    with np.errstate(invalid="ignore"):
        overflows = np.abs(exact) > torch.finfo(got.dtype).max
    exact = np.where(overflows, np.copysign(np.inf, exact), exact)
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(measured[~finite], exact[~finite], err_msg=what)
    usual = np.where(np.isfinite(usual), usual, exact)
    return measured[finite], exact[finite], usual[finite]
