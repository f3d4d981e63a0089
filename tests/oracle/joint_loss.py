"""Coordinate loss of the soft-argmax plus the distillation loss, and their gradient."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from oracle.hhd_loss import hhd_loss
from oracle.maps import Array, as_float64, joints
from oracle.soft_argmax import soft_argmax, soft_argmax_backward


class JointResult(NamedTuple):
    """The joint loss, its terms without their weights, and the gradient of `loss` at the logits."""

    loss: float
    coordinate_loss: float
    hhd_loss: float
    coords: Array
    confidence: Array
    grad: Array


def joint_loss(
    logits: ArrayLike,
    centers: ArrayLike,
    windows: ArrayLike,
    target_coords: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    teacher_weight: ArrayLike | None = None,
    *,
    beta: float = 10.0,
    reduction: str = "mean",
    coordinate_loss: str = "l1",
    coordinate_unit: float | str = 2.0,
    transition: float = 1.0,
    coordinate_weight: float = 1.0,
    hhd_weight: float = 1.0,
    **hhd_options: Any,
) -> JointResult:
    """Both terms and the gradient `[B, K, H, W]`; `hhd_options` are those of `hhd_loss`."""
    maps = as_float64(logits)
    coords, confidence = soft_argmax(maps, beta)
    height, width = maps.shape[2:]
    unit = np.array([width, height] if coordinate_unit == "map" else [coordinate_unit] * 2, float)
    coordinate, slope = 0.0, np.zeros_like(coords)
    if target_coords is not None:
        coordinate, slope = _coordinate_loss(
            coords, as_float64(target_coords), weight, unit, coordinate_loss, transition, reduction
        )
    distilled, grad = hhd_loss(
        maps,
        centers,
        windows,
        weight if teacher_weight is None else teacher_weight,
        beta=beta,
        reduction=reduction,
        **hhd_options,
    )
    through_coords = soft_argmax_backward(slope, maps, beta)
    through_coords[(slope == 0).all(axis=-1)] = 0.0
    return JointResult(
        loss=coordinate_weight * coordinate + hhd_weight * distilled,
        coordinate_loss=coordinate,
        hhd_loss=distilled,
        coords=coords,
        confidence=confidence,
        grad=coordinate_weight * through_coords + hhd_weight * grad,
    )


def _coordinate_loss(
    coords: Array,
    target: Array,
    weight: ArrayLike | None,
    unit: Array,
    kind: str,
    transition: float,
    reduction: str,
) -> tuple[float, Array]:
    """The reduced loss and its gradient with respect to the coordinates `[B, K, 2]`."""
    given = np.ones(coords.shape[:2]) if weight is None else as_float64(weight)
    total, grad = 0.0, np.zeros_like(coords)
    for b, k in joints(coords):
        if given[b, k] == 0:
            continue
        aim = np.where(np.isfinite(target[b, k]), target[b, k], np.nan)
        d = (coords[b, k] - aim) / unit
        if kind == "l1":
            loss, slope = np.abs(d), np.sign(d)
        elif kind == "l2":
            loss, slope = d**2, 2 * d
        elif kind == "smooth_l1":
            near = np.abs(d) < transition
            loss = np.where(near, d**2 / (2 * transition), np.abs(d) - transition / 2)
            slope = np.where(near, d / transition, np.sign(d))
        else:
            raise ValueError(f"coordinate_loss: {kind!r}")
        total += given[b, k] * loss.mean()
        grad[b, k] = given[b, k] * slope / unit / 2
    divisor = given.sum() if reduction == "mean" else float(given.size)
    return (float(total / divisor), grad / divisor) if divisor else (0.0, grad)
