"""Normalisation of each map over its own pixels, and its gradient."""

import numpy as np
from numpy.typing import ArrayLike

from oracle.maps import Array, as_float64, joints, log_softmax


@np.errstate(invalid="ignore")
def normalize(x: ArrayLike, kind: str, *, beta: float = 1.0, eps: float = 1e-6) -> Array:
    """Each map of `[B, K, H, W]` normalised: none, l1, l2, softmax (of beta X), l1_positive."""
    maps = as_float64(x)
    for b, k in joints(maps):
        maps[b, k] = _normalize_map(maps[b, k], kind, beta, eps)
    return maps


@np.errstate(invalid="ignore")
def normalize_backward(
    grad: ArrayLike, x: ArrayLike, kind: str, *, beta: float = 1.0, eps: float = 1e-6
) -> Array:
    """The gradient with respect to `x` of `sum(grad * normalize(x))`."""
    maps, upstream = as_float64(x), as_float64(grad)
    for b, k in joints(maps):
        maps[b, k] = _normalize_map_backward(upstream[b, k], maps[b, k], kind, beta, eps)
    return maps


def _normalize_map(x: Array, kind: str, beta: float, eps: float) -> Array:
    if kind == "none":
        return x
    if kind == "l1":
        return x / np.maximum(np.abs(x).sum(), eps)
    if kind == "l2":
        return x / np.maximum(np.sqrt((x * x).sum()), eps)
    if kind == "l1_positive":
        positive = np.maximum(x, 0.0)
        return positive / np.maximum(positive.sum(), eps)
    if kind == "softmax":
        return np.exp(log_softmax(x, beta))
    raise ValueError(f"kind: {kind!r}")


def _normalize_map_backward(g: Array, x: Array, kind: str, beta: float, eps: float) -> Array:
    if kind == "none":
        return g
    if kind == "softmax":
        p = np.exp(log_softmax(x, beta))
        return beta * p * (g - (g * p).sum())
    if kind == "l1":
        norm = np.abs(x).sum()
        if norm <= eps:
            return g / eps
        return (g - np.sign(x) * ((g * x).sum() / norm)) / norm
    if kind == "l2":
        norm = np.sqrt((x * x).sum())
        if norm <= eps:
            return g / eps
        return (g - x / norm * ((g * x).sum() / norm)) / norm
    if kind == "l1_positive":
        positive = np.maximum(x, 0.0)
        norm = positive.sum()
        through = g / eps if norm <= eps else (g - (g * positive).sum() / norm) / norm
        return np.where(x > 0, through, 0.0)
    raise ValueError(f"kind: {kind!r}")
