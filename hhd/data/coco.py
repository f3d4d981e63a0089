"""Read COCO-style keypoint JSON into a list of persons, checking everything once, at the start.

COCO, CrowdPose, AI Challenger (as mmpose converts it), LSP Extended and any data set of one's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from hhd.data.person import Person
from hhd.data.skeleton import Skeleton

T = TypeVar("T")
TAKES: dict[type, str] = {int: "an integer", str: "a string"}
Box = tuple[float, float, float, float]
BoxRule = Literal["as_given", "hrnet", "mmpose"]


def read_persons(
    annotations: Path, images: Path, skeleton: Skeleton, boxes: BoxRule = "as_given"
) -> list[Person]:
    """Persons with labelled joints, in the order of the file.

    As in HRNet and mmpose, crowds (``iscrowd``) and persons without a labelled joint are left out;
    so are those whose box ``boxes`` empties, see :func:`clean_box`. Anything broken raises an error
    that names the file and the annotation.
    """
    content = read_json(annotations)
    check_joint_names(content, annotations, skeleton)
    by_id = images_by_id(content, annotations)
    persons = []
    for annotation in content["annotations"]:
        person = read_person(annotation, by_id, annotations, images, skeleton, boxes)
        if person is not None:
            persons.append(person)
    if not persons:
        raise ValueError(f"{annotations} has no person with a labelled joint to use")
    return persons


def read_person(
    annotation: dict[str, Any],
    by_id: dict[int, dict[str, Any]],
    annotations: Path,
    images: Path,
    skeleton: Skeleton,
    boxes: BoxRule,
) -> Person | None:
    """One annotation; None for a crowd, a person without a labelled joint, or an emptied box."""
    where = f"annotation {annotation.get('id')} of {annotations}"
    if annotation.get("iscrowd", 0):
        return None
    keypoints = _keypoints(annotation, where, skeleton)
    if not (keypoints[:, 2] > 0).any():
        return None
    path, width, height = _image(annotation, by_id, annotations, images, where)
    given = _box(annotation, where)
    if boxes == "hrnet" and not annotation.get("area", 1) > 0:
        return None
    box = clean_box(given, width, height, boxes)
    if box is None:
        return None
    own, category = (_field(annotation, key, int, where) for key in ("id", "category_id"))
    swapped = _swapped(annotation, where)
    image_id = annotation["image_id"]
    return Person(own, image_id, category, path, width, height, box, keypoints, swapped)


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
    detections: Path, annotations: Path, images: Path, skeleton: Skeleton, threshold: float = 0.0
) -> list[Person]:
    """Detected persons, as COCO's detection JSON has them: image_id, category_id, bbox, score.

    Boxes that score below ``threshold`` (HRNet IMAGE_THRE) and those of categories that the
    annotation file does not have are left out; none is cut to its picture (HRNet, mmpose).
    """
    content = read_json(annotations)
    check_joint_names(content, annotations, skeleton)
    by_id = images_by_id(content, annotations)
    categories = {category.get("id") for category in content["categories"]}
    try:
        found = json.loads(_text(detections))
    except ValueError as error:
        raise ValueError(f"detection file {detections} is not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ValueError(f"detection file {detections} takes a list of objects")
    nothing = np.zeros((len(skeleton), 3))
    persons = []
    for number, entry in enumerate(found):
        where = f"detection {number} of {detections}"
        category = _field(entry, "category_id", int, where)
        score = entry.get("score")
        if not isinstance(score, (int, float)):
            raise ValueError(f"{where}: score is {score!r}; it takes a number")
        if category not in categories or score < threshold:
            continue
        path, width, height = _image(entry, by_id, annotations, images, where)
        box = _box(entry, where)
        image_id = entry["image_id"]
        persons.append(
            Person(
                number, image_id, category, path, width, height, box, nothing, score=float(score)
            )
        )
    if not persons:
        raise ValueError(f"{detections} has no box that scores {threshold} or more")
    return persons


def images_by_id(content: dict[str, Any], annotations: Path) -> dict[int, dict[str, Any]]:
    """The file's ``images`` by their ids."""
    by_id = {}
    for number, image in enumerate(content["images"]):
        by_id[_field(image, "id", int, f"images[{number}] of {annotations}")] = image
    return by_id


def _image(
    entry: dict[str, Any],
    by_id: dict[int, dict[str, Any]],
    annotations: Path,
    images: Path,
    where: str,
) -> tuple[Path, int, int]:
    """Path, width and height of an entry's picture, which must exist."""
    image = by_id.get(_field(entry, "image_id", int, where))
    if image is None:
        raise ValueError(f"{where}: image_id {entry['image_id']} is not among the images")
    which = f"image {image['id']} of {annotations}"
    path = images / _field(image, "file_name", str, which)
    if not path.is_file():
        raise FileNotFoundError(f"{where}: image {path} does not exist")
    return path, _field(image, "width", int, which), _field(image, "height", int, which)


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"file {path} does not exist")
    return path.read_text()


def read_json(path: Path) -> dict[str, Any]:
    """A COCO-style file's content, with its three lists of objects."""
    if not path.is_file():
        raise FileNotFoundError(f"annotation file {path} does not exist")
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"annotation file {path} is not JSON: {error}") from error
    missing = {"images", "annotations", "categories"} - set(
        content if isinstance(content, dict) else ()
    )
    if missing:
        raise ValueError(f"annotation file {path} is not COCO-style: it lacks {sorted(missing)}")
    for part in ("images", "annotations", "categories"):
        entries = content[part]
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(
                f"annotation file {path}: {part} is {entries!r:.60}; it takes a list of objects"
            )
    return content


def _field(entry: dict[str, Any], key: str, kind: type[T], where: str) -> T:
    value = entry.get(key)
    if not isinstance(value, kind):
        got = f"{key} is {value!r:.60}" if key in entry else f"it lacks {key}"
        raise ValueError(f"{where}: {got}; it takes {TAKES[kind]}")
    return value


def _numbers(entry: dict[str, Any], key: str, where: str) -> list[float]:
    values = entry.get(key, [])
    if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
        raise ValueError(f"{where}: {key} is {values!r:.60}; it takes a list of numbers")
    return values


def check_joint_names(content: dict[str, Any], path: Path, skeleton: Skeleton) -> None:
    """Raise if the file names other joints; case and spaces do not count (AI Challenger)."""
    for category in content["categories"]:
        names = category.get("keypoints") or []
        if not isinstance(names, list):
            raise ValueError(f"{path}: its keypoints are {names!r:.60}; it takes a list of names")
        plain = [str(name).lower().replace(" ", "_") for name in names]
        if names and plain != list(skeleton.joints):
            raise ValueError(
                f"{path}: its keypoints are {names}, skeleton {skeleton.name} has {skeleton.joints}"
            )


def _keypoints(annotation: dict[str, Any], where: str, skeleton: Skeleton) -> NDArray[np.float64]:
    numbers = _numbers(annotation, "keypoints", where)
    if len(numbers) != 3 * len(skeleton):
        raise ValueError(
            f"{where}: keypoints has {len(numbers)} numbers, "
            f"skeleton {skeleton.name} takes {3 * len(skeleton)}"
        )
    keypoints = np.asarray(numbers, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(keypoints).all():
        raise ValueError(f"{where}: keypoints has a number that is not finite")
    return keypoints


def _box(annotation: dict[str, Any], where: str) -> Box:
    box = _numbers(annotation, "bbox", where)
    if len(box) != 4 or not np.isfinite(box).all() or box[2] <= 0 or box[3] <= 0:
        raise ValueError(f"{where}: bbox is {box}; it takes x, y and a positive width and height")
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])


def _swapped(annotation: dict[str, Any], where: str) -> bool:
    """LSP Extended's ``ref_agree`` and ``ref_agree_swapped``: the shares of limb joints within half
    a torso of an independent network's answer, as labelled and swapped."""
    labelled, swapped = annotation.get("ref_agree", 0.0), annotation.get("ref_agree_swapped", 0.0)
    if not isinstance(labelled, (int, float)) or not isinstance(swapped, (int, float)):
        raise ValueError(
            f"{where}: ref_agree and ref_agree_swapped are {labelled!r} and {swapped!r}; "
            "they take numbers"
        )
    return swapped - labelled > 0.2
