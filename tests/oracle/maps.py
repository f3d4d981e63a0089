"""Small helpers over maps that several oracle ops share."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def as_float64(values: ArrayLike) -> Array:
    """A float64 copy that the caller may change."""
    return np.array(values, dtype=np.float64)


def joints(maps: Array) -> Iterator[tuple[int, int]]:
    """Every `(b, k)` of maps `[B, K, ...]`."""
    return np.ndindex(maps.shape[0], maps.shape[1])


def peak(heatmap: Array) -> tuple[int, int]:
    """`(x, y)` of the maximum, the lowest index on ties; `(0, 0)` for a map that has NaN."""
    if np.isnan(heatmap).any():
        return 0, 0
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
    return x, y


def log_sum_exp(values: Array) -> float:
    """`log(sum(exp(values)))`; minus infinity for no values or only minus infinities."""
    if values.size == 0:
        return -np.inf
    top = values.max()
    if top == -np.inf:
        return -np.inf
    return float(top + np.log(np.exp(values - top).sum()))


def log_softmax(logits: Array, beta: float) -> Array:
    """`log softmax(beta * S)` over one map; all NaN when the map has NaN, +inf or only -inf."""
    with np.errstate(invalid="ignore"):
        shifted = beta * (logits - logits.max())
    return shifted - np.log(np.exp(shifted).sum())


def round_half_up(value: float) -> int:
    """The nearest integer, halves upwards."""
    return int(np.floor(value + 0.5))
