"""Decoding and encoding in plain NumPy, written from the conventions' text: the tests' oracle."""

import math

import numpy as np

from host.samples import Array


def decode_plain(maps: Array, convention: str) -> tuple[Array, Array]:
    """Argmax coordinates and maxima; a map with a NaN has none."""
    flat = maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    scores = flat.max(axis=-1)
    index = flat.argmax(axis=-1)
    coords = np.stack([index % maps.shape[3], index // maps.shape[3]], axis=-1).astype(np.float64)
    coords[~(scores > 0)] = {"mmpose": -1, "hrnet": 0}[convention]
    return coords, scores


def decode_quarter(maps: Array, convention: str) -> tuple[Array, Array]:
    """The peak plus a quarter pixel towards the larger neighbour, by each convention's border."""
    coords, scores = decode_plain(maps, convention)
    height, width = maps.shape[2:]
    for b, k in np.ndindex(maps.shape[:2]):
        x, y = coords[b, k].astype(int)
        if not scores[b, k] > 0:
            continue
        in_x, in_y = x in range(2, width - 1), y in range(2, height - 1)
        if convention == "hrnet":
            in_x = in_y = in_x and in_y
        else:
            in_x, in_y = in_x and y >= 1, in_y and x >= 1
        if in_x:
            coords[b, k, 0] += 0.25 * compare(maps[b, k, y, x + 1], maps[b, k, y, x - 1])
        if in_y:
            coords[b, k, 1] += 0.25 * compare(maps[b, k, y + 1, x], maps[b, k, y - 1, x])
    return coords, scores


def compare(a: float, b: float) -> int:
    """1, 0 or -1: the sign of a - b."""
    return int(a > b) - int(a < b)


def encode(
    keypoints: Array, visible: Array, height: int, width: int, sigma: float, unbiased: bool
) -> tuple[Array, Array]:
    """Target maps [K, H, W] and weights [K], pixel by pixel."""
    maps = np.zeros((len(keypoints), height, width))
    weights = np.array(visible, dtype=np.float64)
    reach = 3 * sigma if unbiased else math.floor(3 * sigma)
    for k, point in enumerate(keypoints):
        if not np.isfinite(point).all():
            continue
        x, y = point if unbiased else (int(v + 0.5) for v in point)
        if any(mu - reach >= size or mu + reach + 1 < 0 for mu, size in ((x, width), (y, height))):
            weights[k] = 0
        elif visible[k] > 0.5:
            for i, j in np.ndindex(height, width):
                if unbiased or max(abs(i - y), abs(j - x)) <= reach:
                    maps[k, i, j] = math.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * sigma**2))
    return maps, weights
