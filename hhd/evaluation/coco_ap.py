"""COCO keypoint AP by pycocotools, the number of record, with the skeleton's own sigmas."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hhd.data.coco import Person
from hhd.data.skeleton import Skeleton

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


def pose_scores(confidence: NDArray[np.float64], threshold: float = 0.2) -> NDArray[np.float64]:
    """A score a person: the mean confidence of joints above ``threshold`` (HRNet IN_VIS_THRE).

    ``confidence`` [N, K]; 0 if none is above. HRNet multiplies by the box's score, here 1.
    """
    counted = confidence > threshold
    total = np.where(counted, confidence, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(counted.sum(axis=1), 1))


def detections(
    coords: NDArray[np.float64], confidence: NDArray[np.float64], persons: Sequence[Person]
) -> list[dict[str, Any]]:
    """COCO results, one a person: ``coords`` [N, K, 2], image pixels; ``confidence`` [N, K]."""
    scores = pose_scores(confidence)
    triples = np.concatenate([coords, confidence[..., None]], axis=2).reshape(len(coords), -1)
    return [
        {
            "image_id": person.image_id,
            "category_id": person.category_id,
            "keypoints": keypoints.tolist(),
            "score": float(score),
        }
        for person, keypoints, score in zip(persons, triples, scores, strict=True)
    ]


def coco_ap(
    annotations: Path, results: list[dict[str, Any]], skeleton: Skeleton
) -> dict[str, float]:
    """The ten statistics, 0..1 (-1: no person of that size), on the images of the results."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            truth = COCO(str(annotations))
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{annotations}: an entry lacks or has a wrong {error}, which AP needs"
            ) from error
        lacking = [
            i for i, a in truth.anns.items() if not {"area", "bbox", "num_keypoints"} <= a.keys()
        ]
        if lacking:
            raise ValueError(
                f"annotation {lacking[0]} of {annotations} lacks area, bbox or num_keypoints, "
                "which AP needs"
            )
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.params.imgIds = sorted({result["image_id"] for result in results})
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(STATISTICS, (float(value) for value in evaluation.stats), strict=True))
