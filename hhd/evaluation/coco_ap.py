"""COCO keypoint AP by pycocotools, the number of record, with the skeleton's own sigmas."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hhd.data.areas import area_of_box, area_problem
from hhd.data.coco import CocoFile, Entry, read_coco
from hhd.data.person import Person
from hhd.data.skeleton import Skeleton
from hhd.evaluation.nms import oks_matrix, oks_nms, soft_oks_nms

STATISTICS = (
    "AP",
    "AP50",
    "AP75",
    "AP_medium",
    "AP_large",
    "AR",
    "AR50",
    "AR75",
    "AR_medium",
    "AR_large",
)
Array = NDArray[np.float64]
ScoreMode = Literal["bbox", "keypoint", "bbox_keypoint", "bbox_rle"]
NmsMode = Literal["oks", "soft_oks", "none"]
MissingArea = Literal["refuse", "box"]
# Where a joint is put that has no place, in picture sizes: of no likeness to any joint, but finite.
NOWHERE = -1e9


class ApRules(NamedTuple):
    """How poses are scored and thinned out before AP. The defaults are HRNet's and mmpose's.

    ``score``: the box's own; the mean confidence of all joints ("keypoint"); the box's times the
    mean of the joints above ``joint_threshold`` ("bbox_keypoint", HRNet IN_VIS_THRE); or box + mean
    + maximum ("bbox_rle"). ``nms``: "oks" drops a pose that is more than ``nms_threshold`` like a
    better one, "soft_oks" keeps the best 20 after lowering their likes.
    """

    score: ScoreMode = "bbox_keypoint"
    joint_threshold: float = 0.2
    nms: NmsMode = "oks"
    nms_threshold: float = 0.9


PUBLISHED_RULES = ApRules()


def pose_scores(
    confidence: Array, box_scores: Array | float = 1.0, rules: ApRules = PUBLISHED_RULES
) -> Array:
    """A score a person, [N], from ``confidence`` [N, K] and the boxes' scores [N]; of a joint that
    has no finite confidence it is 0."""
    confidence = np.where(np.isfinite(confidence), confidence, 0.0)
    boxes = np.broadcast_to(np.asarray(box_scores, dtype=np.float64), len(confidence))
    if rules.score == "bbox":
        return boxes.copy()
    if rules.score == "keypoint":
        return np.asarray(confidence.mean(axis=1))
    if rules.score == "bbox_rle":
        return np.asarray(boxes + confidence.mean(axis=1) + confidence.max(axis=1))
    counted = confidence > rules.joint_threshold
    total = np.where(counted, confidence, 0.0).sum(axis=1)
    return np.asarray(boxes * total / np.maximum(counted.sum(axis=1), 1))


def keep_poses(
    coords: Array,
    scores: Array,
    areas: Array,
    image_ids: Sequence[int],
    sigmas: Sequence[float],
    rules: ApRules = PUBLISHED_RULES,
) -> list[int]:
    """Indices of the poses that survive NMS, picture by picture in order of appearance.

    ``coords`` [N, K, 2]; ``areas`` [N], in HRNet and mmpose those of the padded, aspect-fixed
    crops (mmpose takes the joints' extent where it has none, which gives another AP).
    """
    of_image: dict[int, list[int]] = {}
    for index, image_id in enumerate(image_ids):
        of_image.setdefault(image_id, []).append(index)
    if rules.nms == "none":
        return [index for members in of_image.values() for index in members]
    suppress = oks_nms if rules.nms == "oks" else soft_oks_nms
    kept = []
    for members in of_image.values():
        oks = oks_matrix(coords[members], areas[members], sigmas)
        chosen = suppress(oks, scores[members], rules.nms_threshold)
        kept += [members[place] for place in chosen]
    return kept


def detections(
    coords: Array,
    confidence: Array,
    persons: Sequence[Person],
    *,
    sizes: Array | None = None,
    skeleton: Skeleton | None = None,
    rules: ApRules = PUBLISHED_RULES,
) -> list[dict[str, Any]]:
    """COCO results: ``coords`` [N, K, 2], image pixels; ``confidence`` [N, K].

    Without the crops' ``sizes`` [N, 2] and a ``skeleton`` there is no NMS.
    """
    scores = pose_scores(confidence, np.array([person.score for person in persons]), rules)
    kept = list(range(len(persons)))
    if sizes is not None and skeleton is not None:
        image_ids = [person.image_id for person in persons]
        kept = keep_poses(coords, scores, sizes.prod(axis=1), image_ids, skeleton.sigmas, rules)
    triples = np.concatenate([coords, confidence[..., None]], axis=2).reshape(len(coords), -1)
    return [
        {
            "image_id": persons[index].image_id,
            "category_id": persons[index].category_id,
            "keypoints": triples[index].tolist(),
            "score": float(scores[index]),
        }
        for index in kept
    ]


def coco_ap(
    annotations: Path | COCO,
    results: Sequence[dict[str, Any]],
    skeleton: Skeleton,
    missing_area: MissingArea = "refuse",
) -> dict[str, float]:
    """The ten statistics, 0..1, over every picture of the file; NaN where no person of that size is
    annotated.

    ``annotations``: a file, or what :func:`read_truth` made of one. A joint whose place is not
    finite is a miss.
    """
    truth = (
        read_truth(read_coco(annotations, skeleton), missing_area)
        if isinstance(annotations, Path)
        else annotations
    )
    unknown = [r["image_id"] for r in results if r["image_id"] not in truth.imgs]
    if unknown:
        raise ValueError(f"results are of image_id {unknown[0]}, which the annotations do not have")
    with contextlib.redirect_stdout(io.StringIO()):
        # pycocotools takes the first result's fields for all, and has none to take.
        found = truth.loadRes([_as_numbers(result) for result in results]) if results else COCO()
        for number, result in enumerate(results, start=1):
            # It measures a pose by its joints, and passes over a miss of no size that it counts.
            found.anns[number]["area"] = _extent(result["keypoints"])
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # -1 is pycocotools' way to say so.
    return {
        name: float(value) if value >= 0 else float("nan")
        for name, value in zip(STATISTICS, evaluation.stats, strict=True)
    }


def read_truth(file: CocoFile, missing_area: MissingArea = "refuse") -> COCO:
    """What AP is measured against; ``ValueError`` says what of it AP lacks.

    ``missing_area`` "box" gives an annotation whose area is none or cannot be .53 of its box's, as
    mmpose does for CrowdPose and AI Challenger. The annotations have ids of our own, from 1:
    pycocotools takes id 0 for no match and, of two with one id, forgets the first.
    """
    if file.problems:
        raise ValueError(file.problems[0].text)
    annotations = [_annotation(entry, missing_area) for entry in file.entries if entry.box]
    if not any(a["num_keypoints"] and not a["iscrowd"] for a in annotations):
        raise ValueError(f"{file.path} has no person with a labelled joint, so AP is not defined")
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": number} for number in file.pictures],
        "categories": [{"id": number, "name": name} for number, name in file.categories.items()],
        "annotations": [{"id": own, **a} for own, a in enumerate(annotations, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _annotation(entry: Entry, missing_area: MissingArea) -> dict[str, Any]:
    """An entry as pycocotools reads it; crowds and persons without joints are there to be passed
    over, with whatever area."""
    assert entry.box is not None
    area = entry.area
    problem = area_problem(area, entry.box)
    if problem is not None and (missing_area == "box" or entry.crowd or not entry.labelled):
        area = area_of_box(entry.box)
    elif problem is not None:
        raise ValueError(
            f"{entry.where}: {problem}, which AP needs; --area-of-box takes .53 of the box"
        )
    return {
        "image_id": entry.image_id,
        "category_id": entry.category_id,
        "iscrowd": int(entry.crowd),
        "area": area,
        "bbox": list(entry.box),
        "num_keypoints": entry.num_keypoints,
        "keypoints": entry.keypoints.reshape(-1).tolist(),
    }


def _as_numbers(result: dict[str, Any]) -> dict[str, Any]:
    """A result with joints that are not finite put ``NOWHERE``, and a score that is not at 0."""
    keypoints = np.array(result["keypoints"], dtype=np.float64).reshape(-1, 3)
    lost = ~np.isfinite(keypoints[:, :2]).all(axis=1)
    keypoints[lost] = NOWHERE, NOWHERE, 0
    score = float(result["score"])
    return {
        "image_id": result["image_id"],
        "category_id": result["category_id"],
        "keypoints": keypoints.reshape(-1).tolist(),
        "score": score if np.isfinite(score) else 0.0,
    }


def _extent(keypoints: Sequence[float]) -> float:
    """The area that pycocotools gives a pose, by its finite joints."""
    points = np.asarray(keypoints, dtype=np.float64).reshape(-1, 3)[:, :2]
    points = points[np.isfinite(points).all(axis=1)]
    return float(np.ptp(points, axis=0).prod()) if len(points) else 0.0
