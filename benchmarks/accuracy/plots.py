"""The plots of docs/results.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

Results = Mapping[str, Sequence[Mapping[str, Any]]]

COLOURS = {"PCK@0.2": "#1f6fb4", "AUC": "#888888", "PCK@0.5": "#d9822b"}
STYLE = {
    "svg.hashsalt": "hhd",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}


def losses(found: Results, names: Mapping[str, str], file: Path) -> None:
    """A line a loss: its seeds as dots, for each measure."""
    chosen = [(words, found[name]) for name, words in names.items() if name in found]
    _dots(chosen, file, "LSP Extended val, %")


def worth(found: Results, groups: Mapping[str, Mapping[str, str]], file: Path) -> None:
    """PCK@0.2 by what teaches, a colour for each amount of labels."""
    chosen = [
        (f"{labels}: {words}", found[name])
        for labels, ways in groups.items()
        for words, name in ways.items()
        if name in found
    ]
    _dots(chosen, file, "LSP Extended val, %")


def screening(found: Results, names: Sequence[str], file: Path) -> None:
    """One change at a time, beside the loss without it."""
    base = found["kl"][0]["decodings"]["as trained"]
    chosen = [(name.removeprefix("kl, "), found[name]) for name in names]
    chosen.sort(key=lambda row: row[1][0]["decodings"]["as trained"]["AUC"])
    _dots(chosen, file, "dev, one seed, %; lines: unchanged", dict(base))


def _dots(
    rows: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
    file: Path,
    axis: str,
    lines: Mapping[str, Any] | None = None,
) -> None:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 0.8 + 0.26 * len(rows)), layout="constrained")
        for measure, colour in COLOURS.items():
            if lines is not None:
                axes.axvline(lines[measure], color=colour, linewidth=0.8, alpha=0.5)
            points = [
                (run["decodings"]["as trained"][measure], len(rows) - place)
                for place, (_, runs) in enumerate(rows)
                for run in runs
            ]
            axes.scatter(*zip(*points, strict=True), s=18, color=colour, label=measure, alpha=0.8)
        axes.set_yticks(range(len(rows), 0, -1), [words for words, _ in rows])
        axes.set_ylim(0.4, len(rows) + 0.6)
        axes.tick_params(left=False)
        axes.grid(axis="x", linewidth=0.4)
        axes.grid(axis="y", linewidth=0.3, alpha=0.5)
        axes.set_xlabel(axis)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.4, 1.0 + 0.9 / len(rows)), ncols=3, frameon=False
        )
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)
