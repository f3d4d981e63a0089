"""Files as people have them: ``hhd data check``, ``train`` and ``eval`` give the same verdict."""

import json
import os
import re

import numpy as np
import pytest

from hhd.cli import main
from hhd.data.check import check_data
from hhd.data.coco import coco_persons, read_coco
from hhd.data.skeleton import load_skeleton

REFUSED = {
    "a flag": ({"iscrowd": "no"}, "iscrowd is 'no'; it takes 0 or 1"),
    "a flag in a list": ({"iscrowd": [0]}, r"iscrowd is \[0\]; it takes 0 or 1"),
    "a negative flag": ({"iscrowd": -1}, "iscrowd is -1; it takes 0 or 1"),
    "a count": ({"num_keypoints": "x"}, "num_keypoints is 'x'; it takes a number"),
    "an area of text": ({"area": "big"}, "area is 'big'; it takes a number"),
    "a number beyond floats": ({"bbox": [0, 0, 10**400, 5]}, "bbox is .*finite numbers"),
    "an id beyond 64 bits": ({"id": 10**400}, "id is 10+.*; it takes an integer"),
    "a box of nothing": ({"bbox": [5, 5, 1e-300, 5]}, "bbox is .*; it takes x, y and a positive"),
    "a box of everything": ({"bbox": [0, 0, 1e300, 5]}, "bbox is .*; it takes x, y and a positive"),
    "a joint beyond float32": ({"keypoints": [1e39, 1, 2] * 4}, "a joint is at .*up to 1e.06"),
    "a flag of AI Challenger": ({"keypoints": [1, 1, 3] * 4}, "a joint has v = 3"),
    "joints that are announced": ({"keypoints": []}, "keypoints has 0 numbers"),
    "an unknown category": ({"category_id": 9}, "category_id 9 is not among the categories"),
    "no category": (lambda c: c["annotations"][0].pop("category_id"), "lacks category_id"),
    "an image twice": (lambda c: c["images"].append(c["images"][0]), "id 1 is there twice"),
    "a missing picture": (lambda c: c["images"][0].update(file_name="x.png"), "does not exist"),
    "an absurd name": (lambda c: c["images"][0].update(file_name="x" * 9999), "9999 characters"),
    "an impossible name": (lambda c: c["images"][0].update(file_name="a\0b"), "does not exist"),
    "a size": (lambda c: c["images"][0].update(width=80), "has 160x120 pixels, .* says 80x120"),
    "shares of the picture": (
        lambda c: [
            a.update(
                bbox=[0.1, 0.2, 0.3, 0.4], keypoints=[0.2, 0.3, 2] * 4, area=0.12
            ) for a in c["annotations"]
        ],
        "between 0 and 1, as shares of the picture do",
    ),
    "other joints": (
        lambda c: c["categories"][0].update(keypoints=["top", "left", "tail", "bottom"]),
        "joint 2 is 'tail', the skeleton's 'right'",
    ),
    "depth": ("[" * 100_000, "nested too deeply"),
    "an object's depth": ('{"a":' * 100_000, "nested too deeply"),
    "digits": ('{"images": [], "annotations": ' + "1" * 5000 + "}", "is not JSON"),
    "no JSON": ("{", "is not JSON"),
    "no text": ("\udcff", "is no text in UTF-8"),
}  # fmt: skip


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_by_all_three(kites, capsys, name):
    change, message = REFUSED[name]
    if isinstance(change, str):
        kites.json.write_bytes(change.encode("utf-8", "surrogateescape"))
    else:
        kites.change(change)
    for words in (kites.train_words(), kites.eval_words(), kites.check_words()):
        capsys.readouterr()
        assert main(words) == 1, words[0]
        text = capsys.readouterr()
        told = text.out if words[0] == "data" else text.err
        assert re.search(message, told), told
        assert all(c.isprintable() or c == "\n" for c in told)
        assert len(told) < 2000
        if words[0] == "data":
            assert "hhd train and hhd eval refuse this" in told
        else:
            assert told.count("\n") == 1
    assert not (kites.folder / "run").exists() or name == "a size"


TAKEN = {
    "a sound file": ({}, "nothing wrong"),
    "flags of text": ({"iscrowd": "0"}, "nothing wrong"),
    "no count": (lambda c: c["annotations"][0].pop("num_keypoints"), "nothing wrong"),
    "ids from 0": (lambda c: c["annotations"][0].update(id=0), "nothing wrong"),
    "a track without joints": (
        {"keypoints": [], "num_keypoints": 0},
        "left out: 1 without a labelled joint",
    ),
    "a crowd": ({"iscrowd": 1}, "left out: 1 crowds"),
    "an unlabelled joint anywhere": ({"keypoints": [1e300, -1e300, 0, *[50, 40, 2] * 3]}, ""),
    "names written otherwise": (
        lambda c: c["categories"][0].update(keypoints=["Top", " left ", "RIGHT", "bottom "]),
        "nothing wrong",
    ),
    "a car": (
        lambda c: (
            c["categories"].append({"id": 2, "name": "car"}),
            c["annotations"][0].update(category_id=2, keypoints=[], num_keypoints=0),
        ),
        "left out: 1 of category 'car'",
    ),
    "another skeleton's persons": (
        lambda c: (
            c["categories"].append({"id": 2, "name": "bird", "keypoints": ["beak"]}),
            c["annotations"][0].update(category_id=2, keypoints=[1, 1, 2], num_keypoints=1),
        ),
        "left out: 1 of category 'bird'",
    ),
    "no categories": (lambda c: c.update(categories=[]), "nothing wrong"),
    "a box of a pixel": ({"bbox": [45, 30, 1, 1]}, "bbox .*, padded, holds 0 of its 4 labelled"),
    "a box elsewhere": ({"bbox": [0, 0, 9, 9]}, "padded, holds 0 of its 4 labelled joints"),
    "a share for an area": ({"area": 0.2}, "area is 0.2; it takes squared pixels"),
    "an id twice": (lambda c: c["annotations"][1].update(id=1), "its id is there twice"),
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_taken_by_all_three(kites, capsys, name):
    change, message = TAKEN[name]
    kites.change(change)
    # All kites are of one size; what else concerns areas is asked for.
    main(kites.check_words(*(() if "area" in message else ("--ignore", "area"))))
    text = capsys.readouterr().out
    assert re.search(message, text), text
    assert "hhd train and hhd eval take this" in text
    for words in (kites.train_words(), kites.eval_words()):
        assert main(words) == 0, capsys.readouterr().err
        if message.startswith("left out"):
            assert message in capsys.readouterr().out


def test_percentages_are_suspected(kites):
    def change(content):
        for image in content["images"]:
            image.update(width=640, height=480)

    kites.change(change)
    found = check_data(kites.json, kites.images, kites.skeleton, decode=False).findings
    assert "units" not in [f.kind for f in found]
    for annotation in kites.content["annotations"]:
        annotation["bbox"] = [10, 10, 50, 80]
        annotation["keypoints"] = [30, 40, 2] * 4
    kites.change(change)
    found = check_data(kites.json, kites.images, kites.skeleton, decode=False).findings
    [text] = [f.text for f in found if f.kind == "units"]
    assert "between 0 and 100, in pictures of 480 pixels and more" in text


def test_a_category_is_chosen_by_name_or_id(kites):
    def change(content):
        content["categories"] = [{"id": 1, "name": "Kite"}, {"id": 2, "name": "car"}]
        content["annotations"][0]["category_id"] = 2

    path = kites.change(change)
    with pytest.raises(ValueError, match=r"1 \('Kite'\), 2 \('car'\) and names no joints: choose"):
        read_coco(path, kites.skeleton)
    for wanted, count in (("kite", 5), ("1", 5), ("2", 1)):
        assert len(read_coco(path, kites.skeleton, wanted).entries) == count
    with pytest.raises(ValueError, match=r"category is 'boat'; it has 1 \('Kite'\), 2 \('car'\)"):
        read_coco(path, kites.skeleton, "boat")
    kites.content["categories"] = []
    kites.content["annotations"][0]["category_id"] = 2
    with pytest.raises(ValueError, match="declares no categories, and its annotations are of 2"):
        read_coco(kites.write(kites.content), kites.skeleton)


def test_joints_may_be_numbers(kites, tmp_path):
    path = tmp_path / "numbers.yaml"
    path.write_text(
        kites.skeleton_file.read_text()
        .replace("'top', 'left'", "1, 2")
        .replace("[left, right]", "[2, right]")
        .replace("[top, left]", "[1, 2]")
        .replace("[top, right]", "[1, right]")
        .replace("[left, bottom]", "[2, bottom]")
    )
    skeleton = load_skeleton(str(path))
    assert skeleton.joints == ("1", "2", "right", "bottom")
    kites.change(lambda c: c["categories"][0].update(keypoints=[1, 2, "Right", "bottom"]))
    assert len(read_coco(kites.json, skeleton).entries) == 6


def test_unlabelled_joints_count_for_nothing(kites):
    kites.change({"keypoints": [1e300, -1e300, 0, *[50, 40, 2] * 3], "num_keypoints": 3})
    person = coco_persons(read_coco(kites.json, kites.skeleton), kites.images).require()[0]
    np.testing.assert_array_equal(person.keypoints[0], 0)


@pytest.mark.parametrize("how", ["link", "dots", "absolute"])
def test_nothing_outside_the_folder_of_pictures_is_read(kites, tmp_path, capsys, how):
    secret = tmp_path / "secret.png"
    secret.write_bytes((kites.images / "1.png").read_bytes())
    (kites.images / "link.png").symlink_to(secret)
    name = {"link": "link.png", "dots": "../../secret.png", "absolute": str(secret)}[how]
    kites.change(lambda c: c["images"][0].update(file_name=name))
    check = kites.check_words("--most=5", "--ignore", "area")
    for words in (kites.train_words(), kites.eval_words(), check):
        assert main(words) == 1
        text = capsys.readouterr()
        assert "lies outside of" in text.out + text.err
        assert main([*words, "--images-outside"]) == 0
        assert main([*words, "--images-outside", "true"]) == 0
        capsys.readouterr()
    # A folder of pictures that is itself a link is the user's own word.
    moved = tmp_path / "moved"
    os.rename(kites.images, moved)
    kites.images.symlink_to(moved)
    kites.write(kites.content)
    assert main(kites.eval_words()) == 0


def test_boxes_rules_need_what_they_need(kites, capsys):
    kites.change({"area": None})
    assert main(kites.eval_words("--boxes=hrnet")) == 0
    assert "no COCO AP: annotation 1 of" in capsys.readouterr().out
    kites.change(lambda c: c["images"][0].pop("width"))
    assert main(kites.eval_words("--boxes=hrnet")) == 1
    assert "boxes is hrnet, which needs its image's width and height" in capsys.readouterr().err
    assert main(kites.eval_words()) == 0


def test_detections_of_other_categories_are_said_aloud(kites, tmp_path, capsys):
    path = tmp_path / "detections.json"
    rows = [
        {"image_id": n, "category_id": 0 if n % 2 else 1, "bbox": [30, 20, 50, 80], "score": 0.9}
        for n in range(1, 7)
    ]
    path.write_text(json.dumps(rows))
    assert main(kites.eval_words(f"--detections={path}")) == 0
    assert "left out: 3 of category 0" in capsys.readouterr().out
    path.write_text(json.dumps([{**row, "category_id": 0} for row in rows]))
    assert main(kites.eval_words(f"--detections={path}")) == 1
    error = capsys.readouterr().err
    assert "of 6 it has left out: 6 of category 0; the annotated persons' category is 1" in error
    assert main(kites.eval_words(f"--detections={path}", "--detection-category=0")) == 0
    assert "COCO  AP" in capsys.readouterr().out
    assert main(kites.eval_words(f"--detections={path}", "--detection-threshold=nan")) == 1
    assert "detection_threshold is nan; it takes a finite number" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--area-of-box"], ["--area-of-box", "true"]])
def test_the_hint_is_typed_alike_in_train_and_eval(kites, words):
    kites.change({"area": 0})
    assert main(kites.eval_words(*words)) == 0
    assert main(kites.train_words("--coco-ap", *words)) == 0
