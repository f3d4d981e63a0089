"""OKS between predicted poses, and non-maximum suppression by it, hard and soft.

HRNet ``lib/nms/nms.py`` and mmpose ``evaluation/functional/nms.py``. HRNet always takes COCO's
sigmas, mmpose and this the skeleton's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
# Detections that soft suppression keeps in a picture, COCO's maxDets for keypoints.
MOST_KEPT = 20


def oks_matrix(coords: ArrayLike, areas: ArrayLike, sigmas: Sequence[float]) -> Array:
    """Similarity [N, N] of poses ``coords`` [N, K, 2], all joints counting; one whose place is not
    finite is like none.

    ``areas`` [N] in squared pixels; a pair is measured in the mean of its two areas.
    """
    points, area = np.asarray(coords, dtype=np.float64), np.asarray(areas, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        squared = np.square(points[:, None] - points[None]).sum(axis=-1)
    squared[np.isnan(squared)] = np.inf
    variance = np.square(2 * np.asarray(sigmas))
    scale = (area[:, None] + area[None]) / 2 + np.spacing(1)
    return np.asarray(np.exp(-squared / variance / scale[..., None] / 2).mean(axis=-1))


def oks_nms(oks: Array, scores: ArrayLike, threshold: float = 0.9) -> list[int]:
    """Indices kept, best first: none is more than ``threshold`` like a better one."""
    order = _descending(scores)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[oks[best, rest] <= threshold]
    return kept


def soft_oks_nms(
    oks: Array, scores: ArrayLike, threshold: float = 0.9, most: int = MOST_KEPT
) -> list[int]:
    """At most ``most`` indices, best first, where each pick lowers the others by
    exp(-oks^2 / threshold). As upstream, the lowered scores only order: nobody sees them."""
    current = np.array(scores, dtype=np.float64)
    left = _descending(current)
    kept: list[int] = []
    while left.size and len(kept) < most:
        best, left = left[0], left[1:]
        kept.append(int(best))
        current[left] *= np.exp(-np.square(oks[best, left]) / threshold)
        left = left[_descending(current[left])]
    return kept


def _descending(scores: ArrayLike) -> NDArray[np.intp]:
    """Order by falling score, the first of equals first."""
    return np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
