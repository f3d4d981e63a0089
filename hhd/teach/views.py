"""What a teacher, of one network or several, answers about persons in pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hhd.data.affine import Array, compose, invert, transform_points
from hhd.data.dataset import read_image
from hhd.data.person import Person
from hhd.teach.networks import TeacherNetwork
from hhd.teach.viewer import Look, Looking, Picture, Seen, Viewer


def look(
    networks: Sequence[TeacherNetwork], picture: Picture, person: Person, looking: Looking
) -> Look:
    """The teacher's answer for one person of ``picture``, uint8 [H, W, 3] in BGR.

    Several networks are one teacher: the first finds which way is up, each looks at a crop of its
    own, and the answer is :func:`mean_answer`.
    """
    return _Viewers(networks, looking, 1).look_at([Seen(picture, person)])[0]


def look_many(
    networks: Sequence[TeacherNetwork],
    persons: Sequence[Person],
    looking: Looking,
    batch_size: int = 32,
    readers: int = 1,
) -> Iterator[Look]:
    """The answers for ``persons``, in order; ``readers`` threads read the next batch's pictures.

    A network sees at most ``batch_size`` crops at once. A picture that cannot be read raises the
    ``ValueError`` or ``OSError`` that names it.
    """
    viewers = _Viewers(networks, looking, batch_size)
    parts = [persons[i : i + batch_size] for i in range(0, len(persons), batch_size)]
    with ThreadPoolExecutor(readers) as pool:
        following = _read(pool, parts[0] if parts else [])
        for part, after in pairwise([*parts, []]):
            pictures, following = following, _read(pool, after)
            yield from viewers.look_at([Seen(pictures[p.image].result(), p) for p in part])


def mean_answer(looks: Sequence[Look], known: Sequence[Sequence[bool]], *, shares: bool) -> Look:
    """Several networks' maps as one answer, on the first one's cells.

    A joint's map is the mean over the networks that know it, which ``known`` says for each network
    and joint; the others' are 0. What lies beyond a network's map counts as 0. Values are read as
    heights or, of maps that are ``shares`` of a sum of 1, as a cell's part of that sum.
    """
    first = looks[0]
    total = torch.zeros_like(first.maps)
    for answer in looks:
        between = compose(answer.to_cells, invert(first.to_cells))
        cells = abs(np.linalg.det(between[:, :2])) if shares else 1.0
        total += cells * _resampled(answer.maps, between, total)
    number = torch.tensor(known, device=total.device).sum(0).clamp(min=1)
    return Look(total / number.view(-1, 1, 1), first.to_cells)


def _resampled(maps: Tensor, between: Array, like: Tensor) -> Tensor:
    """``maps`` read at the cells of ``like`` [K, H, W], which ``between`` takes to theirs.

    Of cells that are ``finer`` times as small a square is averaged.
    """
    finer = max(round(np.sqrt(abs(np.linalg.det(between[:, :2])))), 1)
    rows, columns = finer * like.shape[1], finer * like.shape[2]
    height, width = maps.shape[1:]
    y, x = (np.mgrid[:rows, :columns] + 0.5) / finer - 0.5
    places = transform_points(np.stack([x, y], axis=-1).reshape(-1, 2), between)
    # Of grid_sample: the first cell at -1, the last at 1.
    unit = places * 2 / np.maximum([width - 1, height - 1], 1) - 1
    grid = torch.from_numpy(unit).to(maps).view(1, rows, columns, 2)
    return F.avg_pool2d(F.grid_sample(maps[None], grid, align_corners=True)[0], finer)


class _Viewers:
    """The networks of a teacher, and what they see."""

    def __init__(
        self, networks: Sequence[TeacherNetwork], looking: Looking, batch_size: int
    ) -> None:
        assert networks
        self.flip = looking.flip
        self.shares = networks[0].gives_shares
        self.first = Viewer(networks[0], looking, batch_size)
        # They are turned as the first says, and need not know a torso.
        told = replace(looking, upright="no")
        self.others = [Viewer(network, told, batch_size) for network in networks[1:]]
        self.known = [[channel >= 0 for channel in network.channels] for network in networks]

    def look_at(self, seen: Sequence[Seen]) -> list[Look]:
        turns = self.first.turns(seen)
        viewers = (self.first, *self.others)
        answers = [viewer.ask(seen, turns, flip=self.flip) for viewer in viewers]
        if not self.others:
            return answers[0]
        return [
            mean_answer(looks, self.known, shares=self.shares)
            for looks in zip(*answers, strict=True)
        ]


def _read(pool: ThreadPoolExecutor, persons: Sequence[Person]) -> dict[Path, Future[Picture]]:
    """Each picture once: several persons may be in it."""
    once = {person.image: person for person in persons}
    return {path: pool.submit(read_image, person) for path, person in once.items()}
