"""``hhd data check`` names what is broken; ``hhd data preview`` shows what is trained on."""

import json
import re

import cv2
import numpy as np
import pytest

from hhd.cli import main
from hhd.data.check import check_data
from hhd.data.coco import read_persons
from hhd.data.dataset import CropDataset
from hhd.data.skeleton import load_skeleton
from hhd.draw import legend
from hhd.preview import preview


@pytest.fixture
def broken(people, tmp_path):
    """A function that breaks and checks a copy of the generated persons."""
    images = tmp_path / "images"
    images.mkdir()
    for source in (people / "images").iterdir():
        (images / source.name).write_bytes(source.read_bytes())
    content = json.loads((people / "annotations.json").read_text())
    # Drawn persons are of one size, as COCO counts sizes.
    content["annotations"][0]["area"] = 2000
    content["annotations"][1].update(area=20000, bbox=[0, 0, 112, 112])
    path = tmp_path / "annotations.json"

    def check(change=lambda content, images: None):
        change(content, images)
        path.write_text(json.dumps(content))
        return check_data(path, images, load_skeleton("lsp14"))

    return check


def set_first(**values):
    return lambda content, images: content["annotations"][0].update(values)


def cut_picture(content, images):
    name = content["images"][3]["file_name"]
    whole = (images / name).read_bytes()
    (images / name).write_bytes(whole[: len(whole) // 2])


def cut_jpeg(content, images):
    encoded = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (112, 112, 3)))[1]
    content["images"][3]["file_name"] = "cut.jpg"
    (images / "cut.jpg").write_bytes(encoded.tobytes()[: len(encoded) // 2])


def one_area(content, images):
    for annotation in content["annotations"]:
        annotation["area"] = 900.0


def no_area(content, images):
    for annotation in content["annotations"][:7]:
        del annotation["area"]


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (set_first(keypoints=[1, 2, 2]), "annotation", "annotation 1 of .*keypoints has 3 numbers"),
        (set_first(id=[1]), "annotation", r"annotation \[1\] of .*id is \[1\]"),
        (set_first(image_id={}), "annotation", r"annotation 1 of .*image_id is \{\}"),
        (
            lambda c, i: c["categories"][0].update(keypoints=7),
            "annotation",
            "keypoints is 7; it takes a list of names",
        ),
        (set_first(bbox=[0, 0, -4, 9]), "annotation", "annotation 1 of .*bbox is"),
        (set_first(image_id=99), "annotation", "annotation 1 of .*image_id 99 is not among"),
        (set_first(keypoints=[50, 50, 3] * 14), "annotation", "annotation 1 of .*v = 3"),
        (set_first(num_keypoints=0), "area", "annotation 1 of .*AP ignores the person"),
        (
            set_first(num_keypoints=3, keypoints=[0] * 42),
            "annotation",
            "annotation 1 of .*num_keypoints is 3, but no joint is labelled",
        ),
        (
            set_first(category_id=7),
            "annotation",
            "annotation 1 of .*category_id 7 is not among the categories",
        ),
        (set_first(id=2), "id", "annotation 2 of .*its id is there twice"),
        (
            set_first(bbox=[60, 60, 900, 9]),
            "outside",
            "annotation 1 of .*reaches 848.0 pixels past",
        ),
        (
            set_first(keypoints=[500, 5, 2] * 14),
            "outside",
            "annotation 1 of .*joint 0 at .*off the",
        ),
        (
            set_first(area=0),
            "area",
            "annotation 1 of .*area is 0; it takes .*no AP without --area-of-box",
        ),
        (one_area, "area", "no person has an area from 1024 to 9216, so AP_medium is not defined"),
        (no_area, "area", "7 of 20 persons have no area: there is no AP without --area-of-box"),
        (cut_picture, "picture", r"000004.png (is damaged|cannot be decoded)"),
        (cut_jpeg, "picture", "cut.jpg is damaged: "),
        (
            lambda c, i: c["images"][2].update(file_name="no.png"),
            "missing",
            r"image 3 of .*no.png does not exist",
        ),
        (
            lambda c, i: c["images"][2].update(width=50),
            "picture",
            "has 112x112 pixels, its annotation file says 50x112",
        ),
        (lambda c, i: c["images"][2].update(id="x"), "annotation", r"images\[2\] of .*id is 'x'"),
        (lambda c, i: c.pop("images"), "annotation", "it lacks"),
        (
            lambda c, i: c["annotations"].clear(),
            "annotation",
            "has no person with a labelled joint",
        ),
    ],
)
def test_what_is_broken_is_named(broken, change, kind, text):
    found = [finding for finding in broken(change).findings if finding.kind == kind]
    assert any(re.search(text, finding.text) for finding in found), found


def test_nothing_wrong(broken):
    checked = broken()
    assert checked == (20, 20, [], "")


def test_many_things_at_once(broken):
    def change(content, images):
        content["annotations"][7]["bbox"] = None
        content["annotations"][8]["keypoints"] = None
        content["images"][5]["file_name"] = "gone.png"

    kinds = sorted(finding.kind for finding in broken(change).findings)
    assert kinds == ["annotation", "annotation", "missing"]


def test_real_samples_have_nothing_wrong(shared_data):
    folder = shared_data / "coco_mini"
    checked = check_data(
        folder / "person_keypoints.json", folder / "images", load_skeleton("coco17")
    )
    assert checked == (98, 36, [], "left out: 61 without a labelled joint, 5 crowds")
    folder = shared_data / "mmpose_samples" / "mpii"
    assert check_data(folder / "test_mpii.json", folder, load_skeleton("mpii16")) == (5, 5, [], "")


def test_broken_mpii_rows_are_all_named(shared_data, tmp_path):
    folder = shared_data / "mmpose_samples" / "mpii"
    rows = json.loads((folder / "test_mpii.json").read_text())
    rows[0]["scale"], rows[2]["image"], rows[3]["joints_vis"] = -1, "gone.jpg", [0] * 16
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    texts = [finding.text for finding in check_data(path, folder, load_skeleton("mpii16")).findings]
    assert len(texts) == 3
    assert "person 0" in texts[0]
    assert "gone.jpg does not exist" in texts[1]
    assert "person 3" in texts[2]


def test_mpii_joints_and_centres_off_their_pictures_are_named(shared_data, tmp_path):
    folder = shared_data / "mmpose_samples" / "mpii"
    rows = json.loads((folder / "test_mpii.json").read_text())
    rows[0]["joints"][3], rows[0]["joints_vis"][3] = [9000, 1], 1
    rows[1]["center"] = [1, 9000]
    # An unlabelled joint may be anywhere.
    rows[2]["joints"][5], rows[2]["joints_vis"][5] = [-50, -50], 0
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    found = check_data(path, folder, load_skeleton("mpii16")).findings
    assert [finding.kind for finding in found] == ["outside", "outside"]
    assert "person 0 of" in found[0].text
    assert "joint 3 at [8999.0, 0.0] is off the picture" in found[0].text
    assert "person 1 of" in found[1].text
    assert "its centre at [0.0, 8999.0] is off the picture" in found[1].text


def test_the_exit_status_says_whether_anything_is_wrong(people, tmp_path, capsys):
    words = ["data", "check", str(people / "annotations.json"), "--skeleton", "lsp14"]
    status = main(words)
    text = capsys.readouterr().out
    assert status == 1
    assert "area: " in text
    assert main([*words, "--ignore", "area"]) == 0
    assert "20 persons in 20 pictures: nothing wrong" in capsys.readouterr().out
    content = json.loads((people / "annotations.json").read_text())
    for annotation in content["annotations"]:
        annotation["bbox"] = [0, 0, 0, 0]
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    words[2] = str(path)
    assert main([*words, "--images", str(people / "images"), "--most", "3"]) == 1
    text = capsys.readouterr().out
    assert text.count("annotation: annotation") == 3
    assert "and 17 more" in text
    assert main(["data", "chek"]) == 1
    assert "it takes one of init, split, check, preview, cache" in capsys.readouterr().err


def test_help_of_preview_names_its_own_options(capsys):
    with pytest.raises(SystemExit):
        main(["data", "preview", "--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: hhd data preview [RECIPE] [--field value]...")
    assert "--count N " in text
    assert "--file PNG " in text


def test_preview_shows_the_crops_the_network_gets(tiny, people, lsp14, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    words = [f"--{key}={value}" for key, value in tiny.items()]
    assert main(["data", "preview", "demo_student", *words, "--count=7", f"--file={sheet}"]) == 0
    assert "7 crops in" in capsys.readouterr().out
    assert main(["data", "preview", "demo_student", *words, f"--file={tmp_path}/sheet.xyz"]) == 1
    assert f"picture {tmp_path}/sheet.xyz has no ending that is known" in capsys.readouterr().err
    # Nothing is evaluated, so its files may be elsewhere.
    words += ["--val_annotations=no.json", "--val_detections=no.json", "--coco_ap=true"]
    assert main(["data", "preview", "demo_student", *words, "--count=7", f"--file={sheet}"]) == 0
    picture = cv2.imread(str(sheet))
    # 64-pixel crops three times as large under an 18-pixel caption, six a row; then the legend.
    assert picture.shape[1] == 6 * 192
    below = picture[2 * (192 + 18) :]
    assert (below == legend(lsp14, 6 * 192, numbered=True)).all()
    assert picture[320:420, -100:].max() == 0 < below.max()

    persons = read_persons(people / "annotations.json", people / "images", lsp14)
    data = CropDataset(persons, lsp14, input_size=(200, 200), stride=1)
    drawn, item = preview(data, lsp14, [0]), data[0]
    bare = item["image"].transpose(1, 2, 0)[:, :, ::-1]
    changed = (drawn[18:218] != bare).any(axis=2)
    x, y = np.round(item["coords"][item["weight"] > 0]).astype(int).T
    assert changed[y, x].all()
    with pytest.raises(ValueError, match="at least one"):
        preview(data, lsp14, [])
