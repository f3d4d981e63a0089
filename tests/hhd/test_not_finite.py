"""A prediction that is not a number is a miss, everywhere, and is reported by number."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hhd.cli import main
from hhd.data.coco import read_coco, read_persons
from hhd.data.mpii import MpiiTruth
from hhd.evaluation.coco_ap import coco_ap, detections
from hhd.evaluation.decode import dark_udp
from hhd.evaluation.nms import oks_matrix, oks_nms
from hhd.evaluation.pck import mean_of_joints, pck
from hhd.evaluation.pckh import pckh
from hhd.files import json_text
from hhd.models.files import load_model, save_model
from hhd.train import loop
from hhd.train.checkpoint import load_checkpoint
from hhd.train.losses import weighted_mean
from hhd.train.ownership import Stop
from hhd.train.recipe import parse_recipe


@pytest.fixture
def persons(kites):
    return read_persons(kites.json, kites.images, kites.skeleton)


@pytest.fixture
def truth(persons):
    return np.stack([person.keypoints[:, :2] for person in persons])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_ap_counts_it_as_a_miss(kites, persons, truth, value):
    def ap(coords, confidence=1.0):
        confidences = np.full(coords.shape[:2], confidence)
        sizes = np.full((len(persons), 2), 80.0)
        results = detections(coords, confidences, persons, sizes=sizes, skeleton=kites.skeleton)
        return coco_ap(kites.json, results, kites.skeleton)

    assert ap(truth)["AP"] == pytest.approx(1)
    nowhere = np.full_like(truth, value)
    statistics = ap(nowhere, np.nan)
    assert (statistics["AP"], statistics["AR"]) == (0, 0)
    # As good as a joint that is very far off, and no better; the other persons keep theirs.
    partly, far = truth.copy(), truth.copy()
    partly[0, :2], far[0, :2] = value, 1e5
    assert ap(partly)["AP"] == pytest.approx(ap(far)["AP"])
    assert 0 < ap(partly)["AP"] < 1


def test_an_unplaced_pose_is_a_false_alarm(kites, persons, truth):
    """Not passed over for its size, which it has none of."""
    coords = np.concatenate([truth, np.full_like(truth[:1], np.nan)])
    confidence = np.ones(coords.shape[:2])
    confidence[:6] = 0.5
    results = detections(coords, confidence, [*persons, persons[0]])
    results[-1]["score"] = 2.0
    assert coco_ap(kites.json, results, kites.skeleton)["AP"] < 0.9


def test_suppression_takes_no_likeness_from_it(kites, truth):
    coords = np.stack([truth[0], np.full_like(truth[0], np.nan), truth[0]])
    oks = oks_matrix(coords, np.full(3, 4000.0), kites.skeleton.sigmas)
    np.testing.assert_allclose(oks, [[1, 0, 1], [0, 0, 0], [1, 0, 1]])
    assert oks_nms(oks, [0.9, 0.8, 0.7]) == [0, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pck_auc_and_the_error_count_it(kites, persons, truth, value):
    coords = truth.copy()
    coords[0], coords[1, 0] = value, (value, 3)
    score = pck(coords, persons, kites.skeleton)
    assert (score.joints, score.not_finite) == (24, 5)
    assert score.at_05 == pytest.approx(19 / 24)
    assert score.auc == pytest.approx(19 / 24)
    assert score.epe == 0
    assert score.per_joint["top"] == pytest.approx(4 / 6)
    nothing = pck(np.full_like(coords, value), persons, kites.skeleton)
    assert (nothing.at_02, nothing.at_05, nothing.auc) == (0, 0, 0)
    assert np.isnan(nothing.epe)
    shares, mean = mean_of_joints(
        coords, truth, np.ones(truth.shape[:2], dtype=bool), np.full(6, 80.0), 0.5
    )
    assert mean == pytest.approx(19 / 24)
    assert shares[0] == pytest.approx(4 / 6)


def test_pckh_counts_it():
    rng = np.random.default_rng(0)
    coords = rng.random((3, 16, 2)) * 100
    truth = MpiiTruth(coords + 1, np.ones((3, 16), dtype=bool), np.full(3, 20.0))
    coords = coords.copy()
    coords[0] = np.nan
    for convention in ("hrnet", "mmpose"):
        assert pckh(coords, truth, convention).mean == pytest.approx(200 / 3)


def broken_model(kites):
    """Finite weights whose maps are not: what a run of lr 1e12 leaves."""
    path = kites.model()
    model, card = load_model(path)
    for merge in model.backbone.merge:
        merge[1].bn.bias.data.fill_(100)
    last = model.head.final_layer.weight.data
    last.copy_(torch.where(torch.arange(last.numel()).view_as(last) % 2 == 0, 3e38, -3e38))
    save_model(path, model, card)
    return path


@pytest.mark.usefixtures("one_thread")
def test_a_diverged_model_scores_nothing_and_says_so(kites, tmp_path, capsys):
    path, numbers = broken_model(kites), tmp_path / "numbers.json"
    words = ["eval", str(path), f"--annotations={kites.json}", "--workers=0", f"--json={numbers}"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "24 of 24 predicted joints are not finite; they count as misses" in text
    assert "PCK@0.2 0.0" in text
    assert "AP 0.0" in text
    found = json.loads(numbers.read_text(), parse_constant=pytest.fail)
    assert (found["pck"]["at_05"], found["pck"]["epe"], found["not_finite"]) == (0, None, 24)
    out = tmp_path / "p"
    assert main(["predict", str(path), str(kites.images / "1.png"), f"--output={out}"]) == 0
    rows = json.loads((out / "predictions.json").read_text(), parse_constant=pytest.fail)
    assert rows[0]["people"][0]["joints"][0]["x"] is None


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_whose_weights_are_not_finite_is_refused_by_name(kites, capsys, value):
    path = kites.model()
    model, card = load_model(path)
    model.head.final_layer.bias.data[1] = value
    save_model(path, model, card)
    assert main(["predict", str(path), str(kites.images / "1.png")]) == 1
    message = f"model file {path} is of a run that diverged: head.final_layer.bias is not finite"
    assert capsys.readouterr().err == f"hhd: {message}\n"


@pytest.mark.usefixtures("one_thread")
def test_a_run_that_diverges_ends_as_one(kites, capsys):
    words = kites.train_words("--lr=1e12", "--epochs=40", "--coco_ap=true", "--evaluate-every=1")
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "step" in error
    assert "not finite" in error or "the loss is" in error


@pytest.mark.usefixtures("one_thread")
def test_weights_that_are_not_finite_replace_no_checkpoint(kites, monkeypatch):
    recipe = parse_recipe(kites.train_words("--epochs=3", "--checkpoint-every=1")[1:])

    def poison(run, inputs):
        if run.step == 3:
            run.model.backbone.stem.conv.weight.data[0, 0, 0, 0] = float("inf")
        save(run, inputs)

    save = loop.save
    monkeypatch.setattr(loop, "save", poison)
    with pytest.raises(FloatingPointError, match=r"step 3: backbone\.stem\.conv\.weight holds num"):
        loop.train(recipe, None, Stop())
    state = load_checkpoint(kites.folder / "run" / "checkpoint.pt")
    assert state["step"] == 2


def test_what_is_undefined_is_no_number(kites, lsp14, people, capsys):
    """No labelled torso, no PCK; no area, no AP; and the other one is told all the same."""
    kites.change(lambda c: [a.update(area=None) for a in c["annotations"]])
    assert main(kites.eval_words()) == 0
    text = capsys.readouterr().out
    assert "no COCO AP: annotation 1 of" in text
    assert "PCK@0.2" in text
    assert "-100" not in text
    kites.write(kites.content)
    torsoless = kites.skeleton_file.read_text().replace(
        "normaliser: box", "normaliser: [top, left]"
    )
    kites.skeleton_file.write_text(torsoless)

    def unlabelled(content):
        for annotation in content["annotations"]:
            annotation["keypoints"][2] = 0
            annotation["num_keypoints"] = 3

    kites.change(unlabelled)
    assert main(kites.eval_words()) == 0
    text = capsys.readouterr().out
    assert "no person has both a labelled joint and what PCK is measured in (top - left)" in text
    assert "COCO  AP" in text
    assert main(kites.eval_words("--no-coco-ap")) == 1
    assert "there is nothing to evaluate: no person has both" in capsys.readouterr().err


@pytest.mark.parametrize("ids", [(1, 2), (0, 1), (5, 0), (7, 7), (-3, 2), (2**62, 1)])
def test_ap_is_right_whatever_the_ids(kites, persons, truth, ids):
    def change(content):
        for annotation, number in zip(content["annotations"], ids, strict=False):
            annotation["id"] = number
        content["annotations"].reverse()

    path = kites.change(change)
    results = detections(truth, np.ones(truth.shape[:2]), persons)
    assert coco_ap(path, results, kites.skeleton)["AP"] == pytest.approx(1)


@pytest.mark.parametrize("area", [None, 0, -4000, 0.21, 21.0, 1e7])
def test_an_impossible_area_is_named_or_replaced(kites, persons, truth, area):
    path = kites.change({"area": area})
    results = detections(truth, np.ones(truth.shape[:2]), persons)
    with pytest.raises(ValueError, match=r"annotation 1 of .*area.*; --area-of-box takes .53"):
        coco_ap(path, results, kites.skeleton)
    assert coco_ap(path, results, kites.skeleton, "box")["AP"] == pytest.approx(1)


def test_results_of_unknown_pictures_are_named(kites, persons, truth):
    results = detections(truth[:1], np.ones((1, 4)), [replace(persons[0], image_id=99)])
    with pytest.raises(ValueError, match="results are of image_id 99, which the annotations do"):
        coco_ap(kites.json, results, kites.skeleton)
    assert len(read_coco(kites.json, kites.skeleton).entries) == 6


def test_json_is_valid():
    values = {"a": float("nan"), "b": [float("inf"), 1.5], "c": (None, "x"), "d": -float("inf")}
    text = json_text(values)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None, "b": [None, 1.5], "c": [None, "x"], "d": None,
    }  # fmt: skip


def test_a_weight_of_zero_selects():
    values = torch.tensor([[float("nan"), 2.0, float("inf")]])
    assert weighted_mean(values, torch.tensor([[0.0, 1.0, 0.0]])) == 2


@pytest.mark.parametrize("level", [0.0, 1e-4, 1.0, 60.0])
def test_darks_coordinates_stay_on_flat_maps(level):
    """eps alone makes the Hessian of a flat map, and mmpose's step leaves for far away."""
    maps = torch.full((1, 1, 16, 12), level)
    maps[0, 0, 3, 4] += 1e-6
    found = dark_udp(maps, 11)[0, 0]
    assert (found >= 0).all()
    assert (found <= torch.tensor([11.0, 15.0])).all()
    edge = torch.zeros(1, 1, 16, 12)
    edge[0, 0, 15, 11], edge[0, 0, 14, 11], edge[0, 0, 15, 10] = 1.0, 0.999, 0.999
    assert (dark_udp(edge, 11)[0, 0] <= torch.tensor([11.0, 15.0])).all()
