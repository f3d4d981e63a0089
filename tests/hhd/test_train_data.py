"""Training and evaluation end to end on COCO and MPII samples, UDP, every loss."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from hhd.cli import main
from hhd.data.mpii import read_mpii, read_mpii_truth
from hhd.data.skeleton import load_skeleton
from hhd.evaluation.pckh import pckh
from hhd.models import build_model
from hhd.models.files import ModelCard, load_model, save_model
from hhd.train import loop
from hhd.train.data import build_data
from hhd.train.recipe import load_recipe
from hhd.train.resume import check_same_run, input_files

QUIET = Console(quiet=True)


@pytest.fixture
def short(tmp_path: Path) -> dict[str, Any]:
    return {
        "model": "small_student",
        "input_size": [64, 64],
        "epochs": 1,
        "batch_size": 4,
        "workers": 0,
        "threads": 1,
        "evaluate_every": 1,
        "output": str(tmp_path / "run"),
    }


@pytest.fixture
def mpii(shared_data: Path, tmp_path: Path) -> dict[str, Any]:
    """The five MPII samples, with a file of head boxes whose unit is 20 pixels."""
    io = pytest.importorskip("scipy.io")
    folder = shared_data / "mmpose_samples" / "mpii"
    rows = json.loads((folder / "test_mpii.json").read_text())
    heads = np.zeros((2, 2, 5))
    heads[1, 0] = 20 / 0.6
    io.savemat(
        tmp_path / "gt_valid.mat",
        {
            "jnt_missing": 1 - np.array([row["joints_vis"] for row in rows]).T,
            "pos_gt_src": np.array([row["joints"] for row in rows]).transpose(1, 2, 0),
            "headboxes_src": heads,
        },
    )
    return {
        "data_root": str(folder),
        "train_annotations": "test_mpii.json",
        "val_annotations": "test_mpii.json",
        "train_images": ".",
        "val_images": ".",
        "mpii_truth": str(tmp_path / "gt_valid.mat"),
    }


def test_mpii_from_its_recipe(mpii, short, tmp_path, capsys):
    teacher = {"loss": "kl", "teacher": "labels"}
    recipe = load_recipe("mpii_litehrnet18_hhd", **mpii, **short, **teacher)
    trained = loop.train(recipe, QUIET)
    assert [score.convention for score in trained.report.mpii] == ["hrnet", "mmpose"]
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["mpii"]["PCKh (hrnet, <= 0.5) Mean"] == trained.report.mpii[0].mean
    # The same numbers from the command, against the same truth.
    words = ["--annotations", f"{mpii['data_root']}/test_mpii.json", "--images", mpii["data_root"]]
    words += ["--mpii-truth", mpii["mpii_truth"], "--workers", "0", "--batch-size", "4"]
    numbers = tmp_path / "numbers.json"
    model = str(tmp_path / "run" / "model.safetensors")
    assert main(["eval", model, *words, "--json", str(numbers)]) == 0
    assert numbers.read_text() == (tmp_path / "run" / "metrics.json").read_text()
    text = capsys.readouterr().out
    assert "hrnet, <= 0.5" in text
    assert "< 0.10: " in text


def test_what_evaluation_lacks_is_refused_before_the_first_step(
    mpii, short, shared_data, tmp_path, monkeypatch, capsys
):
    """MPII has no COCO AP, CrowdPose no areas, and PCKh takes the persons of its truth."""
    io = pytest.importorskip("scipy.io")
    teacher = {"loss": "kl", "teacher": "labels"}
    recipe = load_recipe("mpii_litehrnet18_hhd", **mpii, **short, **teacher)
    content = io.loadmat(mpii["mpii_truth"])
    fewer = {
        "jnt_missing": content["jnt_missing"][:, :3],
        "pos_gt_src": content["pos_gt_src"][..., :3],
        "headboxes_src": content["headboxes_src"][..., :3],
    }
    io.savemat(tmp_path / "fewer.mat", fewer)
    folder = shared_data / "mmpose_samples" / "crowdpose"
    file = "test_crowdpose.json"
    crowd = {"data_root": str(folder), "train_annotations": file, "val_annotations": file}

    def no_step(*_):
        raise AssertionError("a step was taken")

    monkeypatch.setattr(loop, "read_batches", no_step)
    for changes, message in (
        ({"coco_ap": True}, "test_mpii.json is not COCO-style"),
        ({"mpii_truth": str(tmp_path / "fewer.mat")}, r"mpii_truth has coords of shape \(3, 16"),
        (
            {**crowd, "skeleton": "crowdpose14", "mpii_truth": None, "coco_ap": True},
            "it has no area, which AP needs; --area-of-box takes",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            loop.train(replace(recipe, **changes), QUIET)

    skeleton = load_skeleton("crowdpose14")
    card = ModelCard("phone", "heatmap", (64, 64), 1.25, 1.0, 2.0, skeleton)
    model = tmp_path / "m.safetensors"
    save_model(model, build_model("phone", 14), card)
    # What AP lacks does not keep PCK from being evaluated.
    words = ["--annotations", str(folder / file), "--images", str(folder), "--workers=0"]
    assert main(["eval", str(model), *words]) == 0
    text = capsys.readouterr().out
    assert "no COCO AP: annotation" in text
    assert "--area-of-box takes .53 of the box" in text
    assert "PCK@0.2" in text


def test_labels_have_a_pckh_of_a_hundred(mpii):
    folder = Path(mpii["data_root"])
    persons = read_mpii(folder / "test_mpii.json", folder, load_skeleton("mpii16"))
    truth = read_mpii_truth(Path(mpii["mpii_truth"]))
    np.testing.assert_allclose(truth.head_size, 20)
    coords = np.stack([person.keypoints[:, :2] for person in persons])
    for convention in ("hrnet", "mmpose"):
        assert pckh(coords, truth, convention).mean == pytest.approx(100)
    # One right ankle ten pixels off, of the three that are labelled: on the threshold.
    coords[0, 0, 0] += 10
    assert pckh(coords, truth, "hrnet").parts["Ankle"] == 100
    assert pckh(coords, truth, "mmpose").parts["Ankle"] == pytest.approx(100 * (2 / 3 + 1) / 2)


def test_coco_with_detected_boxes(shared_data, short, tmp_path, capsys):
    folder = shared_data / "mmpose_samples" / "coco"
    data = {
        "data_root": str(folder),
        "train_annotations": "test_coco.json",
        "val_annotations": "test_coco.json",
        "val_detections": "test_coco_det_AP_H_56.json",
        "detection_threshold": 0.6,
        "train_images": ".",
        "val_images": ".",
    }
    teacher = {"loss": "kl", "teacher": "labels"}
    recipe = load_recipe("coco_litehrnet18_hhd", **data, **short, **teacher)
    assert set(input_files(recipe)) == {
        "train_annotations", "val_annotations", "val_detections",
    }  # fmt: skip
    trained = loop.train(recipe, QUIET)
    boxes = json.loads((folder / "test_coco_det_AP_H_56.json").read_text())
    assert len(trained.val) == sum(box["score"] >= 0.6 for box in boxes) < len(boxes)
    assert trained.report.pck is None
    assert trained.report.coco["AP"] >= 0
    assert trained.report.summary() == f"AP {100 * trained.report.coco['AP']:.1f}"
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["pck"] is None

    words = ["--annotations", str(folder / "test_coco.json"), "--images", str(folder)]
    words += ["--detections", str(folder / "test_coco_det_AP_H_56.json"), "--workers", "0"]
    words += ["--detection-threshold", "0.6", "--batch-size", "4"]
    model, numbers = str(tmp_path / "run" / "model.safetensors"), tmp_path / "numbers.json"
    assert main(["eval", model, *words, "--json", str(numbers)]) == 0
    assert json.loads(numbers.read_text())["coco"] == written["coco"]
    assert "COCO  AP" in capsys.readouterr().out


@pytest.mark.parametrize("loss", ["js", "kd_mse", "kd_kl", "kl"])
def test_every_loss_trains(tiny, loss):
    changes = {} if loss == "js" else {"teacher": "labels"}
    recipe = load_recipe(
        "demo_student", **tiny, loss=loss, coordinate_loss="smooth_l1", optimiser="adam",
        schedule="multistep", milestones=[1], warmup_steps=3, **changes,
    )  # fmt: skip
    trained = loop.train(recipe, QUIET)
    lines = [json.loads(x) for x in (Path(recipe.output) / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert steps[0]["lr"] == pytest.approx(recipe.lr * (0.001 + 0.999 / 2))  # the second step's
    assert steps[-2]["lr"] == pytest.approx(recipe.lr / 10)
    assert all(torch.isfinite(p).all() for p in trained.model.parameters())


def test_udp_from_teacher_to_student(tiny, tmp_path):
    udp = {"affine": "udp"}
    teacher = load_recipe(
        "demo_teacher", **{**tiny, "output": str(tmp_path / "teacher")}, **udp,
        target="udp", heatmap_decode="dark_udp",
    )  # fmt: skip
    loop.train(teacher, QUIET)
    path = tmp_path / "teacher" / "model.safetensors"
    card = load_model(path)[1]
    assert (card.affine, card.heatmap_decode) == ("udp", "dark_udp")
    student = load_recipe("demo_student", **tiny, **udp, loss="kl", teacher=str(path))
    assert loop.train(student, QUIET).decoder.card.affine == "udp"
    standard = load_recipe(
        "demo_student", **{**tiny, "output": str(tmp_path / "o")}, loss="kl", teacher=str(path)
    )
    with pytest.raises(ValueError, match="was trained with affine udp, affine is standard"):
        loop.train(standard, QUIET)


def double(image, keypoints, visible):
    """Somebody's own augmentation."""
    return np.minimum(image, 127) * 2, keypoints, visible


def test_the_recipes_own_choices_reach_the_data(tiny, lsp14):
    recipe = load_recipe(
        "demo_student", **tiny, augmentation="mmpose", half_body_probability=0.3,
        shift_probability=0.2, transform="test_train_data.double", affine="udp",
    )  # fmt: skip
    train_data, val_data = build_data(recipe, lsp14, 2, QUIET)
    (train_data,) = train_data.parts
    own = train_data.augmentation
    assert (own.rule, own.half_body_probability, own.shift_probability) == ("mmpose", 0.3, 0.2)
    assert train_data.transform is not None
    assert (val_data.transform, val_data.augmentation, val_data.affine) == (None, None, "udp")
    assert int(train_data[0]["image"].max()) <= 254


def test_joint_weights_come_from_the_skeleton(tiny):
    with pytest.raises(ValueError, match="joint_weights is true, but skeleton lsp14 has none"):
        loop.train(load_recipe("demo_student", **tiny, joint_weights=True), QUIET)


def test_a_run_of_an_older_version_goes_on(tiny):
    """A checkpoint that does not know a field was made when that had its default."""
    recipe = load_recipe("demo_student", **tiny)
    saved = recipe.as_dict()
    del saved["affine"]
    state = {"recipe": saved, "step": 3}
    assert check_same_run(state, recipe, 10, Path("checkpoint.pt")) == recipe.epochs
    other = load_recipe("demo_student", **tiny, affine="udp")
    with pytest.raises(ValueError, match="other values of affine"):
        check_same_run(state, other, 10, Path("checkpoint.pt"))
