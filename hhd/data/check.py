"""Everything that is wrong with a data set, at once: annotations, files, boxes, sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hhd.data.coco import check_joint_names, read_json, read_person
from hhd.data.mpii import PIXEL_STD, SHIFT_DOWN, read_mpii_rows, read_row
from hhd.data.person import Person
from hhd.data.picture import read_picture
from hhd.data.read import is_mpii
from hhd.data.skeleton import Skeleton

# COCO's area ranges in squared pixels; AP_medium and AP_large are -1 where one is empty.
AREA_BINS = {"medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
# Boxes and joints are often a rounding past the border.
PIXELS_PAST_BORDER = 1.0
KINDS = ("annotation", "missing", "picture", "outside", "area")


class Finding(NamedTuple):
    """Something wrong: its kind, one of ``KINDS``, and a sentence that says where and what."""

    kind: str
    text: str


class Checked(NamedTuple):
    """What was looked at and what was found."""

    persons: int
    pictures: int
    findings: list[Finding]


def check_data(
    annotations: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    decode: bool = True,
    threads: int = 4,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> Checked:
    """Check an annotation file and its pictures, which ``decode`` opens one by one.

    ``progress`` wraps the pictures as they are opened, and is given their number.
    """
    try:
        if is_mpii(annotations):
            persons, findings = _check_mpii(annotations, images, skeleton)
        else:
            persons, findings = _check_coco(annotations, images, skeleton)
    except (ValueError, FileNotFoundError) as error:
        return Checked(0, 0, [Finding("annotation", str(error))])
    sizes: dict[Path, tuple[int | None, int | None]] = {}
    for person in persons:
        sizes.setdefault(person.image, (person.width, person.height))
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
            if person.width is None and size is not None:
                where = f"person {person.annotation_id} of {annotations}"
                findings += _check_mpii_person(person, size, where)
    return Checked(len(persons), len(sizes), findings)


def _check_coco(
    annotations: Path, images: Path, skeleton: Skeleton
) -> tuple[list[Person], list[Finding]]:
    content = read_json(annotations)
    check_joint_names(content, annotations, skeleton)
    findings, persons, by_id, absent = [], [], {}, set()
    for number, image in enumerate(content["images"]):
        which = f"images[{number}] of {annotations}"
        if not isinstance(image.get("id"), int):
            findings.append(Finding("annotation", f"{which}: id is {image.get('id')!r}"))
        elif image["id"] in by_id:
            findings.append(Finding("annotation", f"{which}: id {image['id']} is there twice"))
        else:
            by_id[image["id"]] = image
            if not (images / str(image.get("file_name"))).is_file():
                absent.add(image["id"])
                path = images / str(image.get("file_name"))
                findings.append(Finding("missing", f"{which}: {path} does not exist"))
    categories = [category.get("id") for category in content["categories"]]
    seen: set[int] = set()
    areas = []
    lacking = {"area": 0, "num_keypoints": 0}
    for annotation in content["annotations"]:
        where = f"annotation {annotation.get('id')} of {annotations}"
        # Ids that are no numbers are for read_person to name.
        number, image_id = annotation.get("id"), annotation.get("image_id")
        if isinstance(number, int):
            if number in seen:
                findings.append(Finding("annotation", f"{where}: its id is there twice"))
            seen.add(number)
        if isinstance(image_id, int) and image_id in absent:
            continue
        if "category_id" in annotation and annotation["category_id"] not in categories:
            text = f"category_id {annotation['category_id']!r} is not among the categories"
            findings.append(Finding("annotation", f"{where}: {text}"))
        try:
            person = read_person(annotation, by_id, annotations, images, skeleton, "as_given")
        except (ValueError, FileNotFoundError) as error:
            findings.append(Finding("annotation", str(error)))
            continue
        if person is None:
            if not annotation.get("iscrowd", 0) and _counted(annotation):
                text = f"num_keypoints is {annotation['num_keypoints']}, but no joint is labelled"
                findings.append(Finding("annotation", f"{where}: {text}"))
            continue
        persons.append(person)
        findings += _check_person(person, where)
        for name in lacking:
            lacking[name] += name not in annotation
        findings += _check_numbers(annotation, where)
        areas.append(annotation.get("area"))
    for name, count in lacking.items():
        if count:
            text = f"{annotations}: {count} of {len(persons)} persons have no {name}, AP needs it"
            findings.append(Finding("area" if name == "area" else "annotation", text))
    if persons and not lacking["area"]:
        findings += _check_bins(areas, annotations)
    if not persons:
        findings.append(Finding("annotation", f"{annotations} has no person to train on"))
    return persons, findings


def _check_mpii(
    annotations: Path, images: Path, skeleton: Skeleton
) -> tuple[list[Person], list[Finding]]:
    findings, persons = [], []
    numbers: dict[str, int] = {}
    for index, row in enumerate(read_mpii_rows(annotations, skeleton)):
        where = f"person {index} of {annotations}"
        try:
            person = read_row(row, index, annotations, images, numbers)
        except ValueError as error:
            findings.append(Finding("annotation", str(error)))
            continue
        if person.image.is_file():
            persons.append(person)
        else:
            findings.append(Finding("missing", f"{where}: {person.image} does not exist"))
        if not (person.keypoints[:, 2] > 0).any():
            findings.append(Finding("annotation", f"{where}: it has no labelled joint"))
    return persons, findings


def _check_person(person: Person, where: str) -> Iterator[Finding]:
    """Box and joints against the picture, and the joints' flags."""
    if person.width is None or person.height is None:
        return
    size = person.width, person.height
    x, y, w, h = person.box
    past = max(-x, -y, x + w - size[0], y + h - size[1])
    if past > PIXELS_PAST_BORDER:
        text = f"bbox {[round(v, 1) for v in person.box]} reaches {past:.1f} pixels past"
        yield Finding("outside", f"{where}: {text} the picture of {person.width}x{person.height}")
    yield from _check_joints(person, size, where)
    flags = person.keypoints[:, 2]
    if not np.isin(flags, (0, 1, 2)).all():
        odd = flags[~np.isin(flags, (0, 1, 2))][0]
        yield Finding("annotation", f"{where}: a joint has v = {odd:g}; it takes 0, 1 or 2")


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


def _check_numbers(annotation: dict[str, Any], where: str) -> Iterator[Finding]:
    if annotation.get("num_keypoints", 1) == 0:
        text = "num_keypoints is 0, but joints are labelled: AP ignores the person"
        yield Finding("annotation", f"{where}: {text}")
    area = annotation.get("area", 1)
    if not isinstance(area, (int, float)) or not area > 0:
        yield Finding("area", f"{where}: area is {area!r}; HRNet leaves such persons out")


def _counted(annotation: dict[str, Any]) -> bool:
    """Whether AP takes the annotation for a person to be found."""
    count = annotation.get("num_keypoints", 0)
    return isinstance(count, (int, float)) and count > 0


def _check_bins(areas: list[Any], annotations: Path) -> Iterator[Finding]:
    known = np.array([area for area in areas if isinstance(area, (int, float))])
    for name, (low, high) in AREA_BINS.items():
        if not ((known >= low) & (known <= high)).any():
            text = f"no person has an area from {low:g} to {high:g}, so AP_{name} will be -1"
            yield Finding("area", f"{annotations}: {text}")


def _check_picture(
    path: Path, size: tuple[int | None, int | None]
) -> tuple[tuple[int, int] | None, str | None]:
    """(width, height) of a picture, None if it cannot be decoded; what is wrong, if anything."""
    try:
        image = read_picture(path)
    except (ValueError, OSError) as error:
        return None, str(error)
    found = image.shape[1], image.shape[0]
    if None not in size and size != found:
        got = f"{found[0]}x{found[1]}"
        return found, f"{path} has {got} pixels, its annotation file says {size[0]}x{size[1]}"
    return found, None
