"""Read COCO-style keypoint JSON into a list of persons, checking everything once, at the start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hhd.data.skeleton import Skeleton


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
    by_id = {image["id"]: image for image in content["images"]}
    persons = []
    for annotation in content["annotations"]:
        where = f"annotation {annotation.get('id')} of {annotations}"
        if annotation.get("iscrowd", 0):
            continue
        keypoints = _keypoints(annotation, where, skeleton)
        if not (keypoints[:, 2] > 0).any():
            continue
        image = by_id.get(annotation.get("image_id"))
        if image is None:
            raise ValueError(
                f"{where}: image_id {annotation.get('image_id')} is not among the images"
            )
        path = images / image["file_name"]
        if not path.is_file():
            raise FileNotFoundError(f"{where}: image {path} does not exist")
        box = _box(annotation, where)
        size = int(image["width"]), int(image["height"])
        ids = int(annotation["id"]), int(image["id"]), int(annotation["category_id"])
        persons.append(Person(*ids, path, *size, box, keypoints, _swapped(annotation)))
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
    return content


def _check_joint_names(content: dict[str, Any], path: Path, skeleton: Skeleton) -> None:
    for category in content["categories"]:
        names = category.get("keypoints")
        if names and tuple(names) != skeleton.joints:
            raise ValueError(
                f"{path}: its keypoints are {names}, skeleton {skeleton.name} has {skeleton.joints}"
            )


def _keypoints(annotation: dict[str, Any], where: str, skeleton: Skeleton) -> NDArray[np.float64]:
    numbers = annotation.get("keypoints", [])
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
    box = annotation.get("bbox", [])
    if len(box) != 4 or not np.isfinite(box).all() or box[2] <= 0 or box[3] <= 0:
        raise ValueError(f"{where}: bbox is {box}; it takes x, y and a positive width and height")
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])


def _swapped(annotation: dict[str, Any]) -> bool:
    """LSP Extended's ``ref_agree`` and ``ref_agree_swapped``: the shares of limb joints within half
    a torso of an independent network's answer, as labelled and swapped."""
    labelled, swapped = annotation.get("ref_agree", 0.0), annotation.get("ref_agree_swapped", 0.0)
    return bool(swapped - labelled > 0.2)
