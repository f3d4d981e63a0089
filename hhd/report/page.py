"""The page: what is on it, put into ``page.html``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import torch
from rich.console import Console

from hhd.files import is_file, read_json, write_bytes
from hhd.report import curves, tables
from hhd.report.gallery import make_gallery
from hhd.report.poses import COLOURS
from hhd.report.run import EVALUATION, Run
from hhd.text import printable
from hhd_kernels import info

ENVIRONMENT = "environment.json"


def write_report(
    runs: Sequence[Run],
    output: Path,
    console: Console,
    *,
    pictures: int,
    data_root: Path | None,
    device: torch.device,
) -> None:
    """Write the page; ``pictures`` of the best persons and as many of the worst, 0 for none.

    ``data_root`` is where the evaluation data is, None for where the recipe says.
    """
    panels = {
        "Accuracy by epoch": curves.accuracy_panels(runs),
        "Loss, its terms and the learning rate": curves.loss_panels(runs),
        "Time": curves.time_panels(runs),
    }
    page = _template().render(
        title=", ".join(run.name for run in runs),
        heads=[(run.name, tables.headline(run), curves.colour(i)) for i, run in enumerate(runs)],
        notes=[note for run in runs for note in _notes(run)],
        summary=tables.summary(runs),
        curves={title: curves.draw(some, runs) for title, some in panels.items()},
        joints=tables.joints(runs),
        differing=tables.recipes(runs, differing=True) if len(runs) > 1 else None,
        recipes=tables.recipes(runs, differing=False),
        galleries=[
            make_gallery(run, pictures, data_root, device, console) for run in runs if pictures
        ],
        legend=COLOURS,
        recorded=tables.side_by_side(runs, [_recorded(run) for run in runs]),
        environment=tables.facts(info.collect()),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(output, page.encode())


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hhd", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_plain,
    )
    return environment.get_template("page.html")


def _plain(value: Any) -> Any:
    """Text without control characters, which no escaping makes fit for HTML."""
    return printable(value) if type(value) is str else value


def _notes(run: Run) -> list[str]:
    undefined = run.metrics.get("undefined")
    notes = [str(note) for note in undefined] if isinstance(undefined, list) else []
    if run.card is None:
        notes.append("the run has not ended: the numbers are those of its last evaluation")
    missed = run.metrics.get("not_finite")
    if missed:
        notes.append(f"{missed} predicted joints are not finite; they count as misses")
    return [f"{run.name}: {note}" for note in notes]


def _recorded(run: Run) -> dict[str, Any]:
    """What the run's files say of themselves; a commit only where they name one."""
    known = EVALUATION | {"step"}
    facts = {key: value for key, value in run.metrics.items() if key not in known}
    if is_file(run.folder / ENVIRONMENT):
        environment = read_json(run.folder / ENVIRONMENT, "environment")
        facts |= environment if isinstance(environment, dict) else {}
    if run.card is not None:
        card = run.card
        facts |= {"model": card.model, "skeleton": card.skeleton.name}
        facts |= {"loss preset": card.preset or "none"}
    return facts if "commit" in facts else facts | {"commit": "not recorded by the run"}
