"""The best student as a file of the package: chosen on dev, halved, measured on val."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from benchmarks.accuracy.pictures import accuracy, decodings, val_crops
from benchmarks.accuracy.place import Place, read_result
from benchmarks.accuracy.rows import Row, best
from benchmarks.accuracy.run import facts, write_result
from hhd.files import write_bytes
from hhd.models.files import card_text, load_model
from hhd.models.shipped import SHIPPED

TRAINED_ON = (
    "trained on 2,713 labelled photographs of Leeds Sports Pose Extended (Johnson and Everingham, "
    "CVPR 2011) and on BlazePose heavy's answers to 3,403 others of it: single people in sports"
)
PATHS = ("train_annotations", "val_annotations", "targets", "cache", "output", "data_root")


def ship(place: Place) -> None:
    """Write the package's model and its accuracy on val."""
    rows = [row for row in best() if place.result(row, 0).is_file()]
    if not rows:
        raise FileNotFoundError("no run of the stage best has finished")
    row = max(
        rows, key=lambda row: read_result(place.result(row, 0))["decodings"]["as trained"]["AUC"]
    )
    model, card = load_model(place.model(row.name, 0))
    card = replace(card, source=TRAINED_ON, recipe=_without_folders(card.recipe or {}))
    weights = {
        name: value.half() if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    write_bytes(SHIPPED, save(weights, metadata={"hhd": card_text(card)}))
    _measure(place, row, SHIPPED)


def _measure(place: Place, row: Row, file: Path) -> None:
    model, card = load_model(file)
    data = val_crops(place, model, card)
    ways = accuracy(model, decodings(card), data, torch.device("cpu"))
    final = replace(row, name="shipped", test="val")
    parameters = sum(p.numel() for p in model.parameters())
    extra = {"of": row.name, "parameters": parameters, "bytes": file.stat().st_size}
    write_result(place.result(final, 0), final, 0, extra, facts(), ways)


def _without_folders(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with its files' names alone."""
    named = {name: Path(recipe[name]).name for name in PATHS if recipe.get(name)}
    further = [Path(name).name for name in recipe.get("further_annotations", ())]
    return recipe | named | {"further_annotations": further}
