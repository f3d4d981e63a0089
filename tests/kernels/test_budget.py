"""The budget helpers accept rounding and refuse a planted error."""

import numpy as np
import pytest
import torch

from kernels.budget import check_gradient, check_value, ulp

EXACT = np.random.default_rng(0).standard_normal(4096)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_rounding_is_within_budget(dtype: torch.dtype) -> None:
    rounded = torch.from_numpy(EXACT).to(dtype)
    check_gradient(rounded, EXACT, rounded)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("planted", ["one pixel", "scale", "bias", "shift", "nan", "inf"])
def test_a_planted_error_is_refused(planted: str, dtype: torch.dtype) -> None:
    rounded = torch.from_numpy(EXACT).to(dtype)
    wrong = rounded.to(torch.float64)
    eps = torch.finfo(dtype).eps
    if planted == "one pixel":
        wrong[7] += 20 * eps
    elif planted == "scale":
        wrong *= 1 + 12 * eps
    elif planted == "bias":
        wrong += 12 * eps
    elif planted == "shift":
        wrong = wrong.roll(1)
    else:
        wrong[7] = float(planted)
    with pytest.raises(AssertionError):
        check_gradient(wrong.to(dtype), EXACT, rounded)


def test_a_small_bias_is_refused_although_every_pixel_is_within_budget() -> None:
    rounded = torch.from_numpy(EXACT).to(torch.bfloat16)
    scaled = EXACT * (1 + 0.3 * torch.finfo(torch.bfloat16).eps)
    biased = torch.from_numpy(scaled).to(torch.bfloat16)
    check_value(biased, EXACT, rounded)
    with pytest.raises(AssertionError, match="bias"):
        check_gradient(biased, EXACT, rounded)


def test_eager_error_widens_the_budget() -> None:
    exact = np.ones(8)
    eager, ours = torch.full((8,), 1.01), torch.full((8,), 1.015)
    check_value(ours, exact, eager)
    with pytest.raises(AssertionError, match="budget"):
        check_value(torch.full((8,), 1.03), exact, eager)


def test_overflow_and_nan_are_expected_in_place() -> None:
    exact = np.array([1e6, np.nan, 1.0])
    right = torch.tensor([torch.inf, torch.nan, 1.0], dtype=torch.float16)
    check_value(right, exact, right)
    with pytest.raises(AssertionError):
        check_value(torch.tensor([torch.inf, 0.0, 1.0], dtype=torch.float16), exact, right)


def test_ulp() -> None:
    assert ulp(1.0, torch.float32) == 2.0**-23
    assert ulp(3.9, torch.float32) == 2.0**-22
    assert ulp(0.0, torch.float16) == 2.0**-24
