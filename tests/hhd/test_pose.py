"""Poses from Python and from the command line: boxes, folders, patterns, batches, bad input."""

import json

import cv2
import numpy as np
import pytest
import torch

from hhd import Pose
from hhd.boxes import read_boxes
from hhd.cli import main
from hhd.data.dataset import CropDataset
from hhd.data.loading import make_loader
from hhd.data.read import read_annotations
from hhd.evaluation.decode import Decoder, predict
from hhd.models import build_model
from hhd.models.files import ModelCard, load_model, save_model
from hhd.predict import find_inputs

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model(tmp_path, lsp14):
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    card = ModelCard("small_student", "integral", (64, 96), 1.25, 10.0, 1.5, lsp14)
    save_model(path, build_model("small_student", 14), card)
    return path


@pytest.fixture
def annotated(people, lsp14):
    reading = read_annotations(people / "annotations.json", people / "images", lsp14)
    return reading.require()[:5]


@pytest.mark.parametrize("flip_test", ["none", "heatmaps", "coordinates"])
def test_boxes_give_what_the_evaluation_predicts(model, annotated, flip_test):
    pose = Pose(model, batch_size=2, flip_test=flip_test)
    network, card = load_model(model)
    data = CropDataset(
        annotated, card.skeleton, input_size=card.input_size, stride=network.stride,
        padding=card.padding,
    )  # fmt: skip
    expected = predict(network, Decoder(pose.card), make_loader(data, 2, 0), torch.device("cpu"))
    pictures = [(person.image, [person.box]) for person in annotated]
    found = list(pose.stream(pictures))
    assert [len(people) for people in found] == [1] * 5
    got = np.stack([people[0].keypoints for people in found])
    np.testing.assert_allclose(got, expected.coords, atol=1e-3)
    sure = np.stack([people[0].confidence for people in found])
    np.testing.assert_allclose(sure, expected.confidence, atol=1e-5)
    assert found[0][0].box == pytest.approx(annotated[0].box)


def test_people_of_several_pictures_share_batches(model, annotated):
    """Three, none and two persons: each picture gets its own back, whatever the batch."""
    boxes = [[*person.box, 0.5] for person in annotated]
    picture = cv2.imread(str(annotated[0].image))
    work = [(picture, boxes[:3]), (picture, []), (annotated[1].image, boxes[3:])]
    one_by_one, together = (list(Pose(model, batch_size=size).stream(work)) for size in (1, 64))
    assert [len(people) for people in one_by_one] == [3, 0, 2]
    for first, second in zip(one_by_one, together, strict=True):
        for one, other in zip(first, second, strict=True):
            np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-3)
            assert one.box == other.box
    # A detector's score counts in the person's.
    (whole,) = Pose(model)(picture, [boxes[0][:4]])
    assert one_by_one[0][0].score == pytest.approx(0.5 * whole.score, rel=1e-4)


def test_the_whole_picture_is_one_person(model, annotated):
    pose = Pose(str(model))
    (found,) = pose(annotated[0].image)
    height, width = cv2.imread(str(annotated[0].image)).shape[:2]
    assert found.box == (0, 0, width, height)
    assert found.keypoints.shape == (14, 2)
    assert pose.joints[13] == "head_top"


def test_bad_pictures_and_boxes_are_named(model, tmp_path):
    pose = Pose(model)
    picture = np.zeros((20, 30, 3), dtype=np.uint8)
    for boxes, message in (
        ([[1, 2, 3]], r"boxes has shape \[1, 3\]; it takes \[N, 4\] of x, y, width, height"),
        ([[0, 0, 5, 5], [0, 0, 0, 5]], r"box 1 is \[0.0, 0.0, 0.0, 5.0\]; it takes finite x"),
        ([[0, 0, np.nan, 5]], "box 0 is"),
    ):
        with pytest.raises(ValueError, match=message):
            pose(picture, boxes)
    with pytest.raises(ValueError, match=r"picture is float64 \[20, 30, 3\]; it takes uint8"):
        pose(picture.astype(float))
    with pytest.raises(TypeError, match="picture is a list; it takes a path or an array"):
        pose([1, 2])
    with pytest.raises(FileNotFoundError, match=r"image .*no\.png does not exist"):
        pose(tmp_path / "no.png")
    with pytest.raises(ValueError, match="batch_size is 0"):
        Pose(model, batch_size=0)
    assert pose(picture, []) == []


def test_predict_takes_folders_patterns_and_boxes(model, people, tmp_path, capsys):
    images = people / "images"
    pictures = sorted(images.glob("*.png"))
    assert find_inputs([str(images)]) == (pictures, [])
    three = [p for p in pictures if p.stem in ("000001", "000002", "000003")]
    assert find_inputs([str(images / "00000[1-3].png"), str(pictures[1])]) == (three, [])
    out = tmp_path / "out"
    words = ["predict", str(model), str(images), f"--output={out}", "--batch-size=7"]
    assert main([*words, f"--boxes={people / 'annotations.json'}"]) == 0
    rows = json.loads((out / "predictions.json").read_text())
    assert [len(row["people"]) for row in rows] == [1] * len(pictures)
    content = json.loads((people / "annotations.json").read_text())
    assert rows[0]["people"][0]["box"] == pytest.approx(content["annotations"][0]["bbox"])
    assert len(list(out.glob("*.png"))) == len(pictures)
    capsys.readouterr()

    box = {"image": f"elsewhere/{pictures[2].name}", "bbox": [1, 2, 30, 40]}
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps([{**box, "score": 0.9}, {**box, "score": 0.2}]))
    out = tmp_path / "few"
    words[3] = f"--output={out}"
    assert main([*words, f"--boxes={file}", "--box-threshold=0.5"]) == 0
    assert f"{len(pictures) - 1} pictures passed over" in capsys.readouterr().out
    (row,) = json.loads((out / "predictions.json").read_text())
    assert row["image"] == str(pictures[2])
    assert [person["box"] for person in row["people"]] == [[1, 2, 30, 40]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "takes COCO's annotations, or a list of objects"),
        ([{"image": "a.png", "bbox": [1, 2, 3]}], "box 0 of"),
        ([{"image": "a.png", "bbox": [1, 2, 3, True]}], "box 0 of"),
        ([{"bbox": [1, 2, 3, 4]}], "box 0 of"),
        ([{"image": "a.png", "bbox": [1, 2, 0, 4]}], "box 0 of .* the last two positive"),
        ([1], "takes COCO's annotations"),
        ({"images": [1], "annotations": []}, "takes COCO's annotations"),
        ({"images": [], "annotations": [1]}, "takes COCO's annotations"),
        ({"images": [], "annotations": [{"image_id": [1], "bbox": [1, 2, 3, 4]}]}, "box 0 of"),
        ({"images": [{"id": 1, "file_name": 3}], "annotations": [{"image_id": 1}]}, "box 0 of"),
        ([{"image": "a.png", "bbox": [1, 2, 3, 4], "score": "x"}], "box 0 of"),
    ],
)
def test_a_wrong_box_file_is_named(tmp_path, content, message):
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_boxes(file)


def test_what_stands_for_no_picture_is_named(model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for word, message in (
        (str(tmp_path / "empty"), "holds no picture"),
        (str(tmp_path / "*.jpg"), "matches no picture"),
        (str(tmp_path / "no.jpg"), "does not exist"),
    ):
        assert main(["predict", str(model), word]) == 1
        assert message in capsys.readouterr().err
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.zeros((9, 9, 3), np.uint8))
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps([{"image": "other.png", "bbox": [1, 2, 3, 4]}]))
    assert main(["predict", str(model), str(picture), f"--boxes={file}"]) == 1
    assert "has no box for any of the 1 pictures, such as a.png" in capsys.readouterr().err


def test_a_picture_alone_is_cut_as_it_is(model, annotated):
    """Without a box nothing is padded; a box that is the whole picture is, as any box."""
    pose = Pose(model)
    height, width = cv2.imread(str(annotated[0].image)).shape[:2]
    box = [0, 0, width, height]
    (alone,), (padded,) = pose(annotated[0].image), pose(annotated[0].image, [box])
    assert not np.allclose(alone.keypoints, padded.keypoints, atol=0.5)
    shrunk = np.array([width, height]) / pose.card.padding
    middle = np.array([width, height]) / 2
    (same,) = pose(annotated[0].image, [[*(middle - shrunk / 2), *shrunk]])
    np.testing.assert_allclose(alone.keypoints, same.keypoints, atol=1e-2)


def test_poses_come_as_soon_as_they_are_known(model, annotated):
    asked = []

    def pictures():
        for person in annotated:
            asked.append(person)
            yield person.image, [person.box]

    found = Pose(model, batch_size=1).stream(pictures())
    for number in range(1, 4):
        next(found)
        assert len(asked) == number


def test_each_pose_is_drawn_on_its_own_picture(model, people, tmp_path):
    pictures = sorted((people / "images").glob("*.png"))[:5]
    words = [*(str(picture) for picture in pictures), "--min-confidence=0"]
    assert main(["predict", str(model), *words, f"--output={tmp_path}/out", "--batch-size=2"]) == 0
    for picture in pictures:
        before, drawn = cv2.imread(str(picture)), cv2.imread(f"{tmp_path}/out/{picture.name}")
        untouched = (before == drawn).all(axis=2).mean()
        assert 0.5 < untouched < 1
