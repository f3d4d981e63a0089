"""COCO and MPII metrics against mmpose's and HRNet's own runs."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from hhd.data.mpii import SC_BIAS, MpiiTruth
from hhd.data.skeleton import load_skeleton
from hhd.evaluation.coco_ap import ApRules, coco_ap, keep_poses, pose_scores
from hhd.evaluation.nms import oks_matrix, oks_nms, soft_oks_nms
from hhd.evaluation.pck import mean_of_joints
from hhd.evaluation.pckh import PARTS, pckh

NMS = {"oks_nms": "oks", "soft_oks_nms": "soft_oks", "none": "none"}


class Poses(NamedTuple):
    """The 36 synthetic predictions and what upstream made of them."""

    rows: list[dict[str, Any]]
    coords: np.ndarray
    confidence: np.ndarray
    boxes: np.ndarray
    expected: dict[str, Any]

    def of(self, ids):
        position = {row["id"]: i for i, row in enumerate(self.rows)}
        return [position[i] for i in ids]


@pytest.fixture
def poses(golden: Path) -> Poses:
    rows = json.loads((golden / "coco_preds.json").read_text())
    return Poses(
        rows,
        np.array([row["keypoints"] for row in rows]),
        np.array([row["keypoint_scores"] for row in rows]),
        np.array([row["bbox_score"] for row in rows]),
        json.loads((golden / "coco_expected.json").read_text()),
    )


@pytest.mark.parametrize("number", range(11))
def test_golden_coco_metric(golden: Path, poses: Poses, number):
    """Rescoring, NMS and AP: the surviving predictions, their scores, and the ten numbers."""
    assert len(poses.expected["results"]) == 11
    wanted = poses.expected["results"][number]
    config = wanted["config"]
    if wanted["impl"].startswith("HRNet"):
        soft = "soft_oks" if config["soft_nms"] else "oks"
        rules = ApRules("bbox_keypoint", config["in_vis_thre"], soft, config["oks_thre"])
    else:
        rules = ApRules(
            config.get("score_mode", "bbox_keypoint"),
            config.get("keypoint_score_thr", 0.2),
            NMS[config.get("nms_mode", "oks_nms")],
            config.get("nms_thr", 0.9),
        )
    if "extent" in wanted["nms_area"]:
        areas = np.ptp(poses.coords, axis=1).prod(axis=1)
    else:
        areas = np.array([np.prod(row["scale_wh_px"]) for row in poses.rows])
    coco17 = load_skeleton("coco17")
    scores = pose_scores(poses.confidence, poses.boxes, rules)
    images = [row["image_id"] for row in poses.rows]
    kept = keep_poses(poses.coords, scores, areas, images, coco17.sigmas, rules)

    expected = dict(map(tuple, wanted["kept_id_score"]))
    assert {poses.rows[i]["id"] for i in kept} == set(expected)
    own = {poses.rows[i]["id"]: scores[i] for i in kept}
    assert all(own[i] == pytest.approx(score, abs=1e-5) for i, score in expected.items())
    triples = np.concatenate([poses.coords, poses.confidence[..., None]], axis=2)
    results = [
        {
            "image_id": images[i],
            "category_id": 1,
            "keypoints": triples[i].ravel().tolist(),
            "score": float(scores[i]),
        }
        for i in kept
    ]
    statistics = list(coco_ap(golden / "coco_gt.json", results, coco17).values())
    np.testing.assert_allclose(statistics, list(wanted["stats"].values()), atol=1e-6)


def test_golden_oks(poses: Poses):
    wanted = poses.expected["oks_matrix"]
    rows = poses.of(wanted["ids"])
    areas = np.array([poses.rows[i]["area"] for i in rows])
    oks = oks_matrix(poses.coords[rows], areas, load_skeleton("coco17").sigmas)
    np.testing.assert_allclose(oks, wanted["oks"], atol=1e-6)


def test_golden_nms_order(poses: Poses):
    ids = poses.expected["oks_matrix"]["ids"]
    rows = poses.of(ids)
    areas = np.array([poses.rows[i]["area"] for i in rows])
    oks = oks_matrix(poses.coords[rows], areas, load_skeleton("coco17").sigmas)
    wanted = poses.expected["nms_on_bbox_score"]
    assert len(wanted) == 12
    for name, order in wanted.items():
        suppress = soft_oks_nms if "soft" in name else oks_nms
        kept = suppress(oks, poses.boxes[rows], float(name.rpartition("_")[2]))
        assert [ids[place] for place in kept] == order, name


def mpii(golden: Path, name: str) -> tuple[np.ndarray, MpiiTruth]:
    arrays = np.load(golden / "mpii.npz")
    base = "B" if name.startswith("B") else "A"
    missing = arrays["C_missing" if name.startswith("C") else f"{base}_missing"]
    boxes = arrays[f"{base}_headboxes"]
    head_size = SC_BIAS * np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1)
    return arrays[f"{base}_pred0"], MpiiTruth(arrays[f"{base}_gt"], missing == 0, head_size)


def same(value: float, expected: float | None) -> bool:
    """Within 1e-4 percent; null is upstream's NaN."""
    if expected is None:
        return bool(np.isnan(value))
    return value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("number", range(3))
def test_golden_pckh(golden: Path, number):
    wanted = json.loads((golden / "mpii_expected.json").read_text())["results"][number]
    coords, truth = mpii(golden, wanted["name"])
    hrnet, mmpose = (pckh(coords, truth, rule) for rule in ("hrnet", "mmpose"))
    for part in PARTS:
        assert same(hrnet.parts[part], wanted["hrnet"][part]), part
        assert same(mmpose.parts[part], wanted["mmpose_MpiiPCKAccuracy"][f"{part} PCK"]), part
    assert same(hrnet.mean, wanted["hrnet"]["Mean"])
    assert same(hrnet.fine_mean, wanted["hrnet"]["Mean@0.1"])
    assert same(mmpose.mean, wanted["mmpose_MpiiPCKAccuracy"]["PCK"])
    assert same(mmpose.fine_mean, wanted["mmpose_MpiiPCKAccuracy"]["PCK@0.1"])
    assert "PCKh (mmpose, < 0.10) Mean" in mmpose.named()
    assert "PCKh (hrnet, <= 0.11) Mean" in hrnet.named()

    for threshold, expected in wanted["mmpose_keypoint_pck_accuracy"].items():
        shares, mean = mean_of_joints(
            coords + 1, truth.coords, truth.labelled, truth.head_size, float(threshold)
        )
        np.testing.assert_allclose(shares, expected["acc"], atol=1e-6)
        assert mean == pytest.approx(expected["avg"], abs=1e-6)
