"""From the screening's results on dev to ``frozen.yaml``: what the final rows are run with."""

from __future__ import annotations

from typing import Any

import yaml

from benchmarks.accuracy.place import Place, read_result
from benchmarks.accuracy.rows import FROZEN, RATES, Row, rates, screening, teacher_screening

HEAD = """\
# What the screening on dev led to, written by `python -m benchmarks.accuracy freeze` before val was
# looked at: of each loss's learning rates, and of the ways to use a teacher's maps, the one of the
# highest AUC, which varies less than PCK@0.2. Epochs and the best student's sizes are set by hand.
"""


def freeze(place: Place) -> None:
    """Choose, and keep what was set by hand."""
    settings: dict[str, Any] = yaml.safe_load(FROZEN.read_text())
    rows = {row.name: row for row in (*screening(), *rates())}
    best = {loss: _best(place, [rows[name] for name in names]) for loss, names in RATES.items()}
    settings["shared"]["lr"] = _rate(best["kl"])
    for loss in RATES:
        if loss != "kl":
            settings[loss] = {"lr": _rate(best[loss])}
    of_maps = [
        row
        for row in teacher_screening()
        if row.targets is not None and row.changes.get("teacher_shape") != "gaussian"
    ]
    chosen = _best(place, of_maps).changes
    settings["teacher"] = {
        name: chosen[name] for name in sorted(chosen) if name.startswith("teacher_")
    }
    settings["best"] |= {k: v for k, v in settings["teacher"].items() if k != "teacher_sigma"}
    FROZEN.write_text(HEAD + yaml.safe_dump(settings, sort_keys=False))
    print(FROZEN.read_text(), flush=True)


def _best(place: Place, rows: list[Row]) -> Row:
    """The row of the highest AUC; what was not run is not chosen."""
    scores = {place.result(row, 0): row for row in rows if place.result(row, 0).is_file()}
    if not scores:
        raise FileNotFoundError(f"nothing to choose from: none of {[row.name for row in rows]}")
    found = {path: read_result(path)["decodings"]["as trained"]["AUC"] for path in scores}
    return scores[max(found, key=lambda path: found[path])]


def _rate(row: Row) -> float:
    return float(row.changes.get("lr", 0.002))
