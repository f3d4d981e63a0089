"""PCK by hand, COCO AP against the toolkits' own numbers, decoding and the flip test."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from hhd.data.coco import read_coco, read_persons
from hhd.data.person import Person
from hhd.data.skeleton import load_skeleton
from hhd.evaluation.coco_ap import (
    STATISTICS,
    coco_ap,
    detections,
    pose_scores,
    read_truth,
)
from hhd.evaluation.decode import Predictions
from hhd.evaluation.pck import pck
from hhd.evaluation.report import Report, print_report


def person(lsp14, visible=2.0) -> Person:
    """Torso of 10 pixels: left shoulder at (6, 8), right hip at (0, 0); the others at (50, 50)."""
    keypoints = np.full((14, 3), 50.0)
    keypoints[:, 2] = visible
    keypoints[lsp14.joints.index("left_shoulder"), :2] = 6, 8
    keypoints[lsp14.joints.index("right_hip"), :2] = 0, 0
    return Person(1, 1, 1, Path("x"), 100, 100, (0, 0, 60, 60), keypoints)


def test_pck_by_hand(lsp14):
    someone = person(lsp14)
    coords = someone.keypoints[None, :, :2].copy()
    coords[0, lsp14.joints.index("left_knee"), 0] += 2.0  # on the threshold of 0.2
    coords[0, lsp14.joints.index("right_wrist"), 1] += 4.0
    coords[0, lsp14.joints.index("left_wrist"), 1] -= 6.0
    coords[0, lsp14.joints.index("head_top")] += 99  # neither head nor neck counts
    score = pck(coords, [someone], lsp14)
    assert score.joints == 12
    assert score.at_02 == pytest.approx(10 / 12)
    assert score.at_05 == pytest.approx(11 / 12)
    assert score.per_joint["left_knee"] == 1.0
    assert score.per_joint["right_wrist"] == 0.0
    # Nine joints are right everywhere, one from 0.2, one from 0.4 on: trapezoids of step 0.01.
    assert score.auc == pytest.approx((9 + 0.305 / 0.5 + 0.105 / 0.5) / 12)


def test_pck_leaves_out_what_is_not_labelled(lsp14):
    someone, torsoless = person(lsp14), person(lsp14)
    someone.keypoints[0, 2] = 0
    torsoless.keypoints[lsp14.joints.index("right_hip"), 2] = 0
    coords = np.stack([p.keypoints[:, :2] for p in (someone, torsoless)])
    score = pck(coords, [someone, torsoless], lsp14)
    assert (score.joints, score.persons, score.without_unit) == (11, 1, 1)
    assert np.isnan(score.per_joint["right_ankle"])
    with pytest.raises(ValueError, match="no person has both a labelled joint"):
        pck(coords[1:], [torsoless], lsp14)
    with pytest.raises(ValueError, match=r"coords has shape \(1, 13, 2\)"):
        pck(coords[:1, 1:], [someone], lsp14)


def test_pose_score_is_the_mean_above_the_threshold():
    confidence = np.array([[0.9, 0.5, 0.1], [0.1, 0.2, 0.0]])
    np.testing.assert_allclose(pose_scores(confidence), [0.7, 0.0])


def test_ground_truth_has_ap_one(shared_data):
    folder = shared_data / "coco_mini"
    coco17 = load_skeleton("coco17")
    annotations = folder / "person_keypoints.json"
    persons = read_persons(annotations, folder / "images", coco17)
    truth = np.stack([p.keypoints for p in persons])
    results = detections(truth[..., :2], np.ones(truth.shape[:2]), persons)
    assert coco_ap(annotations, results, coco17)["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("folder", "file", "name"),
    [("crowdpose", "test_crowdpose.json", "crowdpose14"), ("aic", "test_aic.json", "aic14")],
)
def test_annotations_without_an_area(shared_data, folder, file, name):
    """mmpose's convention for CrowdPose and AI Challenger: .53 of the box."""
    skeleton, folder = load_skeleton(name), shared_data / "mmpose_samples" / folder
    persons = read_persons(folder / file, folder, skeleton)
    truth = np.stack([p.keypoints for p in persons])
    results = detections(truth[..., :2], np.ones(truth.shape[:2]), persons)
    assert coco_ap(folder / file, results, skeleton, "box")["AP"] == pytest.approx(1.0)
    content = read_truth(read_coco(folder / file, skeleton), "box")
    for annotation in content.anns.values():
        assert annotation["area"] == 0.53 * annotation["bbox"][2] * annotation["bbox"][3]
    with pytest.raises(ValueError, match=r"no area, which AP needs; --area-of-box takes .53"):
        coco_ap(folder / file, results, skeleton)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": None}, "annotation 1 of .* keypoints has 0 numbers"),
        ({"keypoints": [float("inf")] * 42}, "annotation 1 of .* a list of finite numbers"),
        ({"area": "large"}, "annotation 1 of .* area is 'large'; it takes a number"),
        ({"area": None}, "annotation 1 of .* it has no area, which AP needs; --area-of-box"),
        ({"area": 0}, "annotation 1 of .* area is 0; it takes squared pixels"),
        ({"area": -5.0}, "annotation 1 of .* area is -5; it takes squared pixels"),
        ({"area": 0.31}, "annotation 1 of .* area is 0.31; it takes squared pixels, and of the"),
        ({"area": 10**400}, "annotation 1 of .* area is 10+.*; it takes a number"),
        ({"bbox": [1, 2, 3]}, "annotation 1 of .* bbox is"),
        ({"bbox": [1, 2, 1e-300, 5]}, "annotation 1 of .* bbox is"),
        ({"iscrowd": "no"}, "annotation 1 of .* iscrowd is 'no'; it takes 0 or 1"),
        ({"num_keypoints": "x"}, "annotation 1 of .* num_keypoints is 'x'; it takes a number"),
    ],
)
def test_what_ap_cannot_be_measured_against_is_named(people, lsp14, tmp_path, change, message):
    content = json.loads((people / "annotations.json").read_text())
    content["annotations"][0] |= change
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_truth(read_coco(path, lsp14))


def test_no_detection_has_no_precision(golden):
    assert coco_ap(golden / "coco_gt.json", [], load_skeleton("coco17"))["AP"] == 0


def test_pictures_without_a_detection_count(shared_data):
    """As in HRNet and mmpose: AP is over every picture of the file."""
    folder = shared_data / "coco_mini"
    annotations, coco17 = folder / "person_keypoints.json", load_skeleton("coco17")
    persons = read_persons(annotations, folder / "images", coco17)
    first = [p for p in persons if p.image_id == persons[0].image_id]
    truth = np.stack([p.keypoints for p in first])
    results = detections(truth[..., :2], np.ones(truth.shape[:2]), first)
    assert coco_ap(annotations, results, coco17)["AR"] == pytest.approx(len(first) / 98)


def test_pck_in_boxes_and_the_end_point_error(lsp14):
    """mmpose's PCKAccuracy measures in the longer side of the box."""
    boxes = replace(lsp14, pck_normaliser="box")
    someone = replace(person(lsp14), box=(0, 0, 30, 60))
    coords = someone.keypoints[None, :, :2].copy()
    coords[0, :, 0] += 12.0
    score = pck(coords, [someone], boxes)
    assert (score.at_02, score.at_05, score.epe) == (1.0, 1.0, 12.0)
    coords[0, lsp14.joints.index("left_knee"), 0] += 0.5
    score = pck(coords, [someone], boxes)
    assert score.at_02 == pytest.approx(11 / 12)
    assert (score.per_joint["left_knee"], score.per_joint_05["left_knee"]) == (0.0, 1.0)
    assert score.epe_per_joint["left_knee"] == 12.5
    assert score.epe == pytest.approx(12 + 0.5 / 12)


def test_ap_of_a_published_fixture(shared_data):
    folder = shared_data / "eval_fixtures" / "fce_keypoints"
    results = json.loads((folder / "dt_dataset.json").read_text())
    statistics = coco_ap(folder / "gt_dataset.json", results, load_skeleton("coco17"))
    expected = [
        *(0.5048844884488449, 0.7227722772277227, 0.6336633663366337),
        *(0.46633663366336636, 0.7504950495049505),
        *(0.5181818181818182, 0.7272727272727273, 0.6363636363636364),
        *(0.4666666666666666, 0.75),
    ]
    assert list(statistics) == list(STATISTICS)
    np.testing.assert_allclose(list(statistics.values()), expected, atol=1e-12)


def test_ap_needs_areas(people, lsp14, tmp_path):
    content = json.loads((people / "annotations.json").read_text())
    del content["annotations"][4]["area"]
    path = tmp_path / "no_area.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"annotation 5 of .*it has no area"):
        coco_ap(path, [], lsp14)


def test_coco_files_that_ap_cannot_read_are_named(people, lsp14, tmp_path):
    content = json.loads((people / "annotations.json").read_text())
    del content["categories"][0]["id"]
    path = tmp_path / "no_id.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"categories\[0\] of .*no_id.json: it lacks id"):
        coco_ap(path, [], lsp14)


def test_sizes_without_a_person_have_no_ap(capsys, lsp14):
    nobody = Predictions(np.zeros((1, 14, 2)), np.zeros((1, 14)), np.ones((1, 2)))
    score = pck(nobody.coords, [person(lsp14)], lsp14)
    report = Report(score, {"AP": 0.5, "AP_medium": float("nan")}, nobody)
    print_report(Console(), report, lsp14)
    assert "AP 50.0  AP_medium -\n" in capsys.readouterr().out
