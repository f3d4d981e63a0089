"""The network that comes with the package."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from hhd.cli import main
from hhd.data.dataset import CropDataset
from hhd.data.loading import make_loader
from hhd.data.picture import read_picture
from hhd.data.read import read_annotations
from hhd.evaluation.decode import Decoder, predict
from hhd.evaluation.pck import units
from hhd.models.files import load_model
from hhd.models.shipped import SHIPPED

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("HHD_SHARED", ROOT.parent / "shared"))


def test_it_is_small_and_says_what_it_was_trained_on():
    model, card = load_model(SHIPPED)
    assert SHIPPED.stat().st_size < 5e6
    assert sum(p.numel() for p in model.parameters()) <= 1.3e6
    assert "Leeds Sports Pose" in card.source
    assert "BlazePose" in card.source
    # Nothing of the machine that it was trained on.
    assert "/" not in json.dumps(
        [card.recipe[name] for name in ("data_root", "output", "cache", "targets")]
    )


def test_it_is_as_accurate_as_its_page_says():
    """The first pictures' joints, counted anew, against the study's record of them."""
    data = SHARED / "data" / "lspet"
    if not data.is_dir():
        pytest.skip(f"the photographs are absent: no folder {data} (set HHD_SHARED)")
    record = json.loads((ROOT / "benchmarks/accuracy/results/shipped.0.json").read_text())
    counts = record["decodings"]["as trained"]
    model, card = load_model(SHIPPED)
    reading = read_annotations(data / "annotations/lspet_val.json", data / "images", card.skeleton)
    persons = reading.require()[:24]
    crops = CropDataset(
        persons, card.skeleton, input_size=card.input_size, stride=model.stride,
        padding=card.padding, affine=card.affine,
    )  # fmt: skip
    found = predict(model, Decoder(card), make_loader(crops, 12, 0), torch.device("cpu"))
    joints = card.skeleton.indices(card.skeleton.pck_joints)
    truth = np.stack([person.keypoints for person in persons])[:, joints]
    error = np.linalg.norm(found.coords[:, joints] - truth[..., :2], axis=2)
    near = error / units(persons, card.skeleton)[:, None] <= 0.2
    within = (near & (truth[..., 2] > 0)).sum(axis=1)
    # A joint on the very edge may round to the other side on another machine.
    assert np.abs(within - counts["at_02"][:24]).sum() <= 1


def test_predict_takes_it_where_no_model_is_given(tmp_path, capsys):
    data = SHARED / "data" / "lspet" / "images"
    if not data.is_dir():
        pytest.skip(f"the photographs are absent: no folder {data} (set HHD_SHARED)")
    picture = min(data.iterdir())
    assert main(["predict", str(picture), f"--output={tmp_path}"]) == 0
    assert "lsp14_160.safetensors: trained on" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "predictions.json").read_text())
    height, width = read_picture(picture).shape[:2]
    (person,) = row["people"]
    assert len(person["joints"]) == 14
    inside = [0 <= j["x"] <= width and 0 <= j["y"] <= height for j in person["joints"]]
    assert sum(inside) >= 12
    assert (tmp_path / f"{picture.stem}.png").is_file()


def test_a_model_alone_is_no_picture(capsys):
    assert main(["predict", str(SHIPPED)]) == 1
    assert "pictures: none is given beside the model" in capsys.readouterr().err
