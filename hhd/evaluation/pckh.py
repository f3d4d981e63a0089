"""MPII's PCKh by both conventions in use, which give different numbers for the same predictions.

=====================  ========================================  ==================================
                       ``"hrnet"`` (``lib/dataset/mpii.py``)     ``"mmpose"`` (MpiiPCKAccuracy)
=====================  ========================================  ==================================
on the threshold       counts (<=)                               does not (<)
"@0.1" is really       0.11                                      0.10
joint nobody has       NaN, and so is every mean                 -100 % in its pair, 0 in the mean
=====================  ========================================  ==================================

Both measure in .6 of the head box's diagonal, add 1 to predictions (MPII counts from 1), leave
pelvis and thorax out of the mean and weigh joints by how often they are labelled.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hhd.data.mpii import MpiiTruth

Convention = Literal["hrnet", "mmpose"]
PELVIS, THORAX = 6, 7
# Positions in MPII's order, left and right.
PARTS = {
    "Head": (9,),
    "Shoulder": (13, 12),
    "Elbow": (14, 11),
    "Wrist": (15, 10),
    "Hip": (3, 2),
    "Knee": (4, 1),
    "Ankle": (5, 0),
}
FINE_THRESHOLD = {"hrnet": 0.11, "mmpose": 0.10}
COMPARISON = {"hrnet": "<=", "mmpose": "<"}


class Pckh(NamedTuple):
    """Percent. ``parts`` and ``mean`` at half a head; ``fine_mean`` at the convention's "0.1"."""

    convention: Convention
    parts: dict[str, float]
    mean: float
    fine_mean: float

    def sign(self) -> str:
        """How a distance is compared with the threshold."""
        return COMPARISON[self.convention]

    def fine_threshold(self) -> float:
        """What the convention's "@0.1" is."""
        return FINE_THRESHOLD[self.convention]

    def named(self) -> dict[str, float]:
        """The numbers under names that say what they are, for JSON."""
        coarse = f"PCKh ({self.convention}, {self.sign()} 0.5)"
        fine = f"PCKh ({self.convention}, {self.sign()} {self.fine_threshold():.2f})"
        return {
            **{f"{coarse} {part}": value for part, value in self.parts.items()},
            f"{coarse} Mean": self.mean,
            f"{fine} Mean": self.fine_mean,
        }


def pckh(coords: NDArray[np.float64], truth: MpiiTruth, convention: Convention) -> Pckh:
    """PCKh of ``coords`` [N, 16, 2], image pixels counted from 0, in the order of ``truth``."""
    if coords.shape != truth.coords.shape:
        raise ValueError(f"coords has shape {coords.shape}; MPII's truth has {truth.coords.shape}")
    error = np.linalg.norm(coords + 1 - truth.coords, axis=2)
    if convention == "mmpose":
        # mmpose divides first and keeps single precision, which decides what is on a threshold.
        offset = (coords + 1 - truth.coords) / truth.head_size[:, None, None]
        distances = np.linalg.norm(offset, axis=2).astype(np.float32)
    else:
        distances = error / truth.head_size[:, None]
    count = truth.labelled.sum(axis=0)
    coarse, fine = (
        _share_within(distances, truth.labelled, count, threshold, convention)
        for threshold in (0.5, FINE_THRESHOLD[convention])
    )
    counted = np.delete(np.arange(coords.shape[1]), [PELVIS, THORAX])
    ratio = count[counted] / count[counted].sum()
    parts = {name: float(coarse[list(joints)].mean()) for name, joints in PARTS.items()}
    return Pckh(convention, parts, float(coarse[counted] @ ratio), float(fine[counted] @ ratio))


def _share_within(
    distances: NDArray[np.floating],
    labelled: NDArray[np.bool_],
    count: NDArray[np.int_],
    threshold: float,
    convention: Convention,
) -> NDArray[np.float64]:
    """Percent of each joint's labelled ones within the threshold, [K]."""
    within = distances <= threshold if convention == "hrnet" else distances < threshold
    hits = (within & labelled).sum(axis=0)
    nobody = np.nan if convention == "hrnet" else -100.0
    return np.where(count > 0, 100.0 * hits / np.maximum(count, 1), nobody)
