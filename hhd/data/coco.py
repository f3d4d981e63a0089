"""Read COCO-style keypoint JSON into a list of persons, checking everything once, at the start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hhd.data.skeleton import Skeleton

T = TypeVar("T")
TAKES: dict[type, str] = {int: "an integer", str: "a string"}


@dataclass(frozen=True)
class Person:
    """One annotated person. ``keypoints`` [K, 3]: x, y in image pixels, v (0 is unlabelled).

    ``swapped``: an independent network reads its left and right the other way round.
    """

    annotation_id: int
    image_id: int
    category_id: int
    image: Path
    width: int
    height: int
    box: tuple[float, float, float, float]
    keypoints: NDArray[np.float64]
    swapped: bool = False


def read_persons(annotations: Path, images: Path, skeleton: Skeleton) -> list[Person]:
    """Persons with labelled joints, in the order of the file.

    As in HRNet and mmpose, crowds (``iscrowd``) and persons without a labelled joint are left out.
    Anything broken raises an error that names the file and the annotation.
    """
    content = _read_json(annotations)
    _check_joint_names(content, annotations, skeleton)
    by_id = {}
    for number, image in enumerate(content["images"]):
        by_id[_field(image, "id", int, f"images[{number}] of {annotations}")] = image
    persons = []
    for annotation in content["annotations"]:
        where = f"annotation {annotation.get('id')} of {annotations}"
        if annotation.get("iscrowd", 0):
            continue
        keypoints = _keypoints(annotation, where, skeleton)
        if not (keypoints[:, 2] > 0).any():
            continue
        image = by_id.get(_field(annotation, "image_id", int, where))
        if image is None:
            raise ValueError(f"{where}: image_id {annotation['image_id']} is not among the images")
        which = f"image {image['id']} of {annotations}"
        path = images / _field(image, "file_name", str, which)
        if not path.is_file():
            raise FileNotFoundError(f"{where}: image {path} does not exist")
        box = _box(annotation, where)
        size = _field(image, "width", int, which), _field(image, "height", int, which)
        own, category = (_field(annotation, key, int, where) for key in ("id", "category_id"))
        swapped = _swapped(annotation, where)
        persons.append(Person(own, image["id"], category, path, *size, box, keypoints, swapped))
    if not persons:
        raise ValueError(f"{annotations} has no person with a labelled joint to use")
    return persons


def _read_json(path: Path) -> dict[str, Any]:
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


def _check_joint_names(content: dict[str, Any], path: Path, skeleton: Skeleton) -> None:
    for category in content["categories"]:
        names = category.get("keypoints")
        if names and names != list(skeleton.joints):
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


def _box(annotation: dict[str, Any], where: str) -> tuple[float, float, float, float]:
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
