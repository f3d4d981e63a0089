"""Persons from any annotation file that is known here, by what is in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hhd.data.coco import BoxRule, coco_persons, read_coco, read_detections
from hhd.data.mpii import mpii_persons
from hhd.data.reading import Reading
from hhd.data.skeleton import Skeleton
from hhd.files import is_file


def read_annotations(
    annotations: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    boxes: BoxRule = "as_given",
    category: str | None = None,
    outside: bool = False,
    unlabelled: bool = False,
    detections: Path | None = None,
    detection_category: int | None = None,
    score_threshold: float = 0.0,
) -> Reading:
    """COCO-style JSON (an object), MPII's rows (a list) or MPII's official .mat.

    ``category``: the persons' in a file of several, by name or id, where their joint names do not
    tell. ``outside``: pictures may lie outside of ``images``. ``unlabelled``: COCO's persons
    without a labelled joint too, where they have a box. ``detections``: the boxes of a COCO
    detection file instead of the annotated ones, those that score ``score_threshold`` or more; the
    annotation file then only knows the pictures.
    """
    if detections is not None:
        return read_detections(
            detections,
            annotations,
            images,
            skeleton,
            threshold=score_threshold,
            category=category,
            detection_category=detection_category,
            outside=outside,
        )
    if is_mpii(annotations):
        return mpii_persons(annotations, images, skeleton, outside)
    return coco_persons(
        read_coco(annotations, skeleton, category), images, boxes, outside, unlabelled
    )


def is_mpii(annotations: Path) -> bool:
    """A .mat, or JSON that begins with a list."""
    if annotations.suffix == ".mat":
        return True
    if not is_file(annotations):
        raise FileNotFoundError(f"annotation file {annotations} does not exist")
    with annotations.open(encoding="utf-8-sig", errors="replace") as file:
        return file.read(64).lstrip().startswith("[")


def picture_folder(annotations: Path, images: Path | None) -> Path:
    """``images``, or the first of these that holds the annotation file's first picture.

    ``images`` beside the file (COCO, Label Studio) or above it (CVAT), there the folder that the
    file's name ends in (``person_keypoints_default.json``: ``images/default``), or the file's own
    folder (Roboflow; Label Studio's names begin with ``images/``). Where none does, it is
    ``images`` beside it or above, whichever is there.
    """
    if images is not None:
        return images
    folder, subset = annotations.parent, annotations.stem.rpartition("_")[2]
    beside, above = folder / "images", folder.parent / "images"
    first = _first_picture(annotations)
    if first:
        for place in (beside, above, above / subset, beside / subset, folder):
            if is_file(place / first):
                return place
    return above if above.is_dir() and not beside.is_dir() else beside


FILE_NAME = re.compile(r'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


def _first_picture(annotations: Path) -> str:
    """The first file name of COCO-style JSON, without reading all of it."""
    if not is_file(annotations) or annotations.suffix != ".json":
        return ""
    with annotations.open(encoding="utf-8-sig", errors="replace") as file:
        found = FILE_NAME.search(file.read(1 << 20))
    try:
        return str(json.loads(found[1])) if found else ""
    except ValueError:
        return ""
