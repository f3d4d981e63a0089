"""Read COCO-style keypoint JSON, checking everything once, at the start.

COCO, CrowdPose, AI Challenger (as mmpose converts it), LSP Extended and any data set of one's own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hhd.data import fields
from hhd.data.categories import chosen_categories
from hhd.data.person import Person
from hhd.data.reading import Problem, Reading, picture_path
from hhd.data.skeleton import Skeleton
from hhd.data.units import shares_problem
from hhd.files import read_json
from hhd.text import shown

Box = tuple[float, float, float, float]
BoxRule = Literal["as_given", "hrnet", "mmpose"]
# Sides of boxes in pixels: below, no crop can be made of one.
LEAST_SIDE = 1e-3


class Picture(NamedTuple):
    """An entry of ``images``; its size is None where the file does not say."""

    file_name: str
    width: int | None
    height: int | None


@dataclass(frozen=True)
class Entry:
    """One annotation of a chosen category, read and checked.

    ``keypoints`` [K, 3]: x, y, v, zeros where v is 0, all zeros where there are none. ``area`` is
    None where the file has none, ``box`` only of crowds and persons without a labelled joint.
    """

    where: str
    annotation_id: int
    image_id: int
    category_id: int
    crowd: bool
    box: Box | None
    area: float | None
    keypoints: NDArray[np.float64]
    num_keypoints: int
    swapped: bool

    @property
    def labelled(self) -> bool:
        return bool((self.keypoints[:, 2] > 0).any())


@dataclass
class CocoFile:
    """A file's content: pictures by id, the chosen categories' names by id, their annotations."""

    path: Path
    pictures: dict[int, Picture]
    categories: dict[int, str]
    entries: list[Entry]
    left_out: Counter[str]
    problems: list[Problem]


def read_coco(path: Path, skeleton: Skeleton, category: str | None = None) -> CocoFile:
    """Everything in the file that concerns ``skeleton``; ``ValueError`` where nothing can be read.

    What is wrong with single entries is in ``problems``. ``category``: see
    :func:`hhd.data.categories.chosen_categories`.
    """
    content = coco_content(path)
    problems: list[Problem] = []
    pictures = _pictures(content, path, problems)
    declared, chosen = chosen_categories(content, path, skeleton, category)
    left_out: Counter[str] = Counter()
    entries = []
    for number, annotation in enumerate(content["annotations"]):
        where = _where(annotation, number, path)
        try:
            own = fields.whole(annotation, "category_id", where)
            if own not in declared:
                raise ValueError(f"{where}: category_id {own} is not among the categories")
            if own not in chosen:
                left_out[f"of category {shown(declared[own])}"] += 1
                continue
            entry = _entry(annotation, own, where, skeleton)
            if entry.image_id not in pictures:
                raise ValueError(f"{where}: image_id {entry.image_id} is not among the images")
            entries.append(entry)
        except ValueError as error:
            problems.append(Problem("annotation", str(error)))
    return CocoFile(path, pictures, chosen, entries, left_out, problems)


def coco_persons(
    file: CocoFile,
    images: Path,
    boxes: BoxRule = "as_given",
    outside: bool = False,
    unlabelled: bool = False,
) -> Reading:
    """Persons with labelled joints, in the order of the file; ``unlabelled`` ones with a box too.

    As in HRNet and mmpose, crowds (``iscrowd``) and persons without a labelled joint are left out;
    so are those whose box ``boxes`` empties, see :func:`clean_box`.
    """
    reading = Reading(file.path, [], file.left_out.copy(), list(file.problems))
    paths: dict[int, Path | Problem] = {}
    for entry in file.entries:
        if entry.crowd or (not entry.labelled and (not unlabelled or entry.box is None)):
            without = "without a labelled joint" + (" or a box" if unlabelled else "")
            reading.left_out["crowds" if entry.crowd else without] += 1
            continue
        path = _path_once(paths, file, entry.image_id, images, outside, reading.problems)
        if path is None:
            continue
        picture, given = file.pictures[entry.image_id], entry.box
        assert given is not None  # of a labelled person, see _entry, and of others above
        box: Box | None = given
        if boxes != "as_given":
            if picture.width is None or picture.height is None:
                text = f"{entry.where}: boxes is {boxes}, which needs its image's width and height"
                reading.problems.append(Problem("annotation", text))
                continue
            box = clean_box(given, picture.width, picture.height, boxes)
            if boxes == "hrnet" and entry.area is not None and entry.area <= 0:
                box = None
        if box is None:
            reading.left_out[f"whose box or area is empty (boxes: {boxes})"] += 1
            continue
        reading.persons.append(
            Person(
                entry.annotation_id,
                entry.image_id,
                entry.category_id,
                path,
                picture.width,
                picture.height,
                box,
                entry.keypoints,
                entry.swapped,
            )
        )
    shares = shares_problem(reading.persons, file.path)
    reading.problems += [] if shares is None else [Problem("annotation", shares)]
    return reading


def read_persons(
    annotations: Path, images: Path, skeleton: Skeleton, boxes: BoxRule = "as_given"
) -> list[Person]:
    """:func:`coco_persons` of a file; whatever is wrong with it is an error that says where."""
    return coco_persons(read_coco(annotations, skeleton), images, boxes).require()


def clean_box(box: Box, width: int, height: int, rule: BoxRule) -> Box | None:
    """The box cut to its picture, by a codebase's rule; None if nothing of it is left.

    hrnet (``lib/dataset/coco.py``): the last pixel is x + w - 1, cut to W - 1, and the new width is
    the *difference* of last and first pixel, so w - 1 even for a box well inside. mmpose
    (``base_coco_style_dataset.py``): x and x + w are cut to [0, W - 1], so the width stays w.
    """
    x, y, w, h = box
    if rule == "as_given":
        return box
    if rule == "hrnet":
        left, top = max(0.0, x), max(0.0, y)
        right = min(width - 1.0, left + max(0.0, w - 1))
        bottom = min(height - 1.0, top + max(0.0, h - 1))
        # HRNet keeps boxes of one row or column; one of a single pixel has no size at all.
        if right < left or bottom < top or (right == left and bottom == top):
            return None
    else:
        left, right = (min(max(v, 0.0), width - 1.0) for v in (x, x + w))
        top, bottom = (min(max(v, 0.0), height - 1.0) for v in (y, y + h))
        if right <= left or bottom <= top:
            return None
    return left, top, right - left, bottom - top


def read_detections(
    detections: Path,
    annotations: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    threshold: float = 0.0,
    category: str | None = None,
    detection_category: int | None = None,
    outside: bool = False,
) -> Reading:
    """Detected persons, as COCO's detection JSON has them: image_id, category_id, bbox, score.

    Boxes that score below ``threshold`` (HRNet IMAGE_THRE) are left out; none is cut to its picture
    (HRNet, mmpose). So are those of other categories than ``detection_category``, which is the
    annotated persons' own unless it is given: detectors count from 0 or from 1.
    """
    file = read_coco(annotations, skeleton, category)
    found = read_json(detections, "detection file")
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ValueError(f"detection file {detections} takes a list of objects")
    wanted = set(file.categories) if detection_category is None else {detection_category}
    own = next(iter(file.categories)) if len(file.categories) == 1 else None
    nothing = np.zeros((len(skeleton), 3))
    reading = Reading(detections)
    paths: dict[int, Path | Problem] = {}
    others: Counter[int] = Counter()
    for number, entry in enumerate(found):
        where = f"detection {number} of {detections}"
        try:
            its_category = fields.whole(entry, "category_id", where)
            score = fields.number(entry, "score", where)
            image_id = fields.whole(entry, "image_id", where)
            if score is None:
                raise fields.wrong(entry, "score", where, "a number")
            if its_category not in wanted:
                others[its_category] += 1
                continue
            if score < threshold:
                reading.left_out[f"that score below {threshold:g}"] += 1
                continue
            if image_id not in file.pictures:
                raise ValueError(f"{where}: image_id {image_id} is not among the images")
            box = _box(entry, where)
        except ValueError as error:
            reading.problems.append(Problem("annotation", str(error)))
            continue
        path = _path_once(paths, file, image_id, images, outside, reading.problems)
        if path is None:
            continue
        picture = file.pictures[image_id]
        reading.persons.append(
            Person(
                number,
                image_id,
                its_category if own is None or detection_category is None else own,
                path,
                picture.width,
                picture.height,
                box,
                nothing,
                score=score,
            )
        )
    for number, count in others.items():
        reading.left_out[f"of category {number}"] = count
    if not reading.persons and not reading.problems:
        names = ", ".join(f"{i} ({shown(name)})" for i, name in file.categories.items())
        raise ValueError(
            f"detection file {detections} has no box to use: of {len(found)} it has "
            f"{reading.left_out_text() or 'none'}; the annotated persons' category is {names}, and "
            "--detection-category is for a detector that numbers it otherwise"
        )
    return reading


def coco_content(path: Path) -> dict[str, Any]:
    """A COCO-style file's content, with its three lists of objects; ``ValueError`` without."""
    content = read_json(path, "annotation file")
    missing = {"images", "annotations", "categories"} - set(
        content if isinstance(content, dict) else ()
    )
    if missing:
        raise ValueError(f"annotation file {path} is not COCO-style: it lacks {sorted(missing)}")
    for part in ("images", "annotations", "categories"):
        entries = content[part]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(
                f"annotation file {path}: {part} is {shown(entries)}; it takes a list of objects"
            )
    return dict(content)


def _pictures(content: dict[str, Any], path: Path, problems: list[Problem]) -> dict[int, Picture]:
    pictures: dict[int, Picture] = {}
    for number, image in enumerate(content["images"]):
        where = f"images[{number}] of {path}"
        try:
            own = fields.whole(image, "id", where)
            if own in pictures:
                raise ValueError(f"{where}: id {own} is there twice")
            name = fields.text(image, "file_name", where) if "file_name" in image else ""
            sizes = [None if image.get(k) is None else fields.whole(image, k, where) for k in SIZE]
            pictures[own] = Picture(name, *sizes)
        except ValueError as error:
            problems.append(Problem("annotation", str(error)))
    return pictures


SIZE = ("width", "height")


def _path_once(
    paths: dict[int, Path | Problem],
    file: CocoFile,
    image_id: int,
    images: Path,
    outside: bool,
    problems: list[Problem],
) -> Path | None:
    """The picture's path; None, and one problem a picture, where it cannot be used."""
    if image_id not in paths:
        where = f"image {image_id} of {file.path}"
        name = file.pictures[image_id].file_name
        found = (
            picture_path(images, name, where, outside)
            if name
            else Problem("annotation", f"{where}: it lacks file_name; it takes a string")
        )
        paths[image_id] = found
        problems += [found] if isinstance(found, Problem) else []
    path = paths[image_id]
    return None if isinstance(path, Problem) else path


def _where(annotation: dict[str, Any], number: int, path: Path) -> str:
    own = annotation.get("id")
    name = f"annotation {shown(own)}" if own is not None else f"annotations[{number}]"
    return f"{name} of {path}"


def _entry(annotation: dict[str, Any], category: int, where: str, skeleton: Skeleton) -> Entry:
    crowd = fields.flag(annotation, "iscrowd", where)
    given = fields.numbers(annotation, "keypoints", where)
    count = fields.number(annotation, "num_keypoints", where)
    if count is not None and (count < 0 or count != int(count)):
        raise ValueError(f"{where}: num_keypoints is {count:g}; it takes a number of joints")
    keypoints = np.zeros((len(skeleton), 3))
    if given or count:
        keypoints = _keypoints(given, where, skeleton)
    labelled = bool((keypoints[:, 2] > 0).any())
    if count and not labelled and not crowd:
        raise ValueError(f"{where}: num_keypoints is {count:g}, but no joint is labelled")
    # A crowd, or a person that has no joints (a track between two labelled pictures), may lack all;
    # Label Studio writes zeros.
    needed = labelled and not crowd
    given_box = any(fields.numbers(annotation, "bbox", where))
    box = _box(annotation, where) if needed or given_box else None
    return Entry(
        where,
        fields.whole(annotation, "id", where),
        fields.whole(annotation, "image_id", where),
        category,
        crowd,
        box,
        fields.number(annotation, "area", where),
        keypoints,
        int((keypoints[:, 2] > 0).sum() if count is None else count),
        _swapped(annotation, where),
    )


def _keypoints(given: list[float], where: str, skeleton: Skeleton) -> NDArray[np.float64]:
    if len(given) != 3 * len(skeleton):
        raise ValueError(
            f"{where}: keypoints has {len(given)} numbers, "
            f"skeleton {skeleton.name} takes {3 * len(skeleton)}"
        )
    keypoints = np.array(given, dtype=np.float64).reshape(-1, 3)
    flags = keypoints[:, 2]
    if not np.isin(flags, (0, 1, 2)).all():
        odd = flags[~np.isin(flags, (0, 1, 2))][0]
        raise ValueError(f"{where}: a joint has v = {odd:g}; it takes 0 (not labelled), 1 or 2")
    # Whatever stands where nothing is labelled is nothing.
    keypoints[flags == 0, :2] = 0
    if np.abs(keypoints[:, :2]).max() > fields.FAR:
        far = keypoints[np.abs(keypoints[:, :2]).max(axis=1).argmax(), :2].tolist()
        raise ValueError(f"{where}: a joint is at {far}; it takes pixels, up to {fields.FAR:g}")
    return keypoints


def _box(annotation: dict[str, Any], where: str) -> Box:
    box = fields.numbers(annotation, "bbox", where)
    if len(box) != 4 or min(box[2:]) < LEAST_SIDE or max(map(abs, box)) > fields.FAR:
        raise ValueError(
            f"{where}: bbox is {shown(annotation.get('bbox'))}; it takes x, y and a positive width "
            f"and height in pixels, up to {fields.FAR:g}"
        )
    return box[0], box[1], box[2], box[3]


def _swapped(annotation: dict[str, Any], where: str) -> bool:
    """LSP Extended's ``ref_agree`` and ``ref_agree_swapped``: the shares of limb joints within half
    a torso of an independent network's answer, as labelled and swapped."""
    labelled = fields.number(annotation, "ref_agree", where) or 0.0
    swapped = fields.number(annotation, "ref_agree_swapped", where) or 0.0
    return swapped - labelled > 0.2
