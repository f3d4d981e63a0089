"""The module under test, and maps to try it on: every dtype, memory layout and awkward value."""

import os
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]

SMALL = settings(max_examples=150, derandomize=True, deadline=None, database=None)
DTYPES = (np.float16, np.float32, np.float64)
LAYOUTS = ("contiguous", "channels_last", "transposed", "sliced", "reversed", "unaligned")
PLAIN = (-1.0, -0.25, 0.0, 0.25, 0.5, 1.0)
AWKWARD = (*PLAIN, 2.0**-24, 65504.0, np.inf, -np.inf, np.nan)


def load_host() -> Any:
    """`hhd_kernels.host`; its absence is a failure unless HHD_BUILD=skip asked for it."""
    if os.environ.get("HHD_BUILD") == "skip":
        return pytest.importorskip(
            "hhd_kernels.host", reason="not built, as HHD_BUILD=skip asked", exc_type=ImportError
        )
    return import_module("hhd_kernels.host")


def lay_out(maps: Array, layout: str) -> Array:
    """The same [B, K, H, W] values in another memory layout."""
    if layout == "channels_last":
        return np.ascontiguousarray(maps.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if layout == "transposed":
        return np.ascontiguousarray(maps.T).T
    if layout == "sliced":
        room = np.full([2 * n + 1 for n in maps.shape], np.nan, maps.dtype)
        room[1::2, 1::2, 1::2, 1::2] = maps
        return room[1::2, 1::2, 1::2, 1::2]
    if layout == "reversed":
        return np.ascontiguousarray(maps[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1]
    if layout == "unaligned":
        record = np.zeros(maps.shape, dtype=[("pad", "u1"), ("value", maps.dtype)])
        record["value"] = maps
        return record["value"]
    return np.ascontiguousarray(maps)


@st.composite
def tied_maps(draw: st.DrawFn, values: tuple[float, ...] = AWKWARD, side: int = 20) -> Array:
    """[B, K, H, W] of few distinct values, so with many ties, from 1x1, in any dtype and layout."""
    shape = [draw(st.integers(1, 2)) for _ in range(2)] + [
        draw(st.integers(1, side)) for _ in range(2)
    ]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pool = draw(st.lists(st.sampled_from(values), min_size=1, max_size=4))
    maps = rng.choice(np.array(pool), size=shape).astype(draw(st.sampled_from(DTYPES)))
    # Mostly background, so that peaks are isolated, sit anywhere and not every map has a NaN.
    maps[rng.random(shape) < draw(st.sampled_from([0.0, 0.9, 0.99]))] = min(PLAIN)
    return lay_out(maps, draw(st.sampled_from(LAYOUTS)))


def noisy_peaks(seed: int, height: int, width: int, noise: float = 0.02) -> Array:
    """float64 [3, 4, H, W] Gaussians of sigma 2 anywhere on the map, plus noise."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, 1, (3, 4, 2, 1, 1)) * np.reshape([width - 1, height - 1], (2, 1, 1))
    rows, columns = np.indices((height, width))
    square = (columns - centers[:, :, 0]) ** 2 + (rows - centers[:, :, 1]) ** 2
    return np.exp(-square / 8) + noise * rng.standard_normal((3, 4, height, width))
