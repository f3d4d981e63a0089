"""A window around a centre, as taps per axis with two ways past the border, and its gradient."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from oracle.maps import Array, as_float64, joints, round_half_up

Taps = list[tuple[int, float]]


class Axis(NamedTuple):
    """One axis of a window: each cell's taps (pixel, weight), and is its own position inside?"""

    taps: list[Taps]
    inside: list[bool]

    def coverage(self, length: int) -> Array:
        """How much of each pixel the cells with an inside position take, `[length]`."""
        covered = np.zeros(length)
        for taps, inside in zip(self.taps, self.inside, strict=True):
            for pixel, weight in taps if inside else ():
                covered[pixel] += weight
        return covered


class Geometry(NamedTuple):
    """Both axes of one window."""

    y: Axis
    x: Axis


def window_axis(center: float, size: int, length: int, sampling: str, border: str) -> Axis:
    """The cells of a window of `size` round `center` on an axis of `length` pixels."""
    if not np.isfinite(center):
        return Axis([[] for _ in range(size)], [False] * size)
    if sampling == "nearest":
        first = float(round_half_up(center) - size // 2)
    else:
        first = center - (size - 1) / 2
    positions = [first + n for n in range(size)]
    inside = [0 <= p <= length - 1 for p in positions]
    taps = []
    for n, p in enumerate(positions):
        mirrored = size - 1 - n
        published_gap = border == "mirror_published" and sampling == "nearest" and size % 2
        if inside[n]:
            taps.append(_taps(p))
        elif not inside[mirrored] or (published_gap and p == length):
            taps.append([])
        else:
            taps.append(_taps(positions[mirrored]))
    return Axis(taps, inside)


def geometry(
    center: ArrayLike, window: tuple[int, int], shape: tuple[int, int], sampling: str, border: str
) -> Geometry:
    """The window `(wh, ww)` round `center` `(x, y)` on a map of `shape` `(H, W)`."""
    x, y = np.asarray(center, dtype=np.float64)
    return Geometry(
        y=window_axis(float(y), window[0], shape[0], sampling, border),
        x=window_axis(float(x), window[1], shape[1], sampling, border),
    )


def cell_taps(window: Geometry, row: int, column: int) -> list[tuple[int, int, float]]:
    """The taps (y, x, weight) of one cell."""
    return [(y, x, v * h) for y, v in window.y.taps[row] for x, h in window.x.taps[column]]


def crop(
    maps: ArrayLike,
    centers: ArrayLike,
    window: tuple[int, int] = (7, 7),
    *,
    sampling: str = "nearest",
    border: str = "mirror",
) -> Array:
    """Windows `[B, K, wh, ww]` of maps `[B, K, H, W]` round centres `[B, K, 2]`."""
    values, at = as_float64(maps), as_float64(centers)
    windows = np.zeros((*values.shape[:2], *window))
    for b, k in joints(values):
        place = geometry(at[b, k], window, values.shape[2:], sampling, border)
        for cell in np.ndindex(*window):
            taps = cell_taps(place, *cell)
            windows[b, k][cell] = sum(weight * values[b, k, y, x] for y, x, weight in taps)
    return windows


def crop_backward(
    grad: ArrayLike,
    shape: tuple[int, ...],
    centers: ArrayLike,
    *,
    sampling: str = "nearest",
    border: str = "mirror",
) -> Array:
    """The gradient with respect to maps of `shape` of `sum(grad * crop(maps))`."""
    upstream, at = as_float64(grad), as_float64(centers)
    result = np.zeros(shape)
    for b, k in joints(result):
        size = (upstream.shape[2], upstream.shape[3])
        place = geometry(at[b, k], size, (shape[2], shape[3]), sampling, border)
        for cell in np.ndindex(*size):
            for y, x, weight in cell_taps(place, *cell):
                result[b, k, y, x] += weight * upstream[b, k][cell]
    return result


def _taps(position: float) -> Taps:
    low = int(np.floor(position))
    fraction = position - low
    return [(low, 1.0)] if fraction == 0 else [(low, 1.0 - fraction), (low + 1, fraction)]
