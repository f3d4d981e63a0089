"""The page's tables: rows of text, the first of each the name of its row."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from hhd.files import json_text
from hhd.report.curves import data_share
from hhd.report.run import Run, inner, number


class Table(NamedTuple):
    """A heading for each column, and rows of as many cells."""

    heads: list[str]
    rows: list[list[str]]


def headline(run: Run) -> str:
    """The accuracy in a line."""
    scores = [f"{name} {text}" for name, text in _scores(run).items() if text != "-"]
    return " · ".join(scores) or "not evaluated yet"


def _scores(run: Run) -> dict[str, str]:
    found = {
        "PCK@0.2": _percent(inner(run.metrics, "pck.at_02")),
        "PCK@0.5": _percent(inner(run.metrics, "pck.at_05")),
        "AUC": _percent(inner(run.metrics, "pck.auc")),
        "error, pixels": _text(inner(run.metrics, "pck.epe")),
    }
    for group in ("coco", "mpii"):
        values = run.metrics.get(group)
        if isinstance(values, dict):
            percent = _percent if group == "coco" else _text
            found |= {str(name): percent(value) for name, value in values.items()}
    return found


def summary(runs: Sequence[Run]) -> Table:
    """Accuracy and speed, a column a run."""
    columns = [_scores(run) | _speed(run) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [[name, *(column.get(name, "-") for column in columns)] for name in names]
    shown = [row for row in rows if any(cell != "-" for cell in row[1:])]
    return Table(["", *(run.name for run in runs)], shown)


def _speed(run: Run) -> dict[str, str]:
    # The first step compiles and fills caches.
    seconds, shares = run.curve("seconds", "step")[1][1:], data_share(run)[1][1:]
    steps = run.curve("step", "step")[1]
    return {
        "steps": f"{steps[-1]:.0f}" if steps else "-",
        "seconds a step, median": f"{median(seconds):.3g}" if seconds else "-",
        "of it waiting for data, median": f"{median(shares):.1f} %" if shares else "-",
    }


PER_JOINT = (
    ("PCK@0.2", "pck.per_joint"),
    ("PCK@0.5", "pck.per_joint_05"),
    ("error, pixels", "pck.epe_per_joint"),
)


def joints(runs: Sequence[Run]) -> Table:
    """PCK and error joint by joint, three columns a run."""
    names: dict[str, None] = {}
    for run in runs:
        shares = inner(run.metrics, "pck.per_joint")
        names |= dict.fromkeys(shares if isinstance(shares, dict) else ())
    several = len(runs) > 1
    heads = [f"{run.name}: {title}" if several else title for run in runs for title, _ in PER_JOINT]
    rows = [
        [name, *(_cell(run, path, name) for run in runs for _, path in PER_JOINT)] for name in names
    ]
    return Table(["joint", *heads], rows)


def _cell(run: Run, path: str, joint: str) -> str:
    values = inner(run.metrics, path)
    value = values.get(joint) if isinstance(values, dict) else None
    return _text(value) if "epe" in path else _percent(value)


def recipes(runs: Sequence[Run], *, differing: bool) -> Table:
    """Fields of the recipes, a column a run; ``differing``: those that are not alike, only."""
    table = side_by_side(runs, [run.recipe for run in runs], "field")
    if not differing:
        return table
    # Each run has an output of its own.
    return Table(
        table.heads, [row for row in table.rows if len(set(row[1:])) > 1 and row[0] != "output"]
    )


def side_by_side(runs: Sequence[Run], values: Sequence[dict[str, Any]], head: str = "") -> Table:
    """What a dictionary of each run says, a column a run."""
    names = dict.fromkeys(name for one in values for name in one)
    rows = [
        [str(name), *(_value(one[name]) if name in one else "-" for one in values)]
        for name in names
    ]
    return Table([head, *(run.name for run in runs)], rows)


def facts(values: dict[str, Any]) -> Table:
    """What a dictionary says, in the order it says it."""
    return Table(["", ""], [[str(name), _value(value)] for name, value in values.items()])


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)


def _percent(value: Any) -> str:
    share = number(value)
    return "-" if share is None else f"{100 * share:.1f}"


def _text(value: Any) -> str:
    found = number(value)
    return "-" if found is None else f"{found:.1f}"
