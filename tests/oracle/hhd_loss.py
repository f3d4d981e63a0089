"""The distillation loss between the student's and the teacher's window, and its gradient."""

import numpy as np
from numpy.typing import ArrayLike

from oracle.crop import Geometry, cell_taps, crop, crop_backward, geometry
from oracle.locate import locate_student
from oracle.maps import Array, as_float64, joints, log_softmax, log_sum_exp
from oracle.normalize import normalize as normalize_maps
from oracle.normalize import normalize_backward

LOG_TINY = float(np.log(1.1754943508222875e-38))


def hhd_loss(
    logits: ArrayLike,
    centers: ArrayLike,
    windows: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    beta: float = 10.0,
    normalize: str = "softmax",
    divergence: str = "kl",
    locate: str = "peak",
    sampling: str = "nearest",
    border: str = "mirror",
    reduction: str = "mean",
    eps: float = 1e-6,
    student_centers: ArrayLike | None = None,
    accumulate: str = "float32",
) -> tuple[float, Array]:
    """The loss and its gradient with respect to the logits `[B, K, H, W]`.

    `student_centers` `[B, K, 2]` replaces the located ones: the caller's choice at a truncation.
    """
    maps, teacher_centers, targets = as_float64(logits), as_float64(centers), as_float64(windows)
    window = (targets.shape[2], targets.shape[3])
    if student_centers is None:
        student_centers = locate_student(
            maps, teacher_centers, locate, beta=beta, window=window, accumulate=accumulate
        )
    at = as_float64(student_centers)
    given = np.ones(maps.shape[:2]) if weight is None else as_float64(weight)
    total, grad = 0.0, np.zeros_like(maps)
    for b, k in joints(maps):
        if given[b, k] == 0:
            continue
        places = [
            geometry(center, window, maps.shape[2:], sampling, border)
            for center in (at[b, k], teacher_centers[b, k])
        ]
        if not (np.isfinite(teacher_centers[b, k]).all() and np.isfinite(targets[b, k]).all()):
            loss, slope = np.nan, np.full_like(maps[b, k], np.nan)
        elif divergence == "kl":
            loss, slope = _kl(maps[b, k], targets[b, k], places[0], places[1], beta)
        else:
            loss, slope = _sse(
                maps[b, k], targets[b, k], at[b, k], normalize, beta, eps, sampling, border
            )
        total += given[b, k] * loss
        grad[b, k] = np.nan if np.isnan(loss) else given[b, k] * slope
    divisor = given.sum() if reduction == "mean" else float(maps.shape[0])
    return (float(total / divisor), grad / divisor) if divisor else (0.0, grad)


def _sse(
    logits: Array,
    target: Array,
    center: Array,
    kind: str,
    beta: float,
    eps: float,
    sampling: str,
    border: str,
) -> tuple[float, Array]:
    """`sum (A - B)^2` of one joint."""
    one, at = logits[None, None], center[None, None]
    normalized = normalize_maps(one, kind, beta=beta, eps=eps)
    student = crop(normalized, at, target.shape, sampling=sampling, border=border)
    difference = student[0, 0] - target
    slope = crop_backward(
        2 * difference[None, None], one.shape, at, sampling=sampling, border=border
    )
    grad = normalize_backward(slope, one, kind, beta=beta, eps=eps)
    return float((difference**2).sum()), grad[0, 0]


def _kl(
    logits: Array, target: Array, student: Geometry, teacher: Geometry, beta: float
) -> tuple[float, Array]:
    """`KL(teacher || student)` of one joint over the window's cells and the rest of the map."""
    if target.sum() == 0:
        return 0.0, np.zeros_like(logits)
    log_p = log_softmax(logits, beta)
    inside = np.outer(teacher.y.inside, teacher.x.inside)
    rest = 1.0 - target[inside].sum()
    masses = np.append(target.ravel(), np.where(rest < 0, 0.0, rest))
    b = masses / masses.sum()

    log_shares = [
        _log_taps(cell_taps(student, *cell), log_p.shape) + log_p
        for cell in np.ndindex(*target.shape)
    ]
    outside = 1.0 - np.outer(student.y.coverage(log_p.shape[0]), student.x.coverage(log_p.shape[1]))
    with np.errstate(divide="ignore"):
        log_shares.append(np.log(np.maximum(outside, 0.0)) + log_p)
    log_student = [log_sum_exp(log_share) for log_share in log_shares]
    log_z = log_sum_exp(np.array(log_student))

    loss = 0.0
    slope = np.zeros_like(logits)
    for teacher_mass, log_mass, log_share in zip(b, log_student, log_shares, strict=True):
        if log_mass == -np.inf:
            loss += _cross(teacher_mass, LOG_TINY - log_z)
            continue
        loss += _cross(teacher_mass, log_mass - log_z)
        slope += np.exp(log_share - log_z) - teacher_mass * np.exp(log_share - log_mass)
    return float(loss), beta * (slope - np.exp(log_p) * slope.sum())


def _cross(b: float, log_a: float) -> float:
    """`b log(b / a)`, 0 where b is 0 (NaN where a is)."""
    return 0.0 * log_a if b == 0 else b * (np.log(b) - log_a)


def _log_taps(taps: list[tuple[int, int, float]], shape: tuple[int, ...]) -> Array:
    """The logarithm of one cell's tap weights over the map, minus infinity where there is none."""
    weights = np.zeros(shape)
    for y, x, weight in taps:
        weights[y, x] += weight
    with np.errstate(divide="ignore"):
        return np.log(weights)
