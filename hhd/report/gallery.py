"""The pictures of a run, or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console

from hhd.console import say
from hhd.report.evaluated import Evaluated, evaluate_run
from hhd.report.heatmaps import chosen_joints, heatmap_picture, teacher_of
from hhd.report.poses import Picture, pose_picture
from hhd.report.run import Run
from hhd.text import one_line

# Persons whose maps are shown, of the best and of the worst.
MAPS = 2


@dataclass
class Gallery:
    """What is shown of the run ``name``; ``notes`` say what is missing, or was found."""

    name: str
    notes: list[str] = field(default_factory=list)
    poses: list[tuple[str, list[Picture]]] = field(default_factory=list)
    maps: Picture | None = None


def make_gallery(
    run: Run, count: int, data_root: Path | None, device: torch.device, console: Console
) -> Gallery:
    """``count`` of the best persons and as many of the worst, and maps of a few of them."""
    gallery = Gallery(run.name)
    if run.card is None:
        gallery.notes.append(
            "No pictures: the run has not ended, so there is no model.safetensors."
        )
        return gallery
    say(console, f"{run.name}: its network over the evaluation data, for the pictures")
    try:
        evaluated = evaluate_run(run, data_root, device)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        gallery.notes.append(f"No pictures: {one_line(str(error))}.")
        return gallery
    gallery.notes.append(
        f"Run once more for this page, over {len(evaluated.data)} persons, the network has PCK@0.2 "
        f"{100 * evaluated.pck:.1f}. Errors are in units of "
        f"{evaluated.skeleton.normaliser_name()}."
    )
    ranked = evaluated.ranking()
    best, worst = ranked[:count], ranked[::-1][:count]
    for title, positions in (("Smallest errors", best), ("Largest errors", worst)):
        gallery.poses.append((title, [pose_picture(evaluated, place) for place in positions]))
    _add_maps(gallery, evaluated, [*best[:MAPS], *worst[:MAPS]], device)
    return gallery


def _add_maps(
    gallery: Gallery, run: Evaluated, positions: Sequence[int], device: torch.device
) -> None:
    try:
        teacher = teacher_of(run, device)
    except (OSError, ValueError, ModuleNotFoundError) as error:
        gallery.notes.append(f"No teacher's maps: {one_line(str(error))}.")
        teacher = None
    shown = chosen_joints(run, list(dict.fromkeys(positions)))
    gallery.maps = heatmap_picture(run, shown, teacher, device)
