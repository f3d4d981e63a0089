"""COCO, MPII, CrowdPose, AI Challenger and one's own skeleton, boxes of detectors, box rules."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from hhd.data.affine import box_to_crop, crop_affine, transform_points
from hhd.data.augment import UNCHANGED
from hhd.data.coco import clean_box, read_detections, read_persons
from hhd.data.dataset import CropDataset
from hhd.data.mpii import read_mpii, read_mpii_truth
from hhd.data.read import is_mpii, read_annotations
from hhd.data.skeleton import Skeleton, load_skeleton

SHIPPED = ("coco17", "mpii16", "crowdpose14", "aic14", "lsp14")


@pytest.fixture
def samples(shared_data: Path) -> Path:
    return shared_data / "mmpose_samples"


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_skeletons(name):
    skeleton = load_skeleton(name)
    order = skeleton.flip_order()
    for joint, other in enumerate(order):
        ours, theirs = skeleton.joints[joint], skeleton.joints[other]
        swapped = ours.replace("left", "?").replace("right", "left").replace("?", "right")
        assert theirs == swapped
    assert 0 < len(skeleton.upper_body) < len(skeleton)
    named = set(skeleton.upper_body)
    assert all((a in named) == (b in named) for a, b in skeleton.flip_pairs)
    weights = skeleton.joint_weights or [1] * len(skeleton)
    assert len(weights) == len(skeleton)


def test_flip_orders_of_the_field():
    """HRNet's and mmpose's flip indices."""
    assert load_skeleton("mpii16").flip_order() == [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, *range(15, 9, -1)]
    coco = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    assert load_skeleton("coco17").flip_order() == coco


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"upper_body": ("elbow",)}, r"\['elbow'\] not among"),
        ({"joint_weights": (1.0,)}, "1 joint_weights for 2 joints"),
        ({"pck_normaliser": "torso"}, "pck_normaliser is 'torso'; it takes two joints or box"),
        ({"flip_pairs": (("a", "b"), ("b", "a"))}, "a joint is in more than one"),
        ({"flip_pairs": ("ab",)}, "flip_pairs, limbs and pck_normaliser take two joints"),
        ({"pck_normaliser": 5}, "pck_normaliser is 5; it takes two joints or box"),
        ({"joints": 5}, "joints is 5; it takes a list"),
        ({"limbs": None}, "limbs is None; it takes a list"),
        ({"pck_joints": ("a", 3, "c")}, r"\[3, 'c'\] not among"),
        ({"sigmas": (1, 0)}, "skeleton s: a sigma is 0; it takes a positive number"),
        ({"joint_weights": (1, -1)}, "a joint weight is -1; it takes a number from 0 up"),
        ({"joint_weights": ("x", 1)}, "a joint weight is 'x'; it takes a number from 0 up"),
    ],
)
def test_broken_skeletons_are_named(change, message):
    fields = {"flip_pairs": (), "limbs": (), "sigmas": (1, 1), "pck_normaliser": "box"}
    with pytest.raises(ValueError, match=message):
        Skeleton(**{"name": "s", "joints": ("a", "b"), "pck_joints": ("a",), **fields, **change})


@pytest.mark.parametrize(
    ("folder", "file", "skeleton", "count"),
    [
        ("coco", "test_coco.json", "coco17", 12),
        ("crowdpose", "test_crowdpose.json", "crowdpose14", 4),
        ("aic", "test_aic.json", "aic14", 9),
        ("ochuman", "test_ochuman.json", "coco17", 5),
    ],
)
def test_coco_style_samples(samples, folder, file, skeleton, count):
    persons = read_annotations(
        samples / folder / file, samples / folder, load_skeleton(skeleton)
    ).require()
    assert len(persons) == count
    data = CropDataset(persons, load_skeleton(skeleton), input_size=(48, 64), stride=4)
    item = data[0]
    assert item["image"].std() > 5
    assert item["weight"].sum() > 2


def test_a_skeleton_of_ones_own(samples, tmp_path):
    """JHMDB's fifteen joints, in a file."""
    content = json.loads((samples / "jhmdb" / "test_jhmdb_sub1.json").read_text())
    joints = content["categories"][0]["keypoints"]
    path = tmp_path / "jhmdb.yaml"
    path.write_text(
        f"name: jhmdb15\njoints: {joints}\nflip_pairs: [[right_wrist, left_wrist]]\nlimbs: []\n"
        f"sigmas: {[0.08] * 15}\npck_normaliser: box\npck_joints: [head]\n"
    )
    skeleton = load_skeleton(str(path))
    file = samples / "jhmdb" / "test_jhmdb_sub1.json"
    persons = read_annotations(file, samples / "jhmdb", skeleton).require()
    assert len(persons) == 3
    assert skeleton.upper_body == ()


def test_mpii_rows_are_hrnets(samples):
    """Centre, size and joints as HRNet makes them of a row."""
    mpii16 = load_skeleton("mpii16")
    path = samples / "mpii" / "test_mpii.json"
    assert is_mpii(path)
    assert not is_mpii(samples / "coco" / "test_coco.json")
    persons = read_annotations(path, samples / "mpii", mpii16).require()
    rows = json.loads(path.read_text())
    assert len(persons) == len(rows) == 5
    for person, row in zip(persons, rows, strict=True):
        center, size = box_to_crop(person.box, 1.0)
        scale = row["scale"]
        expected = np.array([row["center"][0], row["center"][1] + 15 * scale]) - 1
        np.testing.assert_allclose(center, expected, atol=1e-9)
        np.testing.assert_allclose(size, [200 * 1.25 * scale] * 2)
        np.testing.assert_allclose(person.keypoints[:, :2] + 1, row["joints"])
        np.testing.assert_array_equal(person.keypoints[:, 2], row["joints_vis"])
    # Mirrored crops need the picture's width, which MPII's files do not give.
    data = CropDataset(persons, mpii16, input_size=(64, 64), stride=4)
    width = cv2.imread(str(persons[0].image)).shape[1]
    mirrored = data.crop_matrix(persons[0], UNCHANGED._replace(flip=True), width)
    middle = box_to_crop(persons[0].box, 1.0)[0]
    np.testing.assert_allclose(transform_points(middle[None], mirrored), [[32, 32]])
    with pytest.raises(ValueError, match=r"the width of .* is not known"):
        data.crop_matrix(persons[0], UNCHANGED._replace(flip=True))


def matlab_struct(**fields):
    """A 1x1 struct as scipy writes it."""
    struct = np.empty((1, 1), dtype=[(name, object) for name in fields])
    for name, value in fields.items():
        struct[name][0, 0] = value
    return struct


def matlab_structs(items):
    """A 1xN struct array."""
    names = items[0].dtype.names
    array = np.empty((1, len(items)), dtype=[(name, object) for name in names])
    for place, item in enumerate(items):
        for name in names:
            array[name][0, place] = item[name][0, 0]
    return array


def official_mat(rows, path: Path, heads) -> None:
    """The rows in the layout of mpii_human_pose_v1_u12_1.mat, after one picture of the test set."""
    io = pytest.importorskip("scipy.io")
    pictures = []
    for row, (x1, y1, x2, y2) in zip(rows, heads, strict=True):
        joints = [
            matlab_struct(x=float(x), y=float(y), id=float(i))
            for i, ((x, y), v) in enumerate(zip(row["joints"], row["joints_vis"], strict=True))
            if v
        ]
        whole = matlab_struct(
            x1=x1, y1=y1, x2=x2, y2=y2, scale=row["scale"],
            objpos=matlab_struct(x=row["center"][0], y=row["center"][1]),
            annopoints=matlab_struct(point=matlab_structs(joints)),
        )  # fmt: skip
        half = matlab_struct(
            x1=x1, y1=y1, x2=x2, y2=y2, scale=row["scale"],
            objpos=matlab_struct(x=1.0, y=1.0), annopoints=np.empty((0, 0)),
        )  # fmt: skip
        image = matlab_struct(name=row["image"])
        pictures.append(matlab_struct(image=image, annorect=matlab_structs([half, whole])))
    test = matlab_struct(image=matlab_struct(name="test.jpg"), annorect=np.empty((0, 0)))
    trains = np.array([[0, *([1] * len(rows))]])
    release = matlab_struct(annolist=matlab_structs([test, *pictures]), img_train=trains)
    io.savemat(path, {"RELEASE": release})


def test_a_mat_that_is_none_is_named(tmp_path):
    pytest.importorskip("scipy.io")
    path = tmp_path / "x.mat"
    for content in (b"", b"text", np.random.default_rng(0).bytes(500)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^{path} is not a .mat file that scipy reads"):
            read_mpii_truth(path)


def test_the_official_mat_is_the_json(samples, tmp_path):
    rows = json.loads((samples / "mpii" / "test_mpii.json").read_text())
    heads = [(10.0, 20.0, 40.0, 60.0 + i) for i in range(len(rows))]
    path = tmp_path / "mpii_human_pose_v1_u12_1.mat"
    official_mat(rows, path, heads)
    mpii16 = load_skeleton("mpii16")
    ours = read_annotations(path, samples / "mpii", mpii16).require()
    theirs = read_mpii(samples / "mpii" / "test_mpii.json", samples / "mpii", mpii16)
    for one, other in zip(ours, theirs, strict=True):
        assert (one.image, one.box) == (other.image, other.box)
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
    truth = read_mpii_truth(path)
    assert truth.head_size[1] == pytest.approx(0.6 * np.hypot(30, 41))
    np.testing.assert_array_equal(truth.labelled, [np.array(r["joints_vis"]) > 0 for r in rows])


def test_head_boxes_of_hrnet_and_mmpose(tmp_path):
    io = pytest.importorskip("scipy.io")
    rng = np.random.default_rng(0)
    missing = (rng.random((16, 4)) < 0.3).astype(float)
    coords, boxes = rng.random((16, 2, 4)) * 100, rng.random((2, 2, 4)) * 50
    path = tmp_path / "gt_valid.mat"
    io.savemat(path, {"jnt_missing": missing, "pos_gt_src": coords, "headboxes_src": boxes})
    truth = read_mpii_truth(path)
    np.testing.assert_array_equal(truth.coords[3], coords[:, :, 3])
    np.testing.assert_array_equal(truth.labelled[2], missing[:, 2] == 0)
    expected = 0.6 * np.linalg.norm(boxes[1, :, 1] - boxes[0, :, 1])
    assert truth.head_size[1] == pytest.approx(expected)
    io.savemat(path, {"jnt_missing": missing})
    with pytest.raises(ValueError, match=r"gt_valid.mat lacks headboxes_src, pos_gt_src"):
        read_mpii_truth(path)
    path.write_bytes(b"no matrix at all" * 20)
    with pytest.raises(ValueError, match=r"is not a \.mat file"):
        read_mpii_truth(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 0}, "person 0 of .*scale is 0.0; it takes a positive"),
        ({"center": [1]}, r"person 0 of .*center is \[1\]; it takes \[2\] numbers"),
        ({"joints": "all"}, "person 0 of .*joints is 'all'; it takes numbers"),
        ({"image": 7}, "person 0 of .*image is 7; it takes a string"),
        ({"image": "no.jpg"}, "person 0 of .*no.jpg does not exist"),
        ({"joints_vis": None}, "person 0 of .*joints_vis is None"),
    ],
)
def test_broken_mpii_rows_are_named(samples, tmp_path, change, message):
    row = json.loads((samples / "mpii" / "test_mpii.json").read_text())[0]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{**row, **change}]))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_mpii(path, samples / "mpii", load_skeleton("mpii16"))


def test_mpii_takes_sixteen_joints(samples, lsp14):
    path = samples / "mpii" / "test_mpii.json"
    message = f"annotation file {path} is MPII's: skeleton lsp14 has 14 joints, MPII has 16"
    with pytest.raises(ValueError, match=message):
        read_mpii(path, samples / "mpii", lsp14)


def test_an_empty_list_is_not_annotations(tmp_path, lsp14):
    path = tmp_path / "none.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match=rf"{path} is neither COCO-style \(an object\) nor MPII's"):
        read_annotations(path, tmp_path, lsp14).require()


def test_detected_boxes(samples, tmp_path):
    coco = samples / "coco"
    detections, truth = coco / "test_coco_det_AP_H_56.json", coco / "test_coco.json"
    coco17 = load_skeleton("coco17")
    everything = read_detections(detections, truth, coco, coco17).require()
    good = read_annotations(
        truth, coco, coco17, detections=detections, score_threshold=0.3
    ).require()
    rows = json.loads(detections.read_text())
    assert len(everything) == len(rows) == 118
    assert len(good) == sum(row["score"] >= 0.3 for row in rows) < 118
    assert [p.box for p in everything[:3]] == [tuple(row["bbox"]) for row in rows[:3]]
    assert everything[0].score == rows[0]["score"]
    # On the threshold is in.
    best = max(row["score"] for row in rows)
    assert len(read_detections(detections, truth, coco, coco17, threshold=best).require()) == 1
    assert not everything[0].keypoints.any()
    path = tmp_path / "detections.json"
    path.write_text(json.dumps([*rows[:1], {**rows[1], "category_id": 44}]))
    assert len(read_detections(path, truth, coco, coco17).require()) == 1
    for change, message in (
        ({"score": None}, "detection 0 of .*score is None"),
        ({"image_id": 9}, "detection 0 of .*image_id 9 is not among"),
        ({"bbox": [1, 2, 3]}, "detection 0 of .*bbox is"),
    ):
        path.write_text(json.dumps([{**rows[0], **change}]))
        with pytest.raises(ValueError, match=message):
            read_detections(path, truth, coco, coco17).require()
    with pytest.raises(
        ValueError, match="has no box to use: of 118 it has left out: 118 that score below 2"
    ):
        read_detections(detections, truth, coco, coco17, threshold=2).require()


def test_box_rules():
    """HRNet's clean box is a pixel narrower than mmpose's, by its own arithmetic."""
    assert clean_box((10, 20, 30, 40), 100, 90, "as_given") == (10, 20, 30, 40)
    assert clean_box((10, 20, 30, 40), 100, 90, "hrnet") == (10, 20, 29, 39)
    assert clean_box((10, 20, 30, 40), 100, 90, "mmpose") == (10, 20, 30, 40)
    # HRNet cuts the left side first and then adds the *whole* width to it.
    assert clean_box((-10, 70, 130, 40), 100, 90, "hrnet") == (0, 70, 99, 19)
    assert clean_box((-10, 5, 30, 40), 100, 90, "hrnet") == (0, 5, 29, 39)
    assert clean_box((-10, 5, 30, 40), 100, 90, "mmpose") == (0, 5, 20, 40)
    for rule in ("hrnet", "mmpose"):
        assert clean_box((120, 5, 30, 40), 100, 90, rule) is None


def test_empty_boxes_are_left_out_by_the_rule(samples, tmp_path):
    coco = samples / "coco"
    content = json.loads((coco / "test_coco.json").read_text())
    content["annotations"][0]["area"] = 0
    content["annotations"][1]["bbox"] = [5000, 0, 10, 10]
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(content))
    counts = {
        rule: len(read_persons(path, coco, load_skeleton("coco17"), rule))
        for rule in ("as_given", "mmpose", "hrnet")
    }
    assert counts == {"as_given": 12, "mmpose": 11, "hrnet": 10}


def test_a_crop_needs_a_size():
    with pytest.raises(ValueError, match=r"5\.0 x 0\.0; a crop needs"):
        crop_affine((1, 1), (5, 0), 0, (8, 8), "udp")
