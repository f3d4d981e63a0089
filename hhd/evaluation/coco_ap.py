"""COCO keypoint AP by pycocotools, the number of record, with the skeleton's own sigmas."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

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
# A person is about this share of its box (COCO; mmpose where an annotation has no area).
AREA_OF_BOX = 0.53


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
    """A score a person, [N], from ``confidence`` [N, K] and the boxes' scores [N]."""
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
    annotations: Path,
    results: list[dict[str, Any]],
    skeleton: Skeleton,
    missing_area: Literal["refuse", "box"] = "refuse",
) -> dict[str, float]:
    """The ten statistics, 0..1 (-1: no person of that size), over every picture of the file.

    ``missing_area`` "box" gives an annotation without an area .53 of its box's, as mmpose does for
    CrowdPose and AI Challenger.
    """
    truth = read_truth(annotations, missing_area)
    with contextlib.redirect_stdout(io.StringIO()):
        # pycocotools takes the first result's fields for all, and has none to take.
        found = truth.loadRes(results) if results else COCO()
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(STATISTICS, (float(value) for value in evaluation.stats), strict=True))


def read_truth(annotations: Path, missing_area: Literal["refuse", "box"] = "refuse") -> COCO:
    """What AP is measured against; ``ValueError`` says what of it AP lacks."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(annotations))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{annotations}: an entry lacks or has a wrong {error}, which AP needs"
        ) from error
    except (AssertionError, ValueError) as error:
        # MPII's rows and its .mat.
        raise ValueError(f"{annotations} is not COCO-style JSON, which COCO AP needs") from error
    complete(truth, annotations, missing_area)
    return truth


def complete(truth: COCO, annotations: Path, missing_area: Literal["refuse", "box"]) -> None:
    """Fill in what pycocotools needs of each annotation, or name the one that lacks it."""
    for number, annotation in truth.anns.items():
        annotation.setdefault("iscrowd", 0)
        bbox = annotation.get("bbox")
        if "area" not in annotation and missing_area == "box" and _are_numbers(bbox, 4):
            annotation["area"] = AREA_OF_BOX * bbox[2] * bbox[3]
        if not {"area", "bbox", "num_keypoints", "keypoints"} <= annotation.keys():
            hint = "; --area-of-box takes .53 of the box" if "area" not in annotation else ""
            raise ValueError(
                f"annotation {number} of {annotations} lacks area, bbox, num_keypoints or "
                f"keypoints, which AP needs{hint}"
            )
        single = [annotation[name] for name in ("area", "num_keypoints", "iscrowd")]
        if not (
            _are_numbers(bbox, 4) and all(map(_are_numbers, (single, annotation["keypoints"])))
        ):
            raise ValueError(
                f"annotation {number} of {annotations} has an area, bbox, num_keypoints, keypoints "
                "or iscrowd that is not of numbers, which AP needs"
            )


def _are_numbers(values: Any, count: int | None = None) -> bool:
    """Whether it is a list of ``count`` finite numbers."""
    return (
        isinstance(values, list)
        and count in (None, len(values))
        and all(isinstance(value, (int, float)) and isfinite(value) for value in values)
    )
