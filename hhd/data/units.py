"""Coordinates in other units than pixels, told by all persons of a file together."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path

import numpy as np

from hhd.data.person import Person


def shares_problem(persons: Sequence[Person], source: Path) -> str | None:
    """A sentence if boxes and joints are shares of the pictures, 0..1; None if not."""
    highest, smallest = _extent(persons)
    if not (persons and highest <= 1 and smallest > 2):
        return None
    return (
        f"{source}: every box and joint lies between 0 and 1, as shares of the picture do; "
        "it takes pixels"
    )


def percent_problem(persons: Sequence[Person], source: Path) -> str | None:
    """The same for percentages, which small places in large pictures might be all the same."""
    highest, smallest = _extent(persons)
    if not (persons and 1 < highest <= 100 and 200 <= smallest < inf):
        return None
    return (
        f"{source}: every box and joint lies between 0 and 100, in pictures of {smallest} pixels "
        "and more, as percentages of the picture do; they are taken as pixels"
    )


def _extent(persons: Sequence[Person]) -> tuple[float, float]:
    """The furthest place of any box or joint, and the shortest side of any picture."""
    places = [
        max(p.box[0] + p.box[2], p.box[1] + p.box[3], float(np.abs(p.keypoints[:, :2]).max()))
        for p in persons
    ]
    sides = [min(p.width, p.height) for p in persons if p.width and p.height]
    return max(places, default=inf), min(sides, default=inf)
