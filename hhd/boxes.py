"""Where persons are in pictures, read from one JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hhd.files import read_json
from hhd.text import shown


@dataclass(frozen=True)
class Boxes:
    """Boxes [x, y, width, height, score] by a picture's file name or, where only COCO's image id
    is known, by that; ``ids`` are COCO's ids of the file names."""

    of_name: Mapping[str, list[list[float]]]
    of_id: Mapping[int, list[list[float]]]
    ids: Mapping[str, int]

    def of(self, picture: Path) -> list[list[float]] | None:
        """A picture's boxes; None if the file does not speak of it."""
        if picture.name in self.of_name:
            return self.of_name[picture.name]
        number = self.image_id(picture)
        return None if number is None else self.of_id.get(number)

    def image_id(self, picture: Path) -> int | None:
        """COCO's id: the file's, else the number that the picture's name is (000000000139.jpg)."""
        if picture.name in self.ids:
            return self.ids[picture.name]
        return int(picture.stem) if picture.stem.isascii() and picture.stem.isdigit() else None


def read_boxes(file: Path, threshold: float = 0.0, category: int | None = None) -> Boxes:
    """The boxes that score ``threshold`` or more, of ``category`` where the file has several.

    ``file`` is COCO's annotation JSON (``images`` and ``annotations``), or a list of objects that
    have ``bbox``, one of ``image``, ``file_name`` and ``image_id`` (COCO's detections) and, if they
    like, ``score`` and ``category_id``. Crowds (``iscrowd``) are passed over. ``ValueError`` names
    what is of another shape.
    """
    content = read_json(file, "box file")
    images: Any = []
    entries: Any = content
    if isinstance(content, dict):
        images, entries = content.get("images"), content.get("annotations")
    if not _objects(images) or not _objects(entries):
        raise ValueError(
            f"box file {file} takes COCO's annotations, or a list of objects with image, bbox and "
            "score"
        )
    # By their text: of an id that is no number, too, there is one.
    names = {str(image.get("id")): image.get("file_name") for image in images}
    of_name: dict[str, list[list[float]]] = {
        Path(name).name: [] for name in names.values() if isinstance(name, str)
    }
    of_id: dict[int, list[list[float]]] = {}
    categories: set[int] = set()
    for number, entry in enumerate(entries):
        name = names.get(str(entry.get("image_id")))
        name = entry.get("file_name") or entry.get("image") or name
        own, box, score = entry.get("image_id"), entry.get("bbox"), entry.get("score", 1.0)
        placed = isinstance(name, str) or (not images and type(own) is int)
        whole = placed and isinstance(box, list) and len(box) == 4
        if not whole or not _numbers([*box, score]) or min(box[2:]) <= 0:
            raise ValueError(
                f"box {number} of {file} is {shown(entry)}; it takes image (or file_name, or "
                "COCO's image_id), bbox [x, y, width, height], the last two positive, and score"
            )
        kind = entry.get("category_id")
        if entry.get("iscrowd") or score < threshold or (category is not None and kind != category):
            continue
        if type(kind) is int:
            categories.add(kind)
        row = [*map(float, box), float(score)]
        if isinstance(name, str):
            of_name.setdefault(Path(name).name, []).append(row)
        else:
            of_id.setdefault(own, []).append(row)
    if len(categories) > 1:
        raise ValueError(
            f"box file {file} has boxes of the categories {sorted(categories)}; choose one with "
            "--box-category"
        )
    ids = {Path(name).name: int(own) for own, name in names.items() if name and own.isdigit()}
    return Boxes(of_name, of_id, ids)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _numbers(values: Sequence[Any]) -> bool:
    plain = all(type(value) in (int, float) for value in values)
    return plain and bool(np.isfinite(values).all())
