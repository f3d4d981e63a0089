"""Teacher targets: centre, window of the normalised map, and confidence."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from oracle.crop import crop
from oracle.locate import locate_teacher
from oracle.maps import Array, as_float64
from oracle.normalize import normalize as normalize_maps


def teacher_targets(
    heatmaps: ArrayLike,
    window: tuple[int, int] = (7, 7),
    *,
    normalize: str = "l1_positive",
    sampling: str = "nearest",
    border: str = "mirror",
    eps: float = 1e-6,
    floor: float = 0.0,
    accumulate: DTypeLike = np.float64,
    centers: ArrayLike | None = None,
) -> tuple[Array, Array, Array]:
    """Centres `[B, K, 2]` (located unless given), windows `[B, K, wh, ww]`, the raw maximum.

    What `floor` leaves out is decided in `accumulate`, as the ops decide it.
    """
    maps = as_float64(heatmaps)
    if centers is None:
        centers = locate_teacher(maps)
    kept = maps
    if floor and maps.size:
        top = maps.max(axis=(2, 3), keepdims=True).astype(accumulate)
        kept = np.where(maps < np.asarray(floor, accumulate) * top, 0.0, maps)
    normalized = normalize_maps(kept, normalize, beta=1.0, eps=eps)
    windows = crop(normalized, centers, window, sampling=sampling, border=border)
    confidence = maps.max(axis=(2, 3)) if maps.size else np.zeros(maps.shape[:2])
    return as_float64(centers), windows, confidence
