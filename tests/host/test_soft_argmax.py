"""Soft-argmax against the oracle, and what it says of maps that have no softmax."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from host.samples import PLAIN, SMALL, Array, load_host, noisy_peaks, tied_maps

host = load_host()


def masses_near(p: Array, x: float, y: float) -> list[float]:
    """The 5x5 mass at the rounded (x, y); both neighbours' where rounding is a coin's toss."""
    rows, columns = np.indices(p.shape)
    sides = [{np.floor(v + 0.5 - 1e-5), np.floor(v + 0.5 + 1e-5)} for v in (x, y)]
    return [
        float(p[(np.abs(rows - j) <= 2) & (np.abs(columns - i) <= 2)].sum())
        for i, j in itertools.product(*sides)
    ]


@SMALL
@given(
    tied_maps(values=(*PLAIN, -np.inf, 30.0)),
    st.sampled_from([0.1, 1.0, 10.0]),
    st.sampled_from([None, 1, 3, 5, 99]),
)
def test_it_is_the_oracle(logits: Array, beta: float, window: int | None) -> None:
    maps = np.ascontiguousarray(logits, dtype=np.float64)
    coords, confidence = host.soft_argmax_numpy(logits, beta=beta, window=window)
    expected, _ = oracle.soft_argmax(maps, beta, window)
    precision = 1e-12 if logits.dtype == np.float64 else 1e-6
    np.testing.assert_allclose(coords, expected, rtol=precision, atol=precision)
    assert coords.dtype == confidence.dtype
    assert coords.dtype == (np.float64 if logits.dtype == np.float64 else np.float32)
    for b, k in np.ndindex(confidence.shape):
        p = np.exp(beta * (maps[b, k] - maps[b, k].max()))
        masses = np.array(masses_near(p / p.sum(), *expected[b, k]))
        assert np.abs(masses - confidence[b, k]).min() < 1e-6


def test_confidence_counts_the_whole_map_and_the_window_does_not() -> None:
    logits = np.full((1, 1, 32, 32), 0.0)
    logits[0, 0, 5, 20] = 6.0
    (whole, _), (local, confidence) = (
        host.soft_argmax_numpy(logits, window=window) for window in (None, 5)
    )
    mass = np.exp(6.0) + 32 * 32 - 1
    np.testing.assert_allclose(local[0, 0], (20, 5), rtol=1e-12)
    assert abs(whole[0, 0, 0] - 15.5) < abs(whole[0, 0, 0] - 20)
    np.testing.assert_allclose(confidence, (np.exp(6.0) + 24) / mass, rtol=1e-12)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_map_is_nan_and_alone(value: float, window: int | None) -> None:
    logits = noisy_peaks(1, 8, 9)
    good_coords, good_confidence = host.soft_argmax_numpy(logits, window=window)
    logits[1, 2, 7, 8] = value
    coords, confidence = host.soft_argmax_numpy(logits, window=window)
    assert np.isnan(coords[1, 2]).all()
    assert np.isnan(confidence[1, 2])
    others = np.ones((3, 4), bool)
    others[1, 2] = False
    np.testing.assert_array_equal(coords[others], good_coords[others])
    np.testing.assert_array_equal(confidence[others], good_confidence[others])


def test_a_map_of_minus_infinity_is_nan() -> None:
    coords, confidence = host.soft_argmax_numpy(np.full((1, 1, 4, 4), -np.inf))
    assert np.isnan(coords).all()
    assert np.isnan(confidence).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_finite_logits_are_stable(dtype: type) -> None:
    most = np.finfo(dtype).max
    logits = np.full((1, 1, 5, 7), -most, dtype)
    logits[0, 0, 3, 2] = most
    coords, confidence = host.soft_argmax_numpy(logits, beta=10.0)
    assert coords.tolist() == [[[2, 3]]]
    assert confidence.tolist() == [[1]]


def test_a_flat_map_is_its_middle() -> None:
    coords, _ = host.soft_argmax_numpy(np.zeros((1, 1, 4, 7), np.float32))
    np.testing.assert_allclose(coords, [[[3, 1.5]]])


def test_three_dimensions_lose_the_batch_axis() -> None:
    maps = noisy_peaks(2, 6, 7)
    coords, confidence = host.soft_argmax_numpy(maps[1])
    np.testing.assert_array_equal(coords, host.soft_argmax_numpy(maps)[0][1])
    assert confidence.shape == (4,)
