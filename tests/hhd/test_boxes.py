"""Where persons are: box files, detectors of two libraries and of one's own."""

import json

import cv2
import numpy as np
import pytest
import torch

from hhd.boxes import read_boxes
from hhd.cli import main
from hhd.detectors import hugging_face_detector, load_detector, torchvision_detector

CPU = torch.device("cpu")


def written(folder, content):
    file = folder / "boxes.json"
    file.write_text(json.dumps(content))
    return file


def test_detections_are_matched_by_the_number_in_the_name(tmp_path):
    """COCO's detections know ids alone; 000000000139.jpg is image 139."""
    rows = [
        {"image_id": 139, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9},
        {"image_id": 139, "category_id": 1, "bbox": [5, 6, 7, 8], "score": 0.1},
    ]
    boxes = read_boxes(written(tmp_path, rows), threshold=0.5)
    assert boxes.of(tmp_path / "000000000139.jpg") == [[1, 2, 3, 4, 0.9]]
    assert boxes.of(tmp_path / "000000000140.jpg") is None
    assert boxes.of(tmp_path / "x139.jpg") is None
    assert boxes.image_id(tmp_path / "000000000139.jpg") == 139


def test_annotations_give_ids_and_no_crowds(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "in/a.png"}, {"id": 8, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]},
            {"image_id": 7, "category_id": 1, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
    }
    boxes = read_boxes(written(tmp_path, content))
    assert boxes.of(tmp_path / "a.png") == [[1, 2, 3, 4, 1]]
    assert boxes.of(tmp_path / "b.png") == []
    assert [boxes.image_id(tmp_path / f"{name}.png") for name in "abc"] == [7, 8, None]


def test_a_file_of_several_categories_asks_which(tmp_path):
    rows = [{"image": "a.png", "category_id": kind, "bbox": [kind, 2, 3, 4]} for kind in (1, 3, 18)]
    file = written(tmp_path, rows)
    with pytest.raises(ValueError, match=r"categories \[1, 3, 18\]; choose one with --box-cat"):
        read_boxes(file)
    assert read_boxes(file, category=3).of(tmp_path / "a.png") == [[3, 2, 3, 4, 1]]


def bright(picture):
    """A detector: the bounding box of what is not black, and one that scores little."""
    ys, xs = np.nonzero(picture.max(axis=2) > 0)
    if not len(xs):
        return []
    box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
    return [[*box, 0.8], [0, 0, 5, 5, 0.3]]


def test_a_function_of_ones_own_detects(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "bright_things.py").write_text("from test_boxes import bright\nnumber = 5\n")
    picture = np.zeros((80, 60, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "none.png"), picture)
    picture[10:50, 20:40] = 200
    cv2.imwrite(str(tmp_path / "one.png"), picture)
    files = [str(tmp_path / f"{name}.png") for name in ("none", "one")]
    words = ["predict", *files, "--detector=bright_things:bright", f"--output={tmp_path}/out"]
    assert main(words) == 0
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    boxes = [[person["box"] for person in row["people"]] for row in rows]
    assert boxes == [[], [[20, 10, 20, 40]]]
    (result,) = json.loads((tmp_path / "out" / "coco_results.json").read_text())
    assert (result["image_id"], result["category_id"], result["bbox"]) == (2, 1, [20, 10, 20, 40])
    assert len(result["keypoints"]) == 3 * 14
    assert main([*words, "--box-threshold=0.2", "--output", str(tmp_path / "two")]) == 0
    rows = json.loads((tmp_path / "two" / "predictions.json").read_text())
    assert len(rows[1]["people"]) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yolo", "detector is 'yolo'; it takes torchvision, torchvision:MODEL, hf:ID or pack"),
        ("no_such_module_here:f", "detector 'no_such_module_here:f': No module named"),
        ("json:nothing", "detector 'json:nothing': module json has no function nothing"),
    ],
)
def test_a_wrong_detector_is_named(name, message):
    with pytest.raises(ValueError, match=message):
        load_detector(name, CPU)


def test_a_detector_that_gives_something_else_is_named(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((9, 9, 3), 9, np.uint8))
    words = ["predict", str(tmp_path / "a.png"), f"--output={tmp_path}/o"]
    assert main([*words, "--detector=numpy:ravel"]) == 1
    assert "the detector gave [243] for" in capsys.readouterr().err


def test_hugging_faces_detector_finds_its_persons(tmp_path):
    """A tiny YOLOS of random weights, from a local folder: boxes of class person alone, as
    transformers' own pipeline has them."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    names = {0: "N/A", 1: "Person", 2: "dog"}
    config = transformers.YolosConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=[64, 96], patch_size=16, num_detection_tokens=20, id2label=names,
        label2id={name: number for number, name in names.items()},
    )  # fmt: skip
    network = transformers.YolosForObjectDetection(config)
    # Tokens that differ, to find different things.
    network.vit.embeddings.detection_tokens.data.normal_()
    network.class_labels_classifier.layers[-1].weight.data.mul_(100)
    network.save_pretrained(tmp_path)
    transformers.YolosImageProcessor(size={"height": 64, "width": 96}).save_pretrained(tmp_path)
    picture = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    found = hugging_face_detector(str(tmp_path))(picture)
    from PIL import Image

    pipeline = transformers.pipeline("object-detection", model=str(tmp_path), threshold=0.05)
    expected = [
        row for row in pipeline(Image.fromarray(picture[:, :, ::-1])) if row["label"] == "Person"
    ]
    expected.sort(key=lambda row: -row["score"])
    assert 0 < len(found) == len(expected)
    corners = [[row["box"][side] for side in ("xmin", "ymin", "xmax", "ymax")] for row in expected]
    order = np.argsort(-found[:, 4])
    both = np.concatenate([found[order, :2], found[order, :2] + found[order, 2:4]], axis=1)
    np.testing.assert_allclose(both, corners, atol=1.01)  # the pipeline's are whole numbers
    np.testing.assert_allclose(found[order, 4], [row["score"] for row in expected], atol=1e-4)


def test_a_detector_without_persons_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"detector hf:{tmp_path}"):
        hugging_face_detector(str(tmp_path))


def test_torchvisions_detector(tmp_path):
    """Random weights: what is found has boxes of the picture's pixels."""
    pytest.importorskip("torchvision", reason="torchvision is absent", exc_type=ImportError)
    detect = torchvision_detector("fasterrcnn_mobilenet_v3_large_320_fpn", weights=None)
    found = detect(np.random.default_rng(0).integers(0, 255, (120, 90, 3), dtype=np.uint8))
    assert found.shape[1] == 5
    with pytest.raises(ValueError, match="detector torchvision:'none_such' is none"):
        torchvision_detector("none_such", weights=None)


def pictures_in(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.full((80, 60, 3), 90, np.uint8))
    return folder


def test_a_picture_that_cannot_be_read_costs_no_other(tmp_path, capsys):
    folder = pictures_in(tmp_path / "in", "a.png", "c.png")
    (folder / "b.jpg").write_bytes(b"")
    out = tmp_path / "out"
    assert main(["predict", str(folder), f"--output={out}"]) == 1
    text = capsys.readouterr().err
    assert f"1 of 3 pictures cannot be read, the others are in {out}" in text
    assert "b.jpg" in text
    rows = json.loads((out / "predictions.json").read_text())
    assert [row["drawing"] for row in rows] == ["a.png", "c.png"]
    results = json.loads((out / "coco_results.json").read_text())
    assert [result["image_id"] for result in results] == [1, 3]


def test_an_interrupt_keeps_what_was_done(tmp_path, monkeypatch):
    folder = pictures_in(tmp_path / "in", *(f"{number}.png" for number in range(5)))
    asked = []

    def interrupted(picture):
        asked.append(picture)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return [[0, 0, 50, 70]]

    monkeypatch.setattr("hhd.commands.predict.load_detector", lambda *_: interrupted)
    words = ["predict", str(folder), "--detector=a:b", "--batch-size=1"]
    assert main([*words, f"--output={tmp_path}/out"]) == 130
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 3


def test_drawings_have_names_of_their_own(tmp_path):
    first = pictures_in(tmp_path / "one", "a.jpg", "a.png", "b.png")
    second = pictures_in(tmp_path / "two", "a.png")
    out = tmp_path / "out"
    assert main(["predict", str(first), str(second), f"--output={out}"]) == 0
    rows = json.loads((out / "predictions.json").read_text())
    names = ["a.jpg.png", "a.png.png", "b.png", "a.png.2.png"]
    assert [row["drawing"] for row in rows] == names
    assert {path.name for path in out.glob("*.png")} == set(names)


def test_boxes_outside_of_their_picture_are_left_out_aloud(tmp_path, capsys):
    folder = pictures_in(tmp_path / "in", "a.png")
    places = ([5, 5, 20, 30], [5000, 5000, 20, 20], [-30, 0, 20, 20], [-5, 60, 20, 40])
    boxes = written(tmp_path, [{"image": "a.png", "bbox": box} for box in places])
    words = ["predict", str(folder), f"--boxes={boxes}", f"--output={tmp_path}/out"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "left out: 2, such as [5000.0, 5000.0, 20.0, 20.0] of" in text
    assert "persons: 2, pictures: 1" in text


def test_a_detector_that_fails_is_named_with_its_picture(tmp_path, monkeypatch, capsys):
    """It lies in the folder where the command is called."""
    monkeypatch.chdir(pictures_in(tmp_path, "a.png"))
    (tmp_path / "bad_ones.py").write_text(
        "def raises(p):\n    raise RuntimeError('no weights')\n"
        "def empty(p):\n    return [[1, 2, float('nan'), 4]]\n"
    )
    for name, message in (
        ("raises", "the detector fails on a.png: RuntimeError: no weights"),
        ("empty", "the detector gave a box for a.png that is not finite"),
    ):
        words = ["predict", "a.png", f"--detector=bad_ones:{name}", f"--output={tmp_path}/{name}"]
        assert main(words) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--min-confidence=nan"], "--min-confidence is nan; it takes 0 to 1"),
        (["--box-threshold=.5"], "--box-threshold is of the boxes of --boxes or --detector"),
        (["--output=a.png"], "output a.png cannot be made: File exists"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(pictures_in(tmp_path, "a.png"))
    assert main(["predict", "a.png", *words]) == 1
    assert message in capsys.readouterr().err
