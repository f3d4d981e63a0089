"""Everything that is wrong or odd with a data set, at once: annotations, files, boxes, sizes.

What is refused is what training and evaluation refuse, read by the same code; the rest they take,
and each sentence says as what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hhd.data.areas import AREA_BINS, area_problem
from hhd.data.coco import BoxRule, CocoFile, Entry, coco_persons, read_coco
from hhd.data.mpii import PIXEL_STD, SHIFT_DOWN, mpii_persons
from hhd.data.person import Person
from hhd.data.picture import read_picture
from hhd.data.read import is_mpii
from hhd.data.reading import Reading
from hhd.data.skeleton import Skeleton
from hhd.data.units import percent_problem

# Boxes and joints are often a rounding past the border.
PIXELS_PAST_BORDER = 1.0
# What boxes are grown by, unless a recipe says otherwise.
PADDING = 1.25
# Kinds of findings that training and evaluation refuse, and those that they take.
REFUSED, TAKEN = ("annotation", "missing", "picture"), ("outside", "box", "units", "area", "id")
KINDS = (*REFUSED, *TAKEN)


class Finding(NamedTuple):
    """Something wrong or odd: its kind, one of ``KINDS``, and a sentence: where, and what."""

    kind: str
    text: str


class Checked(NamedTuple):
    """What was looked at and what was found; ``left_out`` is a sentence, empty for nothing."""

    persons: int
    pictures: int
    findings: list[Finding]
    left_out: str = ""

    @property
    def refused(self) -> bool:
        """Whether training and evaluation refuse the data."""
        return any(finding.kind in REFUSED for finding in self.findings)


def check_data(
    annotations: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    boxes: BoxRule = "as_given",
    category: str | None = None,
    outside: bool = False,
    area_of_box: bool = False,
    decode: bool = True,
    threads: int = 4,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> Checked:
    """Check an annotation file and its pictures, which ``decode`` opens one by one.

    The options are those of training. ``progress`` wraps the pictures as they are opened, and is
    given their number.
    """
    try:
        mpii = is_mpii(annotations)
        file = None if mpii else read_coco(annotations, skeleton, category)
        reading = (
            mpii_persons(annotations, images, skeleton, outside)
            if file is None
            else coco_persons(file, images, boxes, outside)
        )
    except (ValueError, FileNotFoundError) as error:
        return Checked(0, 0, [Finding("annotation", str(error))])
    findings = [Finding(*problem) for problem in reading.problems]
    findings += _check_mpii_labels(reading) if file is None else _check_coco(file, area_of_box)
    findings += _check_reading(reading)
    persons = reading.persons
    sizes: dict[Path, tuple[int, int] | None] = {}
    for person in persons:
        sizes.setdefault(person.image, person.picture_size)
    if decode:
        decoded: dict[Path, tuple[int, int] | None] = {}
        with ThreadPoolExecutor(threads) as pool:
            results = pool.map(lambda item: _check_picture(*item), sizes.items())
            for path, (size, problem) in zip(sizes, progress(results, len(sizes)), strict=True):
                decoded[path] = size
                findings += [] if problem is None else [Finding("picture", problem)]
        # MPII does not say how large its pictures are.
        for person in persons:
            size = decoded[person.image]
            if file is None and size is not None:
                where = f"person {person.annotation_id} of {annotations}"
                findings += _check_mpii_person(person, size, where)
    return Checked(len(persons), len(sizes), findings, reading.left_out_text())


def _check_coco(file: CocoFile, area_of_box: bool) -> Iterator[Finding]:
    """What AP lacks, and what is there twice."""
    seen: set[int] = set()
    areas: list[float] = []
    lacking = 0
    for entry in file.entries:
        if entry.annotation_id in seen:
            text = "its id is there twice; stored teacher maps are found by it"
            yield Finding("id", f"{entry.where}: {text}")
        seen.add(entry.annotation_id)
        if entry.crowd or not entry.labelled:
            continue
        if entry.num_keypoints == 0:
            text = "num_keypoints is 0, but joints are labelled: AP ignores the person"
            yield Finding("area", f"{entry.where}: {text}")
        problem = None if area_of_box else area_problem(entry.area, entry.box)
        if problem is not None and entry.area is None:
            lacking += 1
        elif problem is not None:
            yield Finding("area", f"{entry.where}: {problem}; there is no AP without --area-of-box")
        elif entry.area is not None:
            areas.append(entry.area)
    persons = _labelled(file.entries)
    if lacking:
        text = f"{lacking} of {persons} persons have no area: there is no AP without --area-of-box"
        yield Finding("area", f"{file.path}: {text}")
    elif areas and not area_of_box:
        yield from _check_bins(areas, file.path)


def _labelled(entries: Sequence[Entry]) -> int:
    return sum(entry.labelled and not entry.crowd for entry in entries)


def _check_bins(areas: list[float], annotations: Path) -> Iterator[Finding]:
    known = np.array(areas)
    for name, (low, high) in AREA_BINS.items():
        if not ((known >= low) & (known <= high)).any():
            text = f"no person has an area from {low:g} to {high:g}, so AP_{name} is not defined"
            yield Finding("area", f"{annotations}: {text}")


def _check_reading(reading: Reading) -> Iterator[Finding]:
    """Boxes, joints and units of the persons, one against another."""
    if not reading.persons and not reading.problems:
        yield Finding("annotation", reading.nobody())
    problem = percent_problem(reading.persons, reading.source)
    if problem is not None:
        yield Finding("units", problem)
    for person in reading.persons:
        if person.picture_size is not None:
            where = f"annotation {person.annotation_id} of {reading.source}"
            yield from _check_person(person, person.picture_size, where)


def _check_person(person: Person, size: tuple[int, int], where: str) -> Iterator[Finding]:
    x, y, w, h = person.box
    past = max(-x, -y, x + w - size[0], y + h - size[1])
    if past > PIXELS_PAST_BORDER:
        text = f"bbox {[round(v, 1) for v in person.box]} reaches {past:.1f} pixels past"
        text = f"{text} the picture of {size[0]}x{size[1]}; the crop is black there"
        yield Finding("outside", f"{where}: {text}")
    yield from _check_joints(person, size, where)
    points = person.keypoints[person.keypoints[:, 2] > 0, :2]
    # As far as the crop goes, at the least.
    more = (PADDING - 1) / 2 * np.array([w, h])
    low, high = np.array([x, y]) - more, np.array([x + w, y + h]) + more
    inside = ((points >= low) & (points <= high)).all(axis=1)
    extent = np.ptp(points, axis=0)
    if inside.mean() < 0.25:
        box = [round(v, 1) for v in person.box]
        text = f"bbox {box}, padded, holds {inside.sum()} of its {len(points)}"
        text += f" labelled joints, which span {extent[0]:.0f}x{extent[1]:.0f} pixels; the crop is "
        yield Finding("box", f"{where}: {text}the box's, and joints outside of it are not taught")
    elif min(w, h) < 2:
        text = f"bbox is {w:g}x{h:g} pixels, and the crop is the box's"
        yield Finding("box", f"{where}: {text}")


def _check_mpii_labels(reading: Reading) -> Iterator[Finding]:
    for person in reading.persons:
        if not (person.keypoints[:, 2] > 0).any():
            where = f"person {person.annotation_id} of {reading.source}"
            yield Finding("box", f"{where}: it has no labelled joint, and teaches nothing")


def _check_mpii_person(person: Person, size: tuple[int, int], where: str) -> Iterator[Finding]:
    """Joints and centre against the picture; the box, a square around them, may reach past it."""
    x, y, w, h = person.box
    # The annotated centre: the box's lies below it.
    center = x + w / 2, y + h / 2 - h * SHIFT_DOWN / PIXEL_STD
    past = max(-center[0], -center[1], center[0] - size[0], center[1] - size[1])
    if past > PIXELS_PAST_BORDER:
        place = [round(v, 1) for v in center]
        yield Finding("outside", f"{where}: its centre at {place} is off the picture")
    yield from _check_joints(person, size, where)


def _check_joints(person: Person, size: tuple[int, int], where: str) -> Iterator[Finding]:
    points, flags = person.keypoints[:, :2], person.keypoints[:, 2]
    over = np.maximum(-points, points - np.array(size)).max(axis=1)
    for joint in np.flatnonzero((flags > 0) & (over > PIXELS_PAST_BORDER)):
        place = points[joint].tolist()
        yield Finding("outside", f"{where}: joint {joint} at {place} is off the picture")


def _check_picture(
    path: Path, size: tuple[int, int] | None
) -> tuple[tuple[int, int] | None, str | None]:
    """(width, height) of a picture, None if it cannot be read; what is wrong, if anything."""
    try:
        image = read_picture(path, size)
    except (ValueError, OSError) as error:
        return None, str(error)
    return (image.shape[1], image.shape[0]), None
