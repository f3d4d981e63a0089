"""Crops as the network will see them, to calibrate int8 and to check a graph."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console

from hhd.data.picture import read_picture
from hhd.data.synthetic import draw_person
from hhd.engines import Crops
from hhd.evaluate import read_evaluation, rules_of_card
from hhd.models.files import ModelCard
from hhd.pose import cut_crop, whole_box
from hhd.predict import find_inputs

ANNOTATIONS = (".json", ".mat")
Item = TypeVar("Item")


def generated_crops(card: ModelCard, count: int = 8) -> Crops:
    """Generated people [count, H, W, 3], one a crop."""
    pictures = [draw_person(0, index).image for index in range(count)]
    return np.stack([cut_crop(picture, whole_box(picture), 1.0, card)[0] for picture in pictures])


def real_crops(
    source: str, images: Path | None, card: ModelCard, count: int, console: Console
) -> Crops:
    """Up to ``count`` crops [N, H, W, 3], evenly from ``source``.

    Persons of an annotation file (.json, .mat), whose pictures are in ``images``, or pictures: a
    file, a folder or a pattern, each filled by one person. ``FileNotFoundError`` and ``ValueError``
    name what is not there.
    """
    if Path(source).suffix not in ANNOTATIONS:
        try:
            paths, _ = find_inputs([source])
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"calibrate: {error}") from error
        pictures = [read_picture(path) for path in _evenly(paths, count)]
        return np.stack([cut_crop(image, whole_box(image), 1.0, card)[0] for image in pictures])
    rule = rules_of_card(card, {})
    data, *_ = read_evaluation(card, 1, Path(source), console, rule, images=images, coco_ap=False)
    numbers = _evenly(list(range(len(data))), count)
    return np.stack([data[number]["image"].transpose(1, 2, 0) for number in numbers])


def _evenly(items: list[Item], count: int) -> list[Item]:
    step = max(len(items) / count, 1)
    return [items[int(i * step)] for i in range(min(count, len(items)))]
