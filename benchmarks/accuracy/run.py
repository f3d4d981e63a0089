"""One run of the study: trains a row with a seed, evaluates it, and writes its JSON."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import environment
from benchmarks.accuracy.pictures import accuracy, decodings
from benchmarks.accuracy.place import Place
from benchmarks.accuracy.rows import Row
from hhd.files import write_bytes
from hhd.train.loop import train
from hhd.train.ownership import Stop
from hhd.train.recipe import Recipe

KEPT = ("system", "cpu", "gpu", "torch", "cuda of torch", "hhd", "commit", "dirty", "date")


def perform(place: Place, row: Row, seed: int, device: str, stop: Stop) -> None:
    """Train, or go on where it was stopped, and leave the result in one file."""
    recipe = place.recipe(row, seed, device)
    start = time.monotonic()
    trained = train(recipe, Console(), stop)
    seconds = time.monotonic() - start
    where = next(trained.model.parameters()).device
    ways = accuracy(trained.model, decodings(trained.decoder.card), trained.val, where)
    measured = {
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "steps": _steps(recipe),
        "images_per_second": round(trained.images_per_second, 1),
        "seconds": round(seconds),
    }
    write_result(place.result(row, seed), row, seed, measured, facts(), ways)


def write_result(
    path: Path,
    row: Row,
    seed: int,
    measured: dict[str, Any],
    environment: dict[str, Any],
    ways: dict[str, dict[str, Any]],
) -> None:
    """The JSON of a run, a list a line: to be read, and small."""
    result = {
        "row": row.name,
        "seed": seed,
        "test": row.test,
        "changes": dict(row.changes),
        "train": row.train,
        "further": dict(row.further),
        "targets": row.targets,
        **measured,
        "environment": environment,
        "decodings": ways,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, (_lines(result) + "\n").encode())


def facts() -> dict[str, Any]:
    """What the numbers depend on; HHD_STUDY_COMMIT says it where there is no repository."""
    found = environment.collect()
    known = {name: found[name] for name in KEPT if name in found}
    commit = os.environ.get("HHD_STUDY_COMMIT")
    return known if commit is None else known | {"commit": commit, "dirty": False}


def _steps(recipe: Recipe) -> int:
    labelled = json.loads((recipe.data_path(recipe.train_annotations)).read_text())
    return recipe.epochs * (len(labelled["annotations"]) // recipe.batch_size)


def _lines(value: Any, indent: str = "") -> str:
    if not isinstance(value, dict) or not value:
        return json.dumps(value, separators=(",", ":"))
    inner = indent + " "
    items = ",\n".join(
        f"{inner}{json.dumps(name)}: {_lines(item, inner)}" for name, item in value.items()
    )
    return f"{{\n{items}\n{indent}}}"
