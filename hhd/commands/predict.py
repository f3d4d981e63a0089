"""``hhd predict [MODEL] PICTURE...``"""

from __future__ import annotations

import argparse
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from hhd.boxes import Boxes, read_boxes
from hhd.commands.options import add_decoding, command_parser, decoding_of, from_up
from hhd.detectors import FORMS, Detector, load_detector
from hhd.files import is_file, make_folder
from hhd.models.shipped import SHIPPED
from hhd.pose import Pose
from hhd.predict import BoxesOf, Image, filled, find_inputs, predict_pictures, predict_video
from hhd.train.devices import choose_device

EXAMPLES = """\
  hhd predict photo.jpg                                   one person who fills the picture
  hhd predict photos/ --boxes boxes.json                  everybody in a box
  hhd predict model.safetensors 'photos/*.jpg' --detector torchvision
  hhd predict walk.mp4 --detector hf:PekingU/rtdetr_r18vd
  hhd predict webcam --frames 100                         what the first camera sees

Nobody is followed from frame to frame; a video's frames are taken one by one.
"""


def run(words: Sequence[str]) -> None:
    """Poses of the persons in the boxes of each picture, or of the one who fills it."""
    parser = command_parser(
        "predict",
        "Joints of persons in pictures and videos, drawn and as JSON. Boxes say where persons are; "
        "without them each picture is taken to be filled by one.",
        EXAMPLES,
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[MODEL] PICTURE",
        help="pictures, videos, folders of them, patterns in quotes, webcam or webcam:1; before "
        "them a model.safetensors that hhd train wrote or an .onnx of hhd export (default: the "
        "network that comes with hhd, 14 joints of one person)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--boxes",
        type=Path,
        metavar="JSON",
        help="COCO annotations or detections, or a list of objects with image, bbox [x, y, width, "
        "height] and score; pictures are matched by their file names (or COCO's image_id by the "
        "number in the name), and those without a box are passed over",
    )
    where.add_argument("--detector", metavar="NAME", help=f"who finds the boxes: {FORMS}")
    parser.add_argument(
        "--box-threshold",
        type=float,
        help="leave out boxes that score below this (default: 0 of --boxes, .5 of --detector)",
    )
    parser.add_argument(
        "--box-category", type=int, metavar="ID", help="the persons' category in --boxes"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/predict"),
        help="folder for drawings, predictions.json and coco_results.json; of a video, NAME.mp4 "
        "and NAME.json (default: %(default)s)",
    )
    parser.add_argument("--frames", type=from_up(1), metavar="N", help="of a video, at most N")
    add_decoding(parser)
    parser.add_argument(
        "--min-confidence",
        type=float,
        default=0.2,
        help="draw joints from here on; the JSON has all (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size", type=from_up(1), default=32, help="persons at once (default: %(default)s)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
    options = parser.parse_args(words)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _run(options)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(options: argparse.Namespace) -> None:
    _check(options)
    given = Path(options.files[0]).suffix in (".safetensors", ".onnx")
    model = Path(options.files[0]) if given else SHIPPED
    names = options.files[1:] if given else options.files
    if not names:
        raise ValueError(f"pictures: none is given beside the model {model}")
    # What is wrong with files is told before the seconds that a network takes to load.
    if not is_file(model):
        raise FileNotFoundError(f"model file {model} does not exist")
    cameras = [word for word in names if re.fullmatch(r"webcam(:\d+)?", word)]
    images, videos = find_inputs([word for word in names if word not in cameras])
    moving: list[Path | int] = [*videos, *(int(word[7:] or 0) for word in cameras)]
    if options.boxes is not None and moving:
        raise ValueError("boxes of --boxes are pictures'; a video takes --detector")
    boxes = None
    if options.boxes is not None:
        threshold = _default(options.box_threshold, 0.0)
        boxes = read_boxes(options.boxes, threshold, options.box_category)
        images = _with_boxes(images, boxes, options.boxes)
    make_folder(options.output, "output")
    if (options.output / "predictions.json").exists() and images:
        print(f"what an earlier run left in {options.output} stays, but for its JSON")
    device = choose_device(options.device)
    pose = Pose(model, device=options.device, batch_size=options.batch_size, **decoding_of(options))
    if not given and pose.card.source is not None:
        print(f"{SHIPPED.name}: {pose.card.source}")
    find: BoxesOf = filled
    ids, outside = None, Outside()
    if boxes is not None:
        find = outside.left_out(listed(boxes))
        known = [boxes.image_id(image) for image in images]
        ids = [own for own in known if own is not None] if None not in known else None
    elif options.detector is not None:
        detector = load_detector(options.detector, device)
        find = outside.left_out(detected(detector, _default(options.box_threshold, 0.5)))
    try:
        _predict(pose, images, moving, find, ids, options)
    finally:
        outside.tell()


def _predict(
    pose: Pose,
    images: Sequence[Path],
    moving: Sequence[Path | int],
    find: BoxesOf,
    ids: Sequence[int] | None,
    options: argparse.Namespace,
) -> None:
    out, least = options.output, options.min_confidence
    for source in moving:
        count = predict_video(pose, source, out, find, least, options.frames)
        print(f"{count} frames of {source} in {out}")
    if images:
        count = predict_pictures(pose, images, out, find, least, ids)
        print(
            f"persons: {count}, pictures: {len(images)}; drawings, predictions.json and "
            f"coco_results.json in {out}"
        )


def _check(options: argparse.Namespace) -> None:
    if not 0 <= options.min_confidence <= 1:
        raise ValueError(f"--min-confidence is {options.min_confidence}; it takes 0 to 1")
    if options.box_threshold is not None and not (options.boxes or options.detector):
        raise ValueError(
            "--box-threshold is of the boxes of --boxes or --detector; neither is given"
        )
    for folder in filter(Path.is_dir, map(Path, options.files)):
        if any(path.is_dir() for path in folder.iterdir()):
            print(f"{folder}: its folders are not looked into; '{folder}/**/*.jpg' does")


def listed(boxes: Boxes) -> BoxesOf:
    """The boxes of a file."""

    def find(image: Path, pixels: Image) -> ArrayLike | None:
        return boxes.of(image)

    return find


def detected(detector: Detector, threshold: float) -> BoxesOf:
    """A detector's boxes that score ``threshold`` or more."""

    def find(image: Path, pixels: Image) -> ArrayLike:
        try:
            found = np.asarray(detector(pixels), dtype=np.float64)
        except Exception as error:  # somebody else's code: whatever it raises
            raise ValueError(
                f"the detector fails on {image}: {type(error).__name__}: {error}"
            ) from error
        if found.size == 0:
            return np.empty((0, 5))
        if found.ndim != 2 or found.shape[1] not in (4, 5):
            raise ValueError(
                f"the detector gave {list(found.shape)} for {image}; it takes [N, 4] or [N, 5] of "
                "x, y, width, height and score"
            )
        if not np.isfinite(found).all() or not (found[:, 2:4] > 0).all():
            raise ValueError(
                f"the detector gave a box for {image} that is not finite, or of no width or height"
            )
        return found if found.shape[1] == 4 else found[found[:, 4] >= threshold]

    return find


class Outside:
    """Counts the boxes that lie outside of their pictures, and leaves them out."""

    def __init__(self) -> None:
        self.count, self.first = 0, ""

    def left_out(self, find: BoxesOf) -> BoxesOf:
        """``find`` without such boxes."""

        def inside(image: Path, pixels: Image) -> ArrayLike | None:
            given = find(image, pixels)
            if given is None:
                return None
            found = np.asarray(given, dtype=np.float64)
            if not len(found):
                return found
            height, width = pixels.shape[:2]
            low, high = found[:, :2], found[:, :2] + found[:, 2:4]
            seen = ((high > 0) & (low < [width, height])).all(axis=1)
            if not seen.all():
                self.first = self.first or f"{found[~seen][0, :4].tolist()} of {image}"
                self.count += int((~seen).sum())
            return found[seen]

        return inside

    def tell(self) -> None:
        """Say so, if there were any."""
        if self.count:
            print(f"boxes outside of their pictures, left out: {self.count}, such as {self.first}")


def _with_boxes(images: list[Path], boxes: Boxes, file: Path) -> list[Path]:
    known = [image for image in images if boxes.of(image) is not None]
    if not known:
        raise ValueError(
            f"box file {file} has no box for any of the {len(images)} pictures, such as "
            f"{images[0].name}"
        )
    if len(known) < len(images):
        print(f"{len(images) - len(known)} pictures passed over, which have no box")
    return known


def _default(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
