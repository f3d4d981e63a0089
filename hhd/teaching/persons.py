"""Targets of persons as a teacher sees them best, which serve every augmented view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from hhd.console import say
from hhd.data.person import Person
from hhd.data.skeleton import Skeleton
from hhd.teach.canonical import canonical_records
from hhd.teach.networks import TeacherNetwork
from hhd.teach.store import Records
from hhd.teach.viewer import Looking
from hhd.teach.views import look_many
from hhd.teaching.fill import fill_store
from hhd.train.ownership import Stop
from hhd.train.processes import Processes


def teach_persons(
    networks: Sequence[TeacherNetwork],
    persons: Sequence[Person],
    skeleton: Skeleton,
    looking: Looking,
    folder: Path,
    processes: Processes,
    *,
    patch: int,
    floor: float,
    batch_size: int,
    console: Console,
    stop: Stop,
) -> None:
    """Fill ``folder`` with :func:`hhd.teach.canonical.canonical_records` of the persons, the
    networks' answers together (:func:`hhd.teach.views.look`)."""
    untaught = [j for j in skeleton.joints if all(j in network.untaught for network in networks)]
    if untaught:
        say(console, f"not taught, the teacher has no such joint: {', '.join(untaught)}")
    first, *others = networks
    width, height = map_size(first)
    settings = {
        "form": "canonical",
        "joints": list(skeleton.joints),
        "teacher": first.describe(),
        "looking": asdict(looking) | {"angles": list(looking.angles)},
        "map_size": [width, height],
        "patch": patch,
        "floor": floor,
    }
    if others:
        # Not said of one alone, so that its folder stays the one it was.
        settings["others"] = [network.digest for network in others]

    def look(positions: Sequence[int]) -> Iterator[Records]:
        looks = look_many(networks, [persons[p] for p in positions], looking, batch_size)
        while batch := list(islice(looks, batch_size)):
            maps = torch.stack([answer.maps for answer in batch]).cpu()
            to_cells = np.stack([answer.to_cells for answer in batch])
            yield canonical_records(maps, to_cells, patch=patch, floor=floor)

    fill_store(folder, settings, persons, look, processes, console, stop)


def map_size(network: TeacherNetwork) -> tuple[int, int]:
    """(width, height) of the maps that the network gives."""
    width, height = network.input_size
    maps = network(np.zeros((1, height, width, 3), dtype=np.uint8))
    return maps.shape[3], maps.shape[2]
