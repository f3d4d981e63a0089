"""Whether a checkpoint goes on under a recipe: the same settings, the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hhd.files import file_digest
from hhd.teach.store import TargetStore
from hhd.train.recipe import FREE, Recipe


def input_files(recipe: Recipe) -> dict[str, Path]:
    """The files whose content the result depends on, by field, but for the pictures."""
    files = {
        "train_annotations": recipe.data_path(recipe.train_annotations),
        "val_annotations": recipe.data_path(recipe.val_annotations),
    }
    for number, name in enumerate(recipe.further_annotations):
        files[f"further_annotations {number}"] = recipe.data_path(name)
    for field in ("val_detections", "mpii_truth"):
        name = getattr(recipe, field)
        if name is not None:
            files[field] = recipe.data_path(name)
    if recipe.weights is not None:
        files["weights"] = Path(recipe.weights)
    if recipe.teacher is not None and recipe.teacher != "labels":
        files["teacher"] = Path(recipe.teacher)
    if recipe.teacher_maps is not None:
        files["teacher_maps"] = maps = recipe.data_path(recipe.teacher_maps)
        ids = recipe.teacher_ids
        files["teacher_ids"] = maps.with_suffix(".json") if ids is None else recipe.data_path(ids)
    return files


def input_digests(recipe: Recipe) -> dict[str, str]:
    """The digests of :func:`input_files`, and of the stored targets."""
    digests = {name: file_digest(path) for name, path in input_files(recipe).items()}
    if recipe.targets is not None:
        digests["targets"] = TargetStore(Path(recipe.targets)).digest
    return digests


def checkpoint_path(recipe: Recipe) -> Path:
    """Where a run keeps its state."""
    return Path(recipe.output) / "checkpoint.pt"


def check_same_run(state: dict[str, Any], recipe: Recipe, steps: int, path: Path) -> int:
    """``ValueError`` unless a checkpoint's run is the recipe's; the epochs that it began with.

    A run that was finished may go on for more epochs.
    """
    saved = state["recipe"]
    now, usual = recipe.as_dict(), Recipe().as_dict()
    # A field that came after the run began had its default then.
    before = {key: saved.get(key, usual[key]) for key in now}
    changed = sorted(key for key in now if key not in FREE and before[key] != now[key])
    began = int(before["epochs"])
    finished = state["step"] == steps * began // recipe.epochs
    if changed == ["epochs"] and recipe.epochs > began and finished:
        return began
    if changed:
        raise ValueError(
            f"{path} belongs to a run with other values of {', '.join(changed)}: "
            "choose another output"
            + ("" if changed != ["epochs"] else ", or finish it first and extend it then")
        )
    return recipe.epochs


def check_same_inputs(
    saved: dict[str, str], inputs: dict[str, str], recipe: Recipe, path: Path
) -> None:
    """A checkpoint goes on only with the files that began it."""
    files = input_files(recipe)
    if recipe.targets is not None:
        files["targets"] = Path(recipe.targets)
    changed = [str(files[name]) for name in inputs if saved.get(name) != inputs[name]]
    if changed:
        raise ValueError(
            f"{path} belongs to a run with another content of {', '.join(changed)}: "
            "choose another output"
        )
