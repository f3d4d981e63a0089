"""Joints of the person that fills a picture: drawn, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hhd.data.dataset import CropDataset
from hhd.data.loading import make_loader
from hhd.data.person import Person
from hhd.data.picture import read_picture
from hhd.draw import draw_pose, write_picture
from hhd.evaluation.decode import Decoder, predict
from hhd.files import is_file, write_json
from hhd.models.base import PoseModel


def predict_pictures(
    model: PoseModel,
    decoder: Decoder,
    images: Sequence[Path],
    out: Path,
    min_confidence: float = 0.0,
) -> None:
    """Write ``out``/predictions.json and each image with its pose; the box is the whole image.

    ``ValueError`` where a drawing would lie among the images, or on another's.
    """
    card = decoder.card
    _check_drawings(images, out)
    people = [_whole_image(number, path, len(card.skeleton)) for number, path in enumerate(images)]
    # The whole picture is the crop: a box padded as in training would shrink the person.
    data = CropDataset(
        people,
        card.skeleton,
        input_size=card.input_size,
        stride=model.stride,
        padding=1.0,
        affine=card.affine,
    )
    found = predict(model, decoder, make_loader(data, 32, 0), torch.device("cpu"))
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for person, coords, confidence in zip(people, found.coords, found.confidence, strict=True):
        picture = read_picture(person.image)
        drawn = draw_pose(picture, coords, card.skeleton, confidence >= min_confidence)
        write_picture(_drawing(person.image, out), drawn)
        joints = [
            {"joint": name, "x": round(x, 2), "y": round(y, 2), "confidence": round(c, 4)}
            for name, (x, y), c in zip(
                card.skeleton.joints, coords.tolist(), confidence.tolist(), strict=True
            )
        ]
        rows.append({"image": str(person.image), "joints": joints})
    write_json(out / "predictions.json", rows)


def _drawing(image: Path, out: Path) -> Path:
    return out / f"{image.stem}.png"


def _check_drawings(images: Sequence[Path], out: Path) -> None:
    drawn: dict[Path, Path] = {}
    for image in images:
        drawing = _drawing(image, out)
        if image.resolve().parent == out.resolve():
            raise ValueError(
                f"the drawing of {image} would be {drawing}, among the pictures: "
                "choose another output"
            )
        if drawing in drawn:
            raise ValueError(
                f"the drawings of {drawn[drawing]} and {image} would both be {drawing}: "
                "take them one by one, each to an output of its own"
            )
        drawn[drawing] = image


def _whole_image(number: int, path: Path, joints: int) -> Person:
    if not is_file(path):
        raise FileNotFoundError(f"image {path} does not exist")
    height, width = read_picture(path).shape[:2]
    box = (0.0, 0.0, float(width), float(height))
    return Person(number, number, 1, path, width, height, box, np.zeros((joints, 3)))
