"""The defaults that the method needs: the start, the flip test, recipes that compare."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from hhd.data.read import picture_folder
from hhd.data.synthetic import write_dataset
from hhd.evaluate import decoding_fields
from hhd.evaluation.decode import Decoder
from hhd.evaluation.report import evaluate
from hhd.models.files import ModelCard
from hhd.train import loop
from hhd.train.losses import build_loss
from hhd.train.processes import Processes
from hhd.train.recipe import SHIPPED, load_recipe
from hhd.train.setup import build_card, build_network

QUIET = Console(quiet=True)


@pytest.mark.parametrize("task", ["heatmap", "integral"])
def test_every_network_starts_from_maps_near_zero(tiny, monkeypatch, task):
    """So the KL of the first step is that of an even map, not three times that."""
    begun = {}

    def look(model, images):
        maps = maps_of(model, images)
        begun.setdefault("largest", float(maps.detach().abs().max()))
        return maps

    maps_of = loop.maps_of
    monkeypatch.setattr(loop, "maps_of", look)
    fields = {"task": "heatmap", "flip_test": "heatmaps"} if task == "heatmap" else {}
    loop.train(load_recipe("demo_student", **{**tiny, "epochs": 1, **fields}), QUIET)
    assert begun["largest"] < 0.1


@pytest.mark.usefixtures("one_thread")
def test_a_locally_read_student_flips_by_maps(tmp_path):
    """On the maps of a trained network: the mean of two coordinates lies on neither person."""
    fields = {"data_root": str(tmp_path), "loss": "kl", "teacher": "labels", "epochs": 4}
    for part, count, seed in (("train", 400, 0), ("val", 200, 1)):
        write_dataset(tmp_path / part, count, seed)
        fields[f"{part}_annotations"] = f"{part}/annotations.json"
        fields[f"{part}_images"] = f"{part}/images"
    recipe = load_recipe(
        "demo_student", **fields, evaluate_every=4, workers=0, threads=1, output=str(tmp_path / "r")
    )
    trained = loop.train(recipe, QUIET)
    auc = {}
    for flip_test in ("none", "coordinates", "heatmaps"):
        card = replace(trained.decoder.card, flip_test=flip_test)
        report = evaluate(
            trained.model, Decoder(card), trained.val, batch_size=64, workers=0,
            device=torch.device("cpu"),
        )  # fmt: skip
        auc[flip_test] = report.pck.auc
    assert trained.decoder.card.flip_test == "heatmaps"
    assert auc["heatmaps"] > auc["none"] + 0.005
    assert auc["heatmaps"] > auc["coordinates"] + 0.005


def test_no_shipped_recipe_reads_locally_and_flips_coordinates():
    for path in SHIPPED.glob("*.yaml"):
        recipe = load_recipe(path.stem)
        assert (recipe.decode, recipe.flip_test) != ("local", "coordinates"), path.name


def test_eval_of_a_window_flips_by_maps_unless_told(lsp14):
    card = ModelCard("phone", "integral", (64, 64), 1.25, 10.0, 1.5, lsp14, flip_test="coordinates")
    local = {"decode_window": 9}
    assert decoding_fields(card, {}) == {}
    assert decoding_fields(card, local) == {"decode_window": 9, "flip_test": "heatmaps"}
    assert decoding_fields(card, {"decode_window": None}) == {"decode_window": None}
    told = {**local, "flip_test": "coordinates"}
    assert decoding_fields(card, told) == told
    assert decoding_fields(replace(card, flip_test="none"), local) == local


def test_the_comparison_recipes_differ_in_their_loss_alone():
    recipes = [load_recipe(f"lspet_{name}").as_dict() for name in ("integral", "published", "kl")]
    loss = {"loss", "window", "hhd_weight", "output", "teacher", "teacher_gate", "teacher_floor"}
    for key in set(recipes[0]) - loss:
        assert all(recipe[key] == recipes[0][key] for recipe in recipes), key
    taught = ("teacher", "teacher_gate", "teacher_floor")
    assert all(recipes[1][key] == recipes[2][key] for key in taught)


def test_pictures_are_found_beside_the_annotations_or_a_folder_above(tmp_path):
    annotations = tmp_path / "annotations" / "val.json"
    assert picture_folder(annotations, None) == tmp_path / "annotations" / "images"
    (tmp_path / "images").mkdir()
    assert picture_folder(annotations, None) == tmp_path / "images"
    assert picture_folder(annotations, Path("mine")) == Path("mine")
    (tmp_path / "annotations" / "images").mkdir(parents=True)
    assert picture_folder(annotations, None) == tmp_path / "annotations" / "images"


def test_start_and_beta_are_the_recipes(lsp14):
    """Maps near zero, or torch's own start; and the temperature that a network is read at."""
    alone = Processes(torch.device("cpu"))
    deviation = {}
    for start in ("zero", "default"):
        recipe = load_recipe("demo_student", start=start, beta=4.0, decode_beta=20.0)
        layer = build_network(recipe, lsp14, alone, QUIET).last_convolution()
        deviation[start] = float(layer.weight.detach().std())
    assert deviation["zero"] < 2e-3 < 2e-2 < deviation["default"]
    criterion = build_loss(recipe, (32, 32))
    assert build_card(recipe, lsp14, criterion).beta == 20.0
    usual = load_recipe("demo_student", beta=4.0)
    assert build_card(usual, lsp14, criterion).beta == 4.0
