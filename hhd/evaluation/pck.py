"""PCK: the share of joints found within a fraction of the person's torso."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hhd.data.coco import Person
from hhd.data.skeleton import Skeleton

THRESHOLDS = np.linspace(0, 0.5, 51)


@dataclass(frozen=True)
class Pck:
    """Shares in 0..1. ``auc``: area under PCK over 0..0.5 torsos, divided by 0.5 (trapezoids).

    ``per_joint`` is PCK@0.2 by joint name (NaN where no person has it labelled). ``joints`` joints
    of ``persons`` persons were judged; ``without_torso`` persons lack a labelled torso and could
    not be.
    """

    at_02: float
    at_05: float
    auc: float
    per_joint: dict[str, float]
    joints: int
    persons: int
    without_torso: int


def torso_distances(
    coords: NDArray[np.float64], persons: Sequence[Person], skeleton: Skeleton
) -> NDArray[np.float64]:
    """Errors [N, J] of the PCK joints in torsos; NaN where a joint or the torso is not labelled."""
    truth = np.stack([person.keypoints for person in persons])
    if coords.shape != (*truth.shape[:2], 2):
        raise ValueError(f"coords has shape {coords.shape}; it takes {(*truth.shape[:2], 2)}")
    first, second = skeleton.indices(skeleton.pck_normaliser)
    torso = np.linalg.norm(truth[:, first, :2] - truth[:, second, :2], axis=1)
    usable = (truth[:, first, 2] > 0) & (truth[:, second, 2] > 0) & (torso > 0)
    joints = skeleton.indices(skeleton.pck_joints)
    error = np.linalg.norm(coords[:, joints] - truth[:, joints, :2], axis=2)
    judged = usable[:, None] & (truth[:, joints, 2] > 0)
    return np.where(judged, error / np.where(usable, torso, 1.0)[:, None], np.nan)


def pck(coords: NDArray[np.float64], persons: Sequence[Person], skeleton: Skeleton) -> Pck:
    """PCK of ``coords`` [N, K, 2], image pixels; on the threshold is in (HRNet <=, mmpose <)."""
    distances = torso_distances(coords, persons, skeleton)
    judged = ~np.isnan(distances)
    if not judged.any():
        raise ValueError(
            "no person has both a labelled torso and a labelled joint, so PCK is not defined"
        )
    values = distances[judged]
    curve = np.array([(values <= threshold).mean() for threshold in THRESHOLDS])
    hits = np.where(judged, distances <= 0.2, np.nan)
    per_joint = {
        name: float(np.nanmean(hits[:, i])) if judged[:, i].any() else float("nan")
        for i, name in enumerate(skeleton.pck_joints)
    }
    return Pck(
        at_02=float((values <= 0.2).mean()),
        at_05=float((values <= 0.5).mean()),
        auc=float((curve[:-1] + curve[1:]).mean() / 2),
        per_joint=per_joint,
        joints=int(judged.sum()),
        persons=int(judged.any(axis=1).sum()),
        without_torso=int((~judged.any(axis=1)).sum()),
    )
