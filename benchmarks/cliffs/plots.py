"""Two plots of docs/speed.md: a pixel's cost over sizes, a map's over numbers of maps."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter

from benchmarks.accuracy.plots import STYLE
from benchmarks.cliffs.tables import entries, machine, seconds

COLOURS = {
    "ours": "#1f6fb4",
    "ours, AVX2": "#7fb2dd",
    "compile": "#888888",
    "eager": "#d9822b",
}
WORDS = {"compile": "torch.compile", "eager": "vectorised PyTorch"}
PIXEL_TICKS = (0.5, 1, 2, 5, 10, 20, 50)
MAP_TICKS = (1, 2, 5, 10, 20, 50, 100, 200)


def draw(content: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what was timed; a section that was not has no plot."""
    files = []
    for section, plot in (("sizes", sizes), ("counts", counts)):
        rows = entries(content, section)
        if rows:
            files.append(folder / f"cliffs-{section}.svg")
            plot(content, rows, files[-1])
    return files


def sizes(content: dict[str, Any], rows: list[dict[str, Any]], file: Path) -> None:
    """Sizes stand at equal distances: 56x56 and 64x48 have almost the same number of pixels."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
        lines(axes, content, rows, range(len(rows)), 1e9, lambda work: work["pixels"])
        axes.set_xticks(range(len(rows)), [row["name"] for row in rows])
        axes.set_xlabel("map, B=64 K=17")
        finish(axes, PIXEL_TICKS, "ns a pixel")
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)


def counts(content: dict[str, Any], rows: list[dict[str, Any]], file: Path) -> None:
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
        numbers = [int(row["name"]) for row in rows]
        axes.set_xscale("log")
        lines(axes, content, rows, numbers, 1e6, lambda work: work["maps"])
        axes.xaxis.set_major_locator(FixedLocator(numbers))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("maps of 64x48 in a call")
        finish(axes, MAP_TICKS, "us a map")
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)


def lines(
    axes: Axes,
    content: dict[str, Any],
    rows: list[dict[str, Any]],
    places: Iterable[float],
    unit: float,
    share: Callable[[dict[str, Any]], int],
) -> None:
    """A line a contestant: its time by what its work is counted in."""
    places = list(places)
    for name, colour in reversed(COLOURS.items()):
        points = [
            (place, unit * seconds(content, row, name) / share(row))
            for place, row in zip(places, rows, strict=True)
            if name in row["contestants"]
        ]
        axes.plot(
            *zip(*points, strict=True),
            "o-",
            color=colour,
            markersize=4,
            label=WORDS.get(name, name),
        )
    axes.set_title(machine(content), fontsize=8, color="#555555")


def finish(axes: Axes, ticks: tuple[float, ...], label: str) -> None:
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(left=False)
    axes.grid(axis="y", linewidth=0.4)
    axes.set_ylabel(label)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
