"""Window centres: the teacher's peak (or its DARK refinement) and the student's counterpart."""

import numpy as np
from numpy.typing import ArrayLike

from oracle.maps import Array, as_float64, joints, log_softmax, peak

FLOAT32_MAX = float(np.finfo(np.float32).max)


def locate_teacher(heatmaps: ArrayLike, refine: str = "none", *, blur_kernel: int = 11) -> Array:
    """Teacher centres `[B, K, 2]` of heatmaps `[B, K, H, W]`; `refine` is none or dark."""
    maps = as_float64(heatmaps)
    centers = np.zeros((*maps.shape[:2], 2))
    for b, k in joints(maps):
        x, y = peak(maps[b, k])
        height, width = maps.shape[2:]
        dx, dy = _dark_offset(maps[b, k], x, y, blur_kernel) if refine == "dark" else (0.0, 0.0)
        centers[b, k] = np.clip(x + dx, 0, width - 1), np.clip(y + dy, 0, height - 1)
    return centers


def locate_student(
    logits: ArrayLike,
    teacher_centers: ArrayLike,
    mode: str = "peak",
    *,
    beta: float = 1.0,
    window: tuple[int, int] = (7, 7),
    accumulate: str = "float32",
) -> Array:
    """Student centres `[B, K, 2]`; `accumulate` is the dtype in which `published` can overflow."""
    maps, teacher = as_float64(logits), as_float64(teacher_centers)
    centers = teacher.copy()
    for b, k in joints(maps):
        if mode == "published":
            centers[b, k] = _published(maps[b, k], teacher[b, k], window, accumulate)
        elif mode == "debiased":
            centers[b, k] = _debiased(maps[b, k], teacher[b, k], beta, window)
        elif mode != "peak":
            raise ValueError(f"mode: {mode!r}")
    return centers


def background_share(logits: Array, beta: float, window: tuple[int, int]) -> float:
    """The background's share r of the softmax mass, from the mass outside a peak's window."""
    height, width = logits.shape
    x, y = peak(logits)
    top, left = y - window[0] // 2, x - window[1] // 2
    rows = slice(max(top, 0), min(top + window[0], height))
    columns = slice(max(left, 0), min(left + window[1], width))
    box = np.exp(log_softmax(logits, beta))[rows, columns]
    outside = height * width - box.size
    if outside == 0:
        return 0.0
    return float(np.clip((1.0 - box.sum()) * height * width / outside, 0.0, 0.5))


def _published(logits: Array, t: Array, window: tuple[int, int], accumulate: str) -> list[float]:
    with np.errstate(over="ignore"):
        c = np.exp(logits).sum()
    if accumulate == "float32" and c > FLOAT32_MAX:
        c = np.inf
    if not np.isfinite(c) or c <= 1.0:
        return list(t)
    height, width = logits.shape
    center = []
    for position, length, size in ((t[0], width, window[1]), (t[1], height, window[0])):
        if not np.isfinite(position):
            center.append(float(position))
            continue
        s = np.trunc(c / (c - 1.0) * (position - 1.0 / (2.0 * c)))
        last = length if size % 2 == 0 else length - 1
        center.append(float(s) if 0 <= s <= last else float(np.clip(s, 0, length - 1)))
    return center


def _debiased(logits: Array, t: Array, beta: float, window: tuple[int, int]) -> list[float]:
    r = background_share(logits, beta, window)
    height, width = logits.shape
    center = []
    for position, length, size in ((t[0], width, window[1]), (t[1], height, window[0])):
        if not np.isfinite(position):
            center.append(float(position))
            continue
        s = position + (position - (length - 1) / 2) * (r / (1 - r))
        s = np.clip(s, position - size / 2, position + size / 2)
        center.append(float(np.clip(s, 0, length - 1)))
    return center


def _gaussian_blur(heatmap: Array, taps: int) -> Array:
    """A Gaussian blur with zeros outside the map; sigma follows from the number of taps."""
    sigma = 0.3 * ((taps - 1) * 0.5 - 1) + 0.8
    reach = taps // 2
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    height, width = heatmap.shape
    padded = np.pad(heatmap, reach)
    blurred = np.zeros_like(heatmap)
    for dy in range(taps):
        for dx in range(taps):
            blurred += kernel[dy] * kernel[dx] * padded[dy : dy + height, dx : dx + width]
    return blurred


def _dark_offset(heatmap: Array, x: int, y: int, blur_kernel: int) -> tuple[float, float]:
    """One Newton step on the log of the blurred map from its peak to the sub-pixel maximum."""
    height, width = heatmap.shape
    if not (1 < x < width - 2 and 1 < y < height - 2) or not heatmap.max() > 0:
        return 0.0, 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        blurred = _gaussian_blur(heatmap, blur_kernel)
        f = np.log(np.maximum(blurred * (heatmap.max() / blurred.max()), 1e-10))
        gx = 0.5 * (f[y, x + 1] - f[y, x - 1])
        gy = 0.5 * (f[y + 1, x] - f[y - 1, x])
        gxx = 0.25 * (f[y, x + 2] - 2 * f[y, x] + f[y, x - 2])
        gyy = 0.25 * (f[y + 2, x] - 2 * f[y, x] + f[y - 2, x])
        corners = f[y + 1, x + 1] - f[y + 1, x - 1] - f[y - 1, x + 1] + f[y - 1, x - 1]
        gxy = 0.25 * corners
        determinant = gxx * gyy - gxy * gxy
        if determinant == 0:
            return 0.0, 0.0
        dx = -(gyy * gx - gxy * gy) / determinant
        dy = -(gxx * gy - gxy * gx) / determinant
    if not (np.isfinite(dx) and np.isfinite(dy)):
        return 0.0, 0.0
    return float(dx), float(dy)
