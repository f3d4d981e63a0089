"""Target maps against the oracle, and the rules of drawing, cutting and weighting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host import plain
from host.samples import SMALL, load_host

host = load_host()

ENCODERS = pytest.mark.parametrize("name", ["encode_msra", "encode_dark"])
POSITIONS = st.one_of(st.integers(-30, 40).map(lambda n: n / 2), st.floats(-30, 40, width=32))


@SMALL
@given(
    st.lists(st.tuples(POSITIONS, POSITIONS, st.sampled_from([0, 0.3, 0.5, 0.6, 1])), max_size=4),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([0.2, 0.5, 1.0, 1.4, 2.0, 3.0]),
    st.booleans(),
)
def test_it_is_the_oracle(
    joints: list[tuple[float, float, float]], height: int, width: int, sigma: float, unbiased: bool
) -> None:
    values = np.array(joints).reshape(-1, 3)
    encode = host.encode_dark if unbiased else host.encode_msra
    maps, weights = encode(values[:, :2], values[:, 2], (width, height), sigma)
    expected = plain.encode(values[:, :2], values[:, 2], height, width, sigma, unbiased)
    assert maps.dtype == weights.dtype == np.float32
    np.testing.assert_allclose(maps, expected[0], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(weights, expected[1].astype(np.float32))


@ENCODERS
def test_batches_and_dtypes_agree(name: str) -> None:
    encode = getattr(host, name)
    points = np.random.default_rng(0).integers(0, 16, (3, 5, 2)) / 2
    visible = np.array([[1, 1, 0, 1, 1]] * 3)
    maps, weights = encode(points.astype(np.float32), visible, (9, 8), 1.5)
    assert maps.shape == (3, 5, 8, 9)
    assert weights.shape == (3, 5)
    assert (maps[:, 2] == 0).all()
    assert (maps[:, [0, 1, 3, 4]].max(axis=(2, 3)) > 0).all()
    for b in range(3):
        one_maps, one_weights = encode(points[b].tolist(), visible[b].astype(bool), (9, 8), 1.5)
        np.testing.assert_array_equal(one_maps, maps[b])
        np.testing.assert_array_equal(one_weights, weights[b])
    strided, _ = encode(np.asfortranarray(points), visible, (9, 8), 1.5)
    np.testing.assert_array_equal(strided, maps)


@ENCODERS
def test_no_visibility_means_all_visible(name: str) -> None:
    encode = getattr(host, name)
    points = np.array([[3.0, 4.0], [100.0, 4.0]])
    for got, expected in zip(
        encode(points, None, (9, 8)), encode(points, [1, 1], (9, 8)), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    assert encode(points, None, (9, 8))[1].tolist() == [1, 0]


@ENCODERS
def test_drawn_above_one_half_only(name: str) -> None:
    maps, weights = getattr(host, name)([[4.0, 4.0]] * 3, [0.5, 0.51, 0.0], (9, 9))
    assert (maps.max(axis=(1, 2)) > 0).tolist() == [False, True, False]
    np.testing.assert_allclose(weights, [0.5, 0.51, 0.0])


@pytest.mark.parametrize(
    ("x", "weight", "drawn"),
    [(-8.5, 0, False), (-8, 1, False), (-7, 1, True), (13.4, 1, True), (13.5, 0, False)],
)
def test_msra_weight_at_the_border(x: float, weight: float, drawn: bool) -> None:
    # x = -8: mu = int(-7.5), the square ends right before column 0; HRNet and mmpose keep it.
    maps, weights = host.encode_msra([[x, 4.0]], [1.0], (8, 8), 2.0)
    assert weights.tolist() == [weight]
    assert bool(maps.any()) == drawn


def test_msra_rounds_half_up_and_truncates_towards_zero() -> None:
    maps, _ = host.encode_msra([[2.5, 2.49], [-1.2, 0.0]], None, (6, 6), 1.0)
    assert np.unravel_index(maps[0].argmax(), (6, 6)) == (2, 3)
    assert maps[1, 0, 0] == 1.0


def test_msra_peak_is_one_for_any_sigma() -> None:
    for sigma in (0.4, 1.0, 1.4, 2.5, 3.0):
        maps, _ = host.encode_msra([[1.0, 10.0]], None, (21, 21), sigma)
        assert maps[0, 10, 1] == maps.max() == 1.0
        reach = np.flatnonzero(maps[0, 10]).max() - 1
        assert reach == int(3 * sigma)


@ENCODERS
@pytest.mark.parametrize("point", [[1e300, 3.0], [3.0, -1e300], [2.0**63, 0.0]])
def test_a_joint_far_away_has_no_weight(name: str, point: list[float]) -> None:
    maps, weights = getattr(host, name)([point], [1.0], (8, 8))
    assert not maps.any()
    assert weights.tolist() == [0]


@ENCODERS
def test_unknown_coordinates_of_an_invisible_joint(name: str) -> None:
    maps, weights = getattr(host, name)([[np.nan, np.nan], [3.0, 3.0]], [0.0, 1.0], (8, 8))
    assert not maps[0].any()
    assert weights.tolist() == [0, 1]


@ENCODERS
def test_huge_and_tiny_sigma_are_finite(name: str) -> None:
    for sigma in (1e-200, 1e200):
        maps, weights = getattr(host, name)([[3.0, 3.0]], [1.0], (8, 8), sigma)
        assert np.isfinite(maps).all()
        assert maps[0, 3, 3] == 1
        assert weights.tolist() == [1]
