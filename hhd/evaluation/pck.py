"""PCK, its AUC and the end-point error, over all joints and joint by joint.

A joint counts as found if it is *on or within* the threshold (HRNet; mmpose: within), and the
totals weigh every labelled joint alike (micro average; mmpose's PCKAccuracy averages the joints'
shares instead: :func:`mean_of_joints`). A prediction that is not finite is not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hhd.data.person import Person
from hhd.data.skeleton import Skeleton

THRESHOLDS = np.linspace(0, 0.5, 51)


@dataclass(frozen=True)
class Pck:
    """Shares in 0..1, in the skeleton's unit (torso, head segment, box).

    ``auc``: area under PCK over 0..0.5 units, divided by 0.5 (trapezoids). ``epe``: mean distance
    in image pixels of the judged joints but for ``not_finite``, whose prediction is no place.
    ``per_joint`` and ``per_joint_05`` are PCK@0.2 and @0.5 by joint name,
    ``epe_per_joint`` the distance (NaN where no person has the joint labelled). ``joints`` joints
    of ``persons`` persons were judged; ``without_unit`` persons lack what PCK is measured in.
    """

    at_02: float
    at_05: float
    auc: float
    epe: float
    per_joint: dict[str, float]
    per_joint_05: dict[str, float]
    epe_per_joint: dict[str, float]
    joints: int
    persons: int
    without_unit: int
    not_finite: int


def units(persons: Sequence[Person], skeleton: Skeleton) -> NDArray[np.float64]:
    """What a person's errors are measured in, [N] image pixels; NaN where that is not labelled.

    The distance of two joints, or the longer side of the box (mmpose PCKAccuracy, "bbox").
    """
    if isinstance(skeleton.pck_normaliser, str):
        return np.array([max(person.box[2:]) for person in persons])
    first, second = skeleton.indices(skeleton.pck_normaliser)
    truth = np.stack([person.keypoints for person in persons])
    length = np.linalg.norm(truth[:, first, :2] - truth[:, second, :2], axis=1)
    usable = (truth[:, first, 2] > 0) & (truth[:, second, 2] > 0) & (length > 0)
    return np.where(usable, length, np.nan)


def undefined(persons: Sequence[Person], skeleton: Skeleton) -> str | None:
    """Why there is no PCK of these persons, in a sentence; None if there is."""
    joints = skeleton.indices(skeleton.pck_joints)
    labelled = np.array([(person.keypoints[joints, 2] > 0).any() for person in persons])
    if (labelled & ~np.isnan(units(persons, skeleton))).any():
        return None
    return (
        "no person has both a labelled joint and what PCK is measured in "
        f"({skeleton.normaliser_name()}), so PCK is not defined"
    )


def pck(coords: NDArray[np.float64], persons: Sequence[Person], skeleton: Skeleton) -> Pck:
    """PCK of ``coords`` [N, K, 2], image pixels."""
    truth = np.stack([person.keypoints for person in persons])
    if coords.shape != (*truth.shape[:2], 2):
        raise ValueError(f"coords has shape {coords.shape}; it takes {(*truth.shape[:2], 2)}")
    unit = units(persons, skeleton)
    joints = skeleton.indices(skeleton.pck_joints)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.linalg.norm(coords[:, joints] - truth[:, joints, :2], axis=2)
    error[np.isnan(error)] = np.inf
    error[truth[:, joints, 2] <= 0] = np.nan
    distances = error / unit[:, None]
    judged = ~np.isnan(distances)
    if not judged.any():
        raise ValueError(undefined(persons, skeleton))
    values = distances[judged]
    placed = judged & np.isfinite(error)
    curve = np.array([(values <= threshold).mean() for threshold in THRESHOLDS])

    def by_joint(numbers: NDArray[Any], counted: NDArray[np.bool_]) -> dict[str, float]:
        return {
            name: _mean(numbers[counted[:, i], i]) for i, name in enumerate(skeleton.pck_joints)
        }

    return Pck(
        at_02=float((values <= 0.2).mean()),
        at_05=float((values <= 0.5).mean()),
        auc=float((curve[:-1] + curve[1:]).mean() / 2),
        epe=_mean(error[placed]),
        per_joint=by_joint(distances <= 0.2, judged),
        per_joint_05=by_joint(distances <= 0.5, judged),
        epe_per_joint=by_joint(error, placed),
        joints=int(judged.sum()),
        persons=int(judged.any(axis=1).sum()),
        without_unit=int(np.isnan(unit).sum()),
        not_finite=int((judged & ~placed).sum()),
    )


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if values.size else float("nan")


def mean_of_joints(
    coords: NDArray[np.float64],
    truth: NDArray[np.float64],
    labelled: NDArray[np.bool_],
    unit: NDArray[np.float64],
    threshold: float,
) -> tuple[NDArray[np.float64], float]:
    """mmpose ``keypoint_pck_accuracy``: each joint's share [K] *within* ``threshold`` units, -1
    where nobody has it, and the mean of the others.

    ``coords``, ``truth`` [N, K, 2]; ``labelled`` [N, K]; ``unit`` [N], a person of unit 0 does not
    count.
    """
    counted = labelled & (unit > 0)[:, None]
    offset = (coords - truth) / np.where(unit > 0, unit, 1.0)[:, None, None]
    # Single precision, as upstream: it decides what is on the threshold.
    hits = (np.linalg.norm(offset, axis=2).astype(np.float32) < threshold) & counted
    number = counted.sum(axis=0)
    shares = np.where(number > 0, hits.sum(axis=0) / np.maximum(number, 1), -1.0)
    known = shares[shares >= 0]
    return shares, float(known.mean()) if known.size else 0.0
