"""Data of one's own: what annotation tools export, a skeleton from it, parts to train and evaluate.

The files in ``exports/`` have the shape of what CVAT, Label Studio, COCO-annotator and Roboflow
write for keypoints: a dog of four joints in two pictures.
"""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from hhd.cli import main
from hhd.data.propose import propose_skeleton
from hhd.data.read import picture_folder, read_annotations
from hhd.data.sides import guess_flip_pairs, side_and_rest
from hhd.data.skeleton import OKS_SIGMA, Skeleton, load_skeleton

EXPORTS = Path(__file__).parent / "exports"
# Where each tool puts its file and its pictures.
PLACES = {
    "cvat": ("annotations/person_keypoints_default.json", "images/default"),
    "label_studio": ("result.json", "."),
    "coco_annotator": ("dogs.json", "images"),
    "roboflow": ("train/_annotations.coco.json", "train"),
}


@pytest.fixture(params=sorted(PLACES))
def export(request, tmp_path):
    """An unpacked export: its annotation file, its pictures beside it as the tool leaves them."""
    file, pictures = PLACES[request.param]
    annotations = tmp_path / file
    annotations.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(EXPORTS / f"{request.param}.json", annotations)
    for image in json.loads(annotations.read_text())["images"]:
        path = tmp_path / pictures / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((80, 80, 3), 90, np.uint8))
    return annotations


def test_exports_are_read_as_they_are(export, capsys):
    assert main(["data", "init", str(export), "--yes"]) == 0
    text = capsys.readouterr().out
    assert "L_ear - R_ear" in text
    skeleton = load_skeleton(str(export.parent / "skeleton.yaml"))
    assert skeleton.joints == ("nose", "L_ear", "R_ear", "tail")
    assert skeleton.flip_pairs == (("L_ear", "R_ear"),)
    assert (
        main(
            [
                "data",
                "check",
                str(export),
                f"--skeleton={export.parent}/skeleton.yaml",
                "--ignore=area",
            ]
        )
        == 0
    )
    assert "2 persons in 2 pictures" in capsys.readouterr().out
    reading = read_annotations(export, picture_folder(export, None), skeleton)
    first, second = reading.require()
    assert first.keypoints[:, 2].tolist() == [2, 2, 1, 0]
    assert second.keypoints[3].tolist() == [55, 60, 2]
    assert first.image.is_file()


def test_an_export_trains_evaluates_and_predicts(tmp_path, capsys):
    """No area (Roboflow has it, Label Studio not): PCK, and AP's absence is told."""
    content = json.loads((EXPORTS / "label_studio.json").read_text())
    file = tmp_path / "result.json"
    file.write_text(json.dumps(content))
    for image in content["images"]:
        (tmp_path / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / image["file_name"]), np.full((80, 80, 3), 90, np.uint8))
    assert main(["data", "init", str(file), "--yes"]) == 0
    out = tmp_path / "run"
    words = [
        "train",
        "own_data",
        "--model=small_student",
        "--pretrained=false",
        "--epochs=1",
        "--batch-size=2",
    ]
    words += [f"--skeleton={tmp_path}/skeleton.yaml", f"--output={out}", "--workers=0"]
    for part in ("train", "val"):
        words += [f"--{part}-annotations={file}", f"--{part}-images={tmp_path}"]
    assert main(words) == 0
    model = out / "model.safetensors"
    capsys.readouterr()
    assert main(["eval", str(model), f"--annotations={file}", "--workers=0"]) == 0
    text = capsys.readouterr().out
    assert "PCK@0.2" in text
    assert "area" in text
    assert main(["predict", str(model), str(tmp_path / "images"), f"--output={tmp_path}/p"]) == 0
    rows = json.loads((tmp_path / "p" / "predictions.json").read_text())
    assert [joint["joint"] for joint in rows[0]["people"][0]["joints"]][1] == "L_ear"


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("left_eye", "left"), ("eye.L", "left"), ("rKnee", "right"), ("LEye", "left"),
        ("EyeR", "right"), ("lefteye", "left"), ("Right Hip", "right"), ("kneeleft", "left"),
        ("nose", None), ("right", "right"), ("R", "right"), ("lever", None), ("rump", None),
        ("l_r", None),
    ],
)  # fmt: skip
def test_sides_of_names(name, side):
    assert side_and_rest(name)[0] == side


def test_pairs_are_guessed_from_names():
    joints = ["nose", "lknee", "rknee", "eye_L", "eye_R", "left_ear", "tail", "RHip", "LHip", "lip"]
    assert guess_flip_pairs(joints) == [("lknee", "rknee"), ("eye_L", "eye_R"), ("LHip", "RHip")]
    assert guess_flip_pairs(["right", "left", "", "lip"]) == [("left", "right")]


def test_left_and_right_have_their_colours_whatever_their_names():
    skeleton = Skeleton("s", ("a", "b", "hip_r", "hip_l", "c"), (("a", "b"), ("hip_r", "hip_l")))
    assert skeleton.sides() == ["left", "right", "right", "left", None]
    assert load_skeleton("aic14").sides()[:4] == ["right", "right", "right", "left"]


def test_what_a_skeleton_leaves_out_has_defaults():
    skeleton = Skeleton("s", ("a", "b"), ())
    assert skeleton.sigmas == (OKS_SIGMA, OKS_SIGMA)
    assert skeleton.pck_joints == ("a", "b")
    assert skeleton.pck_normaliser == "box"


def test_a_file_without_names_gets_numbers(tmp_path, capsys):
    content = json.loads((EXPORTS / "roboflow.json").read_text())
    del content["categories"][1]["keypoints"], content["categories"][1]["skeleton"]
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    found = propose_skeleton(file, "dog")
    assert found.skeleton.joints == ("joint_1", "joint_2", "joint_3", "joint_4")
    assert found.labelled == (2, 2, 2, 1)
    content["annotations"][0]["keypoints"] = [1, 2, 2]
    file.write_text(json.dumps(content))
    assert main(["data", "init", str(file)]) == 1
    assert "have [1, 4] keypoints; it takes one number of them" in capsys.readouterr().err


def test_limbs_are_counted_from_one_or_from_zero(tmp_path):
    content = json.loads((EXPORTS / "cvat.json").read_text())
    category = content["categories"][0]
    file = tmp_path / "a.json"
    for pairs, expected in (
        ([[1, 2], [3, 4]], [("nose", "L_ear"), ("R_ear", "tail")]),
        ([[0, 1], [2, 3]], [("nose", "L_ear"), ("R_ear", "tail")]),
        ([[1, 2], [3, 9]], [("nose", "L_ear")]),
    ):
        category["skeleton"] = pairs
        file.write_text(json.dumps(content))
        assert list(propose_skeleton(file, "dog").skeleton.limbs) == expected
    category["skeleton"] = [1, 2]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"skeleton is \[1, 2\]; it takes a list of pairs"):
        propose_skeleton(file, "dog")


def test_several_categories_with_joints_ask_which(tmp_path):
    content = json.loads((EXPORTS / "cvat.json").read_text())
    content["categories"].append({"id": 2, "name": "cat", "keypoints": ["nose", "tail"]})
    content["annotations"][1] |= {"category_id": 2, "keypoints": [50, 44, 2, 60, 40, 2]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"has joints of dog \(4 joints\), cat \(2 joints\)"):
        propose_skeleton(file, "s")
    assert propose_skeleton(file, "s", "cat").skeleton.joints == ("nose", "tail")
    with pytest.raises(ValueError, match="category is 'cow'; it has"):
        propose_skeleton(file, "s", "cow")


def test_sizes_follow_the_boxes(tmp_path):
    content = json.loads((EXPORTS / "cvat.json").read_text())
    file = tmp_path / "a.json"
    for box, expected in (
        ([0, 0, 90, 200], (192, 256)),
        ([0, 0, 40, 80], (64, 96)),
        ([0, 0, 80, 80], (96, 96)),
        ([0, 0, 200, 90], (256, 192)),
    ):
        for annotation in content["annotations"]:
            annotation["bbox"] = box
        file.write_text(json.dumps(content))
        assert propose_skeleton(file, "dog").input_size == expected


def test_nothing_is_replaced_without_a_word(export, monkeypatch, capsys):
    skeleton = export.parent / "skeleton.yaml"
    skeleton.write_text("mine")
    assert main(["data", "init", str(export)]) == 1
    assert "skeleton.yaml exists; --yes replaces it" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for answers, written in ((["n"], False), (["y", "n"], False), (["y", "Yes"], True)):
        replies = iter(answers)
        monkeypatch.setattr("builtins.input", lambda _, replies=replies: next(replies))
        main(["data", "init", str(export)])
        assert (skeleton.read_text() != "mine") == written
    assert yaml.safe_load(skeleton.read_text())["name"] == "skeleton"


def test_a_split_holds_pictures_out(tmp_path, capsys):
    images = [{"id": i, "file_name": f"{i}.jpg"} for i in range(200)]
    annotations = [{"id": i, "image_id": i // 2, "bbox": [1, 2, 3, 4]} for i in range(400)]
    file = tmp_path / "all.json"
    content = {"images": images, "annotations": annotations, "categories": [], "info": {"a": 1}}
    file.write_text(json.dumps(content))
    assert main(["data", "split", str(file)]) == 0
    parts = [json.loads((tmp_path / f"all_{part}.json").read_text()) for part in ("train", "val")]
    ids = [{image["id"] for image in part["images"]} for part in parts]
    assert not ids[0] & ids[1]
    assert len(ids[0] | ids[1]) == 200
    assert 25 < len(ids[1]) < 55
    for part, own in zip(parts, ids, strict=True):
        assert {a["image_id"] for a in part["annotations"]} == own
        assert len(part["annotations"]) == 2 * len(own)
        assert part["info"] == {"a": 1}
    # More pictures leave the others where they were.
    images += [{"id": i, "file_name": f"{i}.jpg"} for i in range(200, 300)]
    file.write_text(json.dumps(content))
    assert main(["data", "split", str(file)]) == 0
    more = {i["id"] for i in json.loads((tmp_path / "all_val.json").read_text())["images"]}
    assert ids[1] == {i for i in more if i < 200}
    for share, message in (("1.5", "between 0 and 1"), ("0.00001", "leaves 300 to train on and 0")):
        assert main(["data", "split", str(file), f"--share={share}"]) == 1
        assert message in capsys.readouterr().err


def test_what_cannot_be_used_is_told(tmp_path, capsys):
    content = json.loads((EXPORTS / "cvat.json").read_text())
    content["categories"][0]["skeleton"].append([2, 9])
    content["annotations"][0]["keypoints"] = [1, 2, 2]
    del content["annotations"][1]["bbox"]
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    assert main(["data", "init", str(file)]) == 0
    text = capsys.readouterr().out
    assert "not used: 1 limbs of joints that are not there" in text
    assert "not used: 1 persons whose keypoints are not 4 times x, y, v" in text
    assert "not used: 1 persons without a box, which training needs" in text
    content["annotations"] = []
    file.write_text(json.dumps(content))
    assert main(["data", "init", str(file), "--yes"]) == 1
    assert "has no person with keypoints" in capsys.readouterr().err


def test_a_pair_of_one_joint_is_refused():
    with pytest.raises(ValueError, match="a pair of flip_pairs, limbs or pck_normaliser is one"):
        Skeleton("s", ("a", "b"), (), pck_normaliser=("a", "a"))
