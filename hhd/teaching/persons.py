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
from hhd.teach.views import Looking, look_many
from hhd.teaching.fill import fill_store
from hhd.train.ownership import Stop
from hhd.train.processes import Processes


def teach_persons(
    network: TeacherNetwork,
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
    """Fill ``folder`` with :func:`hhd.teach.canonical.canonical_records` of the persons."""
    if network.untaught:
        say(console, f"not taught, the teacher has no such joint: {', '.join(network.untaught)}")
    width, height = map_size(network)
    settings = {
        "form": "canonical",
        "joints": list(skeleton.joints),
        "teacher": network.describe(),
        "looking": asdict(looking) | {"angles": list(looking.angles)},
        "map_size": [width, height],
        "patch": patch,
        "floor": floor,
    }

    def look(positions: Sequence[int]) -> Iterator[Records]:
        looks = look_many(network, [persons[p] for p in positions], looking, batch_size)
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
