"""Soft-argmax: the expected position under a map's softmax, its confidence and its gradient."""

import numpy as np
from numpy.typing import ArrayLike

from oracle.maps import Array, as_float64, joints, log_softmax, peak, round_half_up

CONFIDENCE_RADIUS = 2


def soft_argmax(
    logits: ArrayLike, beta: float = 1.0, window: int | None = None
) -> tuple[Array, Array]:
    """Coordinates `[B, K, 2]` and confidence `[B, K]` of logits `[B, K, H, W]`."""
    maps = as_float64(logits)
    coords, confidence = np.zeros((*maps.shape[:2], 2)), np.zeros(maps.shape[:2])
    for b, k in joints(maps):
        weights = _position_weights(maps[b, k], beta, window)
        coords[b, k] = _expectation(weights)
        confidence[b, k] = _mass_near(np.exp(log_softmax(maps[b, k], beta)), coords[b, k])
    return coords, confidence


def soft_argmax_backward(
    grad_coords: ArrayLike, logits: ArrayLike, beta: float = 1.0, window: int | None = None
) -> Array:
    """The gradient with respect to the logits of `sum(grad_coords * coords)`."""
    maps, upstream = as_float64(logits), as_float64(grad_coords)
    for b, k in joints(maps):
        weights = _position_weights(maps[b, k], beta, window)
        x, y = _expectation(weights)
        rows, columns = np.indices(weights.shape)
        slope = upstream[b, k, 0] * (columns - x) + upstream[b, k, 1] * (rows - y)
        maps[b, k] = beta * weights * slope
    return maps


def _position_weights(logits: Array, beta: float, window: int | None) -> Array:
    """The softmax over the map, or over the pixels near its peak and 0 elsewhere."""
    if window is None:
        return np.exp(log_softmax(logits, beta))
    if np.isnan(logits).any():
        return np.full(logits.shape, np.nan)
    x, y = peak(logits)
    rows, columns = np.indices(logits.shape)
    near = (np.abs(rows - y) <= window // 2) & (np.abs(columns - x) <= window // 2)
    return np.exp(log_softmax(np.where(near, logits, -np.inf), beta))


def _expectation(weights: Array) -> tuple[float, float]:
    rows, columns = np.indices(weights.shape)
    return float((weights * columns).sum()), float((weights * rows).sum())


def _mass_near(p: Array, coords: Array) -> float:
    """The mass of `p` in the 5x5 box at the rounded coordinates."""
    if not np.isfinite(coords).all():
        return np.nan
    x, y = (round_half_up(c) for c in coords)
    rows, columns = np.indices(p.shape)
    near = (np.abs(rows - y) <= CONFIDENCE_RADIUS) & (np.abs(columns - x) <= CONFIDENCE_RADIUS)
    return float(p[near].sum())
