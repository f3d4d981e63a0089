"""``hhd predict``: poses in pictures and videos, drawn and as JSON."""

from __future__ import annotations

import glob
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rich.console import Console

from hhd import video
from hhd.data.picture import read_picture
from hhd.draw import draw_pose, write_picture
from hhd.files import is_file, make_folder, write_json
from hhd.pose import FoundPose, Pose
from hhd.progress import counting

Image = NDArray[np.uint8]
BoxesOf = Callable[[Path, Image], ArrayLike | None]
"""The boxes of a picture, given its path and its pixels; None is one person who fills it."""
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".avif"}


NAMED = 3
"""Pictures that an error names."""


def filled(picture: Path, pixels: Image) -> None:
    """The boxes of pictures that one person fills each."""
    return None


def predict_pictures(
    pose: Pose,
    images: Sequence[Path],
    out: Path,
    boxes: BoxesOf = filled,
    min_confidence: float = 0.0,
    image_ids: Sequence[int] | None = None,
) -> int:
    """Write to ``out`` each image with its poses, predictions.json and, in COCO's form of results,
    coco_results.json, whose image_id is of ``image_ids`` or the image's number from 1.

    Returns the number of persons. A picture that cannot be read is passed over, and named by the
    ``ValueError`` at the end; whatever ends it, the JSON has what was done until then.
    ``ValueError`` before anything is done where a drawing would lie among the images.
    """
    drawings = name_drawings(images, out)
    make_folder(out, "output")
    ids = range(1, len(images) + 1) if image_ids is None else image_ids
    # Those that are on their way through the network, to be drawn on.
    waiting: deque[tuple[Path, int, Image]] = deque()
    unread: list[str] = []

    def wanted() -> Iterator[tuple[Image, Any]]:
        for image, own in zip(images, ids, strict=True):
            try:
                picture = read_picture(image)
            except (OSError, ValueError) as error:
                unread.append(str(error))
                continue
            waiting.append((image, own, picture))
            yield picture, boxes(image, picture)

    rows: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    try:
        with counting(Console(), "predict", len(images), "pictures") as advance:
            for people in pose.stream(wanted()):
                image, own, picture = waiting.popleft()
                write_picture(drawings[image], _drawn(picture, people, pose, min_confidence))
                found = [_row(person, pose.joints) for person in people]
                rows.append({"image": str(image), "drawing": drawings[image].name, "people": found})
                results += [coco_result(person, own) for person in people]
                advance(1)
    finally:
        if rows:
            write_json(out / "predictions.json", rows)
            write_json(out / "coco_results.json", results)
    if unread:
        raise ValueError(
            f"{len(unread)} of {len(images)} pictures cannot be read, the others are in {out}: "
            + "; ".join(unread[:NAMED])
            + (f"; and {len(unread) - NAMED} more" if len(unread) > NAMED else "")
        )
    return len(results)


def predict_video(
    pose: Pose,
    source: Path | int,
    out: Path,
    boxes: BoxesOf = filled,
    min_confidence: float = 0.0,
    frames: int | None = None,
) -> int:
    """Write to ``out`` the video (or what the camera of that number sees) with its poses, an MP4,
    and beside it a JSON of the same name, a row a frame; the number of frames.

    Frames are taken one by one: nobody is followed from one to the next. ``frames``: at most so
    many. An interrupt keeps what was done until then.
    """
    clip = video.Video(source)
    name = f"camera{source}" if isinstance(source, int) else source.stem
    file = out / f"{name}.mp4"
    if isinstance(source, Path) and file.resolve() == source.resolve():
        raise ValueError(f"the drawing of {source} would replace it: choose another output")
    make_folder(out, "output")
    waiting: deque[Image] = deque()

    def wanted() -> Iterator[tuple[Image, Any]]:
        for frame in islice(clip, frames):
            waiting.append(frame)
            yield frame, boxes(Path(name), frame)

    rows: list[dict[str, Any]] = []
    count = min(clip.count, frames or clip.count)
    try:
        with (
            video.writing_video(file, clip.rate) as drawing,
            counting(Console(), "predict", count, "frames") as advance,
        ):
            for number, people in enumerate(pose.stream(wanted())):
                drawing.write(_drawn(waiting.popleft(), people, pose, min_confidence))
                seconds = round(number / clip.rate, 4)
                people_rows = [_row(person, pose.joints) for person in people]
                rows.append({"frame": number, "seconds": seconds, "people": people_rows})
                advance(1)
    finally:
        if rows:
            write_json(file.with_suffix(".json"), rows)
    return len(rows)


def find_inputs(words: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The pictures and the videos that words name: files, folders (what is in them, sorted) and
    patterns.

    ``FileNotFoundError`` and ``ValueError`` name the word that stands for none.
    """
    known = ENDINGS | video.ENDINGS
    found: list[Path] = []
    for word in words:
        path = Path(word)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in known)
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
    once = list(dict.fromkeys(found))
    videos = [path for path in once if path.suffix.lower() in video.ENDINGS]
    return [path for path in once if path not in videos], videos


def coco_result(person: FoundPose, image_id: int, category_id: int = 1) -> dict[str, Any]:
    """One person as COCO's results have it: the third number of a joint is its confidence."""
    joints = np.column_stack([person.keypoints, person.confidence])
    return {
        "image_id": image_id,
        "category_id": category_id,
        "keypoints": [round(value, 3) for value in joints.flatten().tolist()],
        "score": round(person.score, 5),
        "bbox": list(person.box),
    }


def _drawn(picture: Image, people: Iterable[FoundPose], pose: Pose, least: float) -> Image:
    for person in people:
        shown = person.confidence >= least
        picture = draw_pose(picture, person.keypoints, pose.skeleton, shown)
    return picture


def _row(person: FoundPose, names: Sequence[str]) -> dict[str, Any]:
    joints = [
        {"joint": name, "x": round(x, 2), "y": round(y, 2), "confidence": round(c, 4)}
        for name, (x, y), c in zip(
            names, person.keypoints.tolist(), person.confidence.tolist(), strict=True
        )
    ]
    return {"box": list(person.box), "score": round(person.score, 4), "joints": joints}


def name_drawings(images: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where each image is drawn: a.png for a.jpg, a.jpg.png where there is another a, numbered
    where that is not enough. ``ValueError`` where one would lie among the images."""
    stems = Counter(image.stem for image in images)
    taken: Counter[str] = Counter()
    named: dict[Path, Path] = {}
    for image in images:
        if image.resolve().parent == out.resolve():
            raise ValueError(
                f"the drawing of {image} would be in {out}, among the pictures: "
                "choose another output"
            )
        name = image.stem if stems[image.stem] == 1 else image.name
        taken[name] += 1
        named[image] = out / (f"{name}.png" if taken[name] == 1 else f"{name}.{taken[name]}.png")
    return named
