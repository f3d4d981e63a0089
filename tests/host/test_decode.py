"""Peak, quarter offset and DARK against the oracle: dtypes, strides, ties, borders, NaN."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import oracle
from host import plain
from host.samples import DTYPES, LAYOUTS, PLAIN, SMALL, Array, lay_out, load_host, noisy_peaks
from host.samples import tied_maps as maps_with_ties

host = load_host()

CONVENTIONS = ["mmpose", "hrnet"]
NO_JOINT = {"mmpose": -1, "hrnet": 0}


def single(height: int, width: int, *peaks: tuple[int, int, float]) -> Array:
    """One float32 map [1, 1, H, W], zero but at the (x, y, value) given."""
    maps = np.zeros((1, 1, height, width), np.float32)
    for x, y, value in peaks:
        maps[0, 0, y, x] = value
    return maps


@SMALL
@given(maps_with_ties(), st.sampled_from(CONVENTIONS))
def test_plain_and_quarter_are_the_oracle(maps: Array, convention: str) -> None:
    for name in ("decode_plain", "decode_quarter"):
        coords, score = getattr(host, name)(maps, convention=convention)
        expected_coords, expected_score = getattr(plain, name)(maps, convention)
        np.testing.assert_array_equal(coords, expected_coords, err_msg=name)
        np.testing.assert_array_equal(score, expected_score, err_msg=name)


@SMALL
@given(st.integers(0, 10**6), st.sampled_from([5, 6, 9, 24]), st.sampled_from([1, 3, 7, 11, 17]))
@example(0, 64, 11)
def test_dark_is_the_oracle(seed: int, side: int, blur_kernel: int) -> None:
    # Gaussian peaks take the local path; a zero-mean map sends blurred values below the floor.
    peaks = noisy_peaks(seed, side, side + 2)
    maps = np.stack([peaks, peaks - 0.5, np.random.default_rng(seed).normal(size=peaks.shape)])
    maps = maps.reshape(-1, 4, side, side + 2)
    coords, score = host.decode_dark(maps, blur_kernel=blur_kernel)
    expected = oracle.locate_teacher(maps, "dark", blur_kernel=blur_kernel)
    np.testing.assert_allclose(coords, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(score, maps.max(axis=(2, 3)))
    if side == 64:
        assert (coords % 1 != 0).any(axis=-1).sum() > 20


def test_dark_rescales_by_the_blurred_maximum_of_the_whole_map() -> None:
    # The peak's blurred neighbours are negative, so the floor and with it the scale matter.
    maps = np.full((1, 1, 16, 16), -0.3)
    maps[0, 0, 5, 5] = 1.0
    maps[0, 0, 5, 6] = 0.9
    maps[0, 0, 11:, 10:] = 0.8
    coords, _ = host.decode_dark(maps, blur_kernel=3)
    np.testing.assert_allclose(coords, oracle.locate_teacher(maps, "dark", blur_kernel=3))
    assert (coords % 1 != 0).any()


@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize(("position", "refined"), [(1, False), (2, True), (9, True), (10, False)])
def test_dark_leaves_two_pixels_of_border(side: str, position: int, refined: bool) -> None:
    maps = np.full((12, 12), 0.01)
    maps[position, 6] = 1.0
    maps[position, 7] = maps[min(position + 1, 11), 6] = 0.5
    maps = maps if side == "y" else maps.T
    coords, _ = host.decode_dark(maps[None], blur_kernel=5)
    assert bool((coords % 1 != 0).any()) == refined


@SMALL
@given(maps_with_ties(), st.sampled_from(CONVENTIONS))
def test_dark_is_finite_and_on_the_map(maps: Array, convention: str) -> None:
    coords, score = host.decode_dark(maps, convention=convention)
    height, width = maps.shape[2:]
    np.testing.assert_array_equal(score, plain.decode_plain(maps, convention)[1])
    empty = ~(score > 0)
    assert (coords[empty] == NO_JOINT[convention]).all()
    assert ((coords[~empty] >= 0) & (coords[~empty] <= [width - 1, height - 1])).all()


def test_dark_clamps_a_wild_step_to_the_map() -> None:
    found = 0
    for seed in range(40):
        maps = np.random.default_rng(seed).uniform(size=(4, 4, 8, 8))
        coords, _ = host.decode_dark(maps, blur_kernel=3)
        assert ((coords >= 0) & (coords <= 7)).all()
        peak, _ = host.decode_plain(maps)
        found += int((((coords == 0) | (coords == 7)) & (coords != peak)).sum())
    assert found > 0


@pytest.mark.parametrize("name", ["decode_plain", "decode_quarter", "decode_dark"])
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("value", [0.0, -1.0, -np.inf, np.nan])
def test_a_map_without_a_positive_value_is_marked(name: str, convention: str, value: float) -> None:
    maps = single(9, 9, (4, 4, 1.0)).repeat(2, axis=1)
    maps[0, 0] = value
    coords, score = getattr(host, name)(maps, convention=convention)
    assert (coords[0, 0] == NO_JOINT[convention]).all()
    np.testing.assert_array_equal(score[0, 0], np.float32(value))
    assert (coords[0, 1] == 4).all()


@pytest.mark.parametrize("row", [0, 4, 8])
@pytest.mark.parametrize("column", range(19))
def test_one_nan_anywhere_is_seen(row: int, column: int) -> None:
    maps = single(9, 19, (3, 3, 1.0), (column, row, np.nan))
    coords, score = host.decode_plain(maps)
    assert np.isnan(score).all()
    assert (coords == -1).all()


@pytest.mark.parametrize(
    ("x", "y", "mmpose", "hrnet"),
    [
        (0, 4, (0, 4), (0, 4)),
        (1, 4, (1, 4.25), (1, 4)),
        (2, 4, (2.25, 4.25), (2.25, 4.25)),
        (4, 0, (4, 0), (4, 0)),
        (4, 1, (4.25, 1), (4, 1)),
        (6, 4, (6.25, 4.25), (6.25, 4.25)),
        (7, 4, (7, 4.25), (7, 4)),
        (4, 8, (4.25, 8), (4, 8)),
    ],
)
def test_quarter_offset_at_the_border(
    x: int, y: int, mmpose: tuple[float, float], hrnet: tuple[float, float]
) -> None:
    maps = single(9, 8, (x, y, 1.0), (min(x + 1, 7), y, 0.5), (x, min(y + 1, 8), 0.5))
    maps[0, 0, y, x] = 1.0
    for convention, expected in (("mmpose", mmpose), ("hrnet", hrnet)):
        coords, _ = host.decode_quarter(maps, convention=convention)
        assert tuple(coords[0, 0]) == expected, convention


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["decode_plain", "decode_quarter", "decode_dark"])
def test_strides_change_nothing(name: str, dtype: type, layout: str) -> None:
    maps = noisy_peaks(7, 21, 18).astype(dtype)
    view = lay_out(maps, layout)
    np.testing.assert_array_equal(view, maps)
    for got, expected in zip(getattr(host, name)(view), getattr(host, name)(maps), strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == (np.float64 if dtype is np.float64 else np.float32)


def test_every_half_is_read_exactly() -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).reshape(1, -1, 1, 1)
    _, score = host.decode_plain(halves)
    np.testing.assert_array_equal(score[0], halves[0, :, 0, 0].astype(np.float32))


def test_expanded_and_read_only_maps_are_read_in_place() -> None:
    one = np.ascontiguousarray(noisy_peaks(3, 12, 10)[:1, :1])
    one.setflags(write=False)
    coords, score = host.decode_dark(np.broadcast_to(one, (1000, 1000, 12, 10))[:3, :5])
    expected_coords, expected_score = host.decode_dark(one)
    assert coords.shape == (3, 5, 2)
    assert score.shape == (3, 5)
    assert (coords == expected_coords).all()
    assert (score == expected_score).all()


@pytest.mark.parametrize("name", ["decode_plain", "decode_quarter", "decode_dark"])
def test_three_dimensions_lose_the_batch_axis(name: str) -> None:
    maps = noisy_peaks(5, 10, 9)
    coords, score = getattr(host, name)(maps)
    for b in range(len(maps)):
        one_coords, one_score = getattr(host, name)(maps[b])
        np.testing.assert_array_equal(one_coords, coords[b])
        np.testing.assert_array_equal(one_score, score[b])


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (0, 4, 5)])
def test_empty_batches(shape: tuple[int, ...]) -> None:
    for decode in (host.decode_plain, host.decode_quarter, host.decode_dark):
        coords, score = decode(np.zeros(shape, np.float32))
        assert coords.shape == (*shape[:-2], 2)
        assert score.shape == shape[:-2]


@SMALL
@given(maps_with_ties(values=PLAIN))
def test_input_is_not_written(maps: Array) -> None:
    before = maps.copy()
    host.decode_dark(maps)
    host.soft_argmax_numpy(maps, beta=3.0, window=3)
    np.testing.assert_array_equal(maps, before)
