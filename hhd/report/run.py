"""A run's folder, as ``hhd train`` writes it, read for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hhd.files import is_file, parse_json, read_json, read_text
from hhd.models.checkpoints import read_weights
from hhd.models.files import ModelCard

LOG, METRICS, MODEL = "log.jsonl", "metrics.json", "model.safetensors"
CHECKPOINT = "checkpoint.pt"
# What evaluation adds to a line of the log, and what is no measure of a step.
EVALUATION = {"epoch", "pck", "coco", "mpii", "not_finite", "undefined"}


@dataclass(frozen=True)
class Run:
    """``lines`` of the log, ``metrics`` of the last evaluation, the ``recipe``'s fields as the run
    kept them; of a run that has not ended no ``card``."""

    name: str
    folder: Path
    lines: list[dict[str, Any]]
    metrics: dict[str, Any]
    card: ModelCard | None
    recipe: dict[str, Any]

    @property
    def model(self) -> Path:
        """The file of the trained network."""
        return self.folder / MODEL

    def measures(self) -> list[str]:
        """Names of the numbers that lines of steps hold, in their order."""
        names = dict.fromkeys(key for line in self.lines for key in line)
        return [
            name
            for name in names
            if name not in EVALUATION | {"step"} and any(self.curve(name, "step")[1])
        ]

    def curve(self, name: str, against: str) -> tuple[list[float], list[float]]:
        """The number called ``name`` (``pck.at_02``: a part of one) over ``step`` or ``epoch``."""
        points = [(number(line.get(against)), number(inner(line, name))) for line in self.lines]
        known = [(x, y) for x, y in points if x is not None and y is not None]
        return [x for x, _ in known], [y for _, y in known]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs, under names of their own; ``FileNotFoundError`` and ``ValueError`` name the file
    that is absent or that ``hhd train`` did not write."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError("a run is given twice")
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)]


def _read(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise FileNotFoundError(f"run {folder} is no folder; it takes one that hhd train wrote")
    lines = _log(folder / LOG)
    evaluations = [line for line in lines if "epoch" in line]
    metrics = evaluations[-1] if evaluations else {}
    if is_file(folder / METRICS):
        metrics = read_json(folder / METRICS, "metrics")
        if not isinstance(metrics, dict) or not isinstance(metrics.get("pck"), dict | None):
            raise ValueError(f"metrics {folder / METRICS} are not those of a run of hhd")
    card, recipe = None, None
    if is_file(folder / MODEL):
        card = read_weights(folder / MODEL).card
        if card is None:
            raise ValueError(f"model file {folder / MODEL} has no hhd card")
        recipe = card.recipe
    elif is_file(folder / CHECKPOINT):
        recipe = read_weights(folder / CHECKPOINT).recipe
    return Run(name, folder, lines, metrics, card, recipe or {})


def _log(path: Path) -> list[dict[str, Any]]:
    """Whole lines; a run that was killed may have left the last one unfinished."""
    lines = []
    for count, text in enumerate(read_text(path, "log").split("\n")[:-1], start=1):
        try:
            line = parse_json(text)
        except ValueError:
            line = None
        if not isinstance(line, dict) or number(line.get("step")) is None:
            raise ValueError(f"log {path} has a line that is no step of a run: line {count}")
        lines.append(line)
    return lines


def number(value: Any) -> float | None:
    """A finite number, None for anything else that a file may hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # An integer may have more digits than a float holds.
    return float(value) if abs(value) < 1e300 and math.isfinite(value) else None


def inner(value: Any, path: str) -> Any:
    """``value["a"]["b"]`` for ``a.b``; None where there is none."""
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
