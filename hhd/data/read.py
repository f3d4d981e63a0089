"""Persons from any annotation file that is known here, by what is in it."""

from __future__ import annotations

from pathlib import Path

from hhd.data.coco import BoxRule, read_detections, read_persons
from hhd.data.mpii import read_mpii
from hhd.data.person import Person
from hhd.data.skeleton import Skeleton


def read_annotations(
    annotations: Path,
    images: Path,
    skeleton: Skeleton,
    *,
    boxes: BoxRule = "as_given",
    detections: Path | None = None,
    score_threshold: float = 0.0,
) -> list[Person]:
    """COCO-style JSON (an object), MPII's rows (a list) or MPII's official .mat.

    ``detections``: the boxes of a COCO detection file instead of the annotated ones, those that
    score ``score_threshold`` or more; the annotation file then only knows the pictures.
    """
    if detections is not None:
        return read_detections(detections, annotations, images, skeleton, score_threshold)
    if is_mpii(annotations):
        return read_mpii(annotations, images, skeleton)
    return read_persons(annotations, images, skeleton, boxes)


def is_mpii(annotations: Path) -> bool:
    """A .mat, or JSON that begins with a list."""
    if annotations.suffix == ".mat":
        return True
    if not annotations.is_file():
        raise FileNotFoundError(f"annotation file {annotations} does not exist")
    with annotations.open(encoding="utf-8", errors="replace") as file:
        return file.read(64).lstrip().startswith("[")
