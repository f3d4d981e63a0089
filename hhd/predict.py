"""``hhd predict``: poses in pictures, drawn and as JSON."""

from __future__ import annotations

import glob
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from hhd.data.picture import read_picture
from hhd.draw import draw_pose, write_picture
from hhd.files import is_file, read_json, write_json
from hhd.pose import FoundPose, Pose
from hhd.progress import counting
from hhd.text import shown

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".avif"}
Boxes = Mapping[str, Sequence[Sequence[float]]]


def predict_pictures(
    pose: Pose,
    images: Sequence[Path],
    out: Path,
    boxes: Boxes | None = None,
    min_confidence: float = 0.0,
) -> None:
    """Write ``out``/predictions.json and each image with its poses.

    ``boxes``: those of each picture's name (:func:`read_boxes`); without it a picture is one
    person's. ``ValueError`` where a drawing would lie among the images, or on another's.
    """
    _check_drawings(images, out)
    out.mkdir(parents=True, exist_ok=True)
    # Those that are on their way through the network, to be drawn on.
    pictures: deque[NDArray[np.uint8]] = deque()

    def wanted() -> Iterator[tuple[NDArray[np.uint8], Any]]:
        for image in images:
            pictures.append(read_picture(image))
            yield pictures[-1], None if boxes is None else boxes[image.name]

    rows = []
    with counting(Console(), "predict", len(images), "pictures") as advance:
        for image, people in zip(images, pose.stream(wanted()), strict=True):
            picture = pictures.popleft()
            for person in people:
                picture = draw_pose(
                    picture, person.keypoints, pose.skeleton, person.confidence >= min_confidence
                )
            write_picture(_drawing(image, out), picture)
            rows.append(
                {"image": str(image), "people": [_row(person, pose.joints) for person in people]}
            )
            advance(1)
    write_json(out / "predictions.json", rows)


def find_pictures(words: Sequence[str]) -> list[Path]:
    """The pictures that words name: files, folders (their pictures, sorted) and patterns.

    ``FileNotFoundError`` and ``ValueError`` name the word that stands for none.
    """
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in ENDINGS)
            if not inside:
                raise ValueError(f"folder {path} holds no picture ({', '.join(sorted(ENDINGS))})")
            found += inside
        elif is_file(path) or not glob.has_magic(word):
            if not is_file(path):
                raise FileNotFoundError(f"image {path} does not exist")
            found.append(path)
        else:
            matches = sorted(Path(name) for name in glob.glob(word, recursive=True))
            matches = [match for match in matches if match.is_file()]
            if not matches:
                raise FileNotFoundError(f"pattern {word} matches no picture")
            found += matches
    return list(dict.fromkeys(found))


def read_boxes(file: Path, threshold: float = 0.0) -> dict[str, list[list[float]]]:
    """Boxes [x, y, width, height, score] by a picture's file name.

    ``file`` is COCO's annotation JSON (``images`` and ``annotations``), or a list of objects that
    have ``image`` or ``file_name``, ``bbox`` and, if they like, ``score``; below ``threshold`` they
    are left out. ``ValueError`` names what is of another shape.
    """
    content = read_json(file, "box file")
    names: dict[str, Any] = {}
    images: Any = []
    entries: Any = content
    if isinstance(content, dict):
        images, entries = content.get("images"), content.get("annotations")
    if not _objects(images) or not _objects(entries):
        raise ValueError(
            f"box file {file} takes COCO's annotations, or a list of objects with image, bbox and "
            "score"
        )
    if isinstance(content, dict):
        # By their text: of an id that is no number, too, there is one.
        names = {str(image.get("id")): image.get("file_name") for image in images}
        entries = [
            {**entry, "file_name": names.get(str(entry.get("image_id")))} for entry in entries
        ]
    known = [name for name in names.values() if isinstance(name, str)]
    boxes: dict[str, list[list[float]]] = {Path(name).name: [] for name in known}
    for number, entry in enumerate(entries):
        name = entry.get("file_name") or entry.get("image")
        box, score = entry.get("bbox"), entry.get("score", 1.0)
        whole = isinstance(name, str) and isinstance(box, list) and len(box) == 4
        if not whole or not _numbers([*box, score]) or min(box[2:]) <= 0:
            raise ValueError(
                f"box {number} of {file} is {shown(entry)}; it takes image (or file_name), bbox "
                "[x, y, width, height], the last two positive, and score"
            )
        if score >= threshold:
            boxes.setdefault(Path(name).name, []).append([*map(float, box), float(score)])
    return boxes


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _numbers(values: Sequence[Any]) -> bool:
    plain = all(type(value) in (int, float) for value in values)
    return plain and bool(np.isfinite(values).all())


def _row(person: FoundPose, names: Sequence[str]) -> dict[str, Any]:
    joints = [
        {"joint": name, "x": round(x, 2), "y": round(y, 2), "confidence": round(c, 4)}
        for name, (x, y), c in zip(
            names, person.keypoints.tolist(), person.confidence.tolist(), strict=True
        )
    ]
    return {"box": list(person.box), "score": round(person.score, 4), "joints": joints}


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
