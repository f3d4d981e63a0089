"""Curves as SVG, a line a run; their text is outlines, so that nothing it spells is markup."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from hhd.report.run import Run

Points = tuple[list[float], list[float]]
STYLE: Any = {
    "svg.fonttype": "path",
    # Otherwise the file differs each time.
    "svg.hashsalt": "hhd",
    # A name may hold a dollar sign.
    "text.parse_math": False,
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


@dataclass(frozen=True)
class Panel:
    """One diagram: a curve of each run, against ``along``."""

    title: str
    along: str
    curves: dict[str, Points]


def colour(index: int) -> str:
    """The colour of the run's curves, as CSS writes it."""
    return to_hex(f"C{index}")


def loss_panels(runs: Sequence[Run]) -> list[Panel]:
    """The loss, each of its terms and the learning rate by step."""
    names = dict.fromkeys(name for run in runs for name in run.measures())
    titles = {"lr": "learning rate"}
    return [
        _panel(runs, titles.get(name, name), name, "step") for name in names if not _is_time(name)
    ]


def accuracy_panels(runs: Sequence[Run]) -> list[Panel]:
    """PCK, its AUC and AP by epoch, percent; the error in pixels."""
    scores = [
        ("PCK@0.2, %", "pck.at_02", 100),
        ("PCK@0.5, %", "pck.at_05", 100),
        ("AUC of PCK, %", "pck.auc", 100),
        ("error, pixels", "pck.epe", 1),
        ("COCO AP, %", "coco.AP", 100),
    ]
    panels = [_panel(runs, title, name, "epoch", scale) for title, name, scale in scores]
    return [panel for panel in panels if panel.curves]


def time_panels(runs: Sequence[Run]) -> list[Panel]:
    """Seconds of a step, the share of it that waited for data, and what else the log measures."""
    names = dict.fromkeys(name for run in runs for name in run.measures() if _is_time(name))
    shares = {run.name: points for run in runs if (points := data_share(run))[0]}
    panels = [_panel(runs, name.replace("_", " "), name, "step") for name in names]
    return panels + ([Panel("waiting for data, % of a step", "step", shares)] if shares else [])


def data_share(run: Run) -> Points:
    """Percent of each logged step that waited for data."""
    steps, waits = run.curve("data_seconds", "step")
    seconds = dict(zip(*run.curve("seconds", "step"), strict=True))
    shares = [
        (step, 100 * wait / seconds[step])
        for step, wait in zip(steps, waits, strict=True)
        if seconds.get(step, 0) > 0
    ]
    return [x for x, _ in shares], [y for _, y in shares]


def _is_time(name: str) -> bool:
    return name.endswith("seconds") or name == "images_per_second"


def _panel(runs: Sequence[Run], title: str, name: str, along: str, scale: float = 1) -> Panel:
    curves = {}
    for run in runs:
        xs, ys = run.curve(name, along)
        if ys:
            curves[run.name] = xs, [scale * y for y in ys]
    return Panel(title, along, curves)


def draw(panels: Sequence[Panel], runs: Sequence[Run]) -> str:
    """The panels side by side as one ``<svg>``; nothing where there are none."""
    panels = [panel for panel in panels if panel.curves]
    if not panels:
        return ""
    columns = 3 if len(panels) <= 3 else 4
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 2.3 * rows + 0.3), layout="constrained")
        for place, panel in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, columns, place)
            for index, run in enumerate(runs):
                xs, ys = panel.curves.get(run.name, ([], []))
                marker = "." if panel.along == "epoch" or len(xs) == 1 else ""
                axes.plot(xs, ys, color=colour(index), marker=marker, linewidth=1.2)
            axes.set_title(panel.title, fontsize=8)
            axes.set_xlabel(panel.along)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            values = [y for _, ys in panel.curves.values() for y in ys]
            if min(values) > 0 and max(values) > 30 * min(values) and panel.along == "step":
                axes.set_yscale("log")
                # The usual one writes powers as mathematics.
                axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axes.yaxis.set_minor_formatter(NullFormatter())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
