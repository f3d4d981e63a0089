"""Poses of persons in pictures, in three lines::

from hhd import Pose

pose = Pose("model.safetensors")  # or Pose(), the network that comes with hhd
people = pose("photo.jpg", boxes=[(x, y, width, height), ...])
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hhd.checks import check_positive
from hhd.data.affine import Array, box_to_center, crop_affine, fix_aspect, invert, transform_points
from hhd.data.picture import read_picture
from hhd.data.skeleton import Skeleton
from hhd.engines import open_engine
from hhd.evaluation.coco_ap import pose_scores
from hhd.models.files import ModelCard
from hhd.models.shipped import SHIPPED
from hhd.text import shown

Picture = str | Path | NDArray[np.uint8]


@dataclass(frozen=True)
class FoundPose:
    """One person: ``box`` (x, y, width, height) and ``keypoints`` [K, 2] in image pixels,
    ``confidence`` [K] and ``score``, COCO's of the person: the box's own times the mean confidence
    of the joints above .2."""

    box: tuple[float, float, float, float]
    keypoints: Array
    confidence: Array
    score: float


@dataclass
class _Crop:
    """A person on the way through the network."""

    box: tuple[float, float, float, float]
    box_score: float
    to_image: Array
    pixels: NDArray[np.uint8]


class Pose:
    """A model file, ready to find poses.

    Args:
        model: a ``model.safetensors`` that hhd train or hhd convert wrote, or an ``.onnx`` of hhd
            export, run by ONNX Runtime; None is the network that comes with hhd (14 joints of one
            person).
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: crops that the network sees at once, of one picture or of several.
        decoding: fields of the model's card to replace, such as ``flip_test="none"``; not of an
            ``.onnx``, which decodes as it was exported.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        device: str = "auto",
        batch_size: int = 32,
        **decoding: Any,
    ) -> None:
        check_positive("batch_size", batch_size)
        self.engine = open_engine(SHIPPED if model is None else Path(model), device, decoding)
        self.card = self.engine.card
        self.batch_size = batch_size

    @property
    def skeleton(self) -> Skeleton:
        """The joints that are found."""
        return self.card.skeleton

    @property
    def joints(self) -> tuple[str, ...]:
        """Their names, in order."""
        return self.card.skeleton.joints

    def __call__(self, picture: Picture, boxes: ArrayLike | None = None) -> list[FoundPose]:
        """The pose in each box of a picture.

        ``picture``: a file, or uint8 [H, W, 3] in BGR as OpenCV has it. ``boxes``: [N, 4] of x, y,
        width, height in image pixels, or [N, 5] with a detector's scores; None is the whole
        picture, as one person who fills it.
        """
        (found,) = self.stream([(picture, boxes)])
        return found

    def stream(
        self, pictures: Iterable[tuple[Picture, ArrayLike | None]]
    ) -> Iterator[list[FoundPose]]:
        """The poses of each picture and its boxes, in their order; persons of several pictures go
        through the network together."""
        waiting: deque[list[_Crop]] = deque()
        found: deque[FoundPose] = deque()
        batch: list[_Crop] = []
        for picture, boxes in pictures:
            pixels = _pixels(picture)
            crops = [
                self._crop(pixels, box, score, padding)
                for box, score, padding in _boxes(boxes, pixels, self.card.padding)
            ]
            waiting.append(crops)
            batch += crops
            while len(batch) >= self.batch_size:
                found.extend(self._run(batch[: self.batch_size]))
                batch = batch[self.batch_size :]
            while waiting and len(found) >= len(waiting[0]):
                yield [found.popleft() for _ in waiting.popleft()]
        found.extend(self._run(batch))
        while waiting:
            yield [found.popleft() for _ in waiting.popleft()]

    def _crop(self, pixels: NDArray[np.uint8], box: Array, score: float, padding: float) -> _Crop:
        rgb, to_image = cut_crop(pixels, box, padding, self.card)
        x, y, width, height = (float(side) for side in box)
        return _Crop((x, y, width, height), score, to_image, rgb)

    def _run(self, crops: Sequence[_Crop]) -> list[FoundPose]:
        if not crops:
            return []
        keypoints, sure = self.engine(np.stack([crop.pixels for crop in crops]))
        to_image = np.stack([crop.to_image for crop in crops])[:, None]
        points = transform_points(keypoints, to_image)
        scores = pose_scores(sure, np.array([crop.box_score for crop in crops]))
        return [
            FoundPose(crop.box, joints, certain, float(score))
            for crop, joints, certain, score in zip(crops, points, sure, scores, strict=True)
        ]


def cut_crop(
    picture: NDArray[np.uint8], box: Array, padding: float, card: ModelCard
) -> tuple[NDArray[np.uint8], Array]:
    """A box of a BGR picture as the network of ``card`` sees it, [H, W, 3] RGB, and the [2, 3]
    matrix from its pixels to the picture's."""
    size = card.input_size
    center, extent = box_to_center(box, padding)
    extent = fix_aspect(extent, size[0] / size[1])
    matrix = crop_affine(center, extent, 0.0, size, card.affine)
    crop = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)
    rgb = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    return rgb, invert(matrix)


def whole_box(picture: NDArray[np.uint8]) -> Array:
    """The box (x, y, width, height) of all of a picture."""
    height, width = picture.shape[:2]
    return np.array([0.0, 0.0, width, height])


def _pixels(picture: Picture) -> NDArray[np.uint8]:
    if isinstance(picture, (str, Path)):
        path = Path(picture)
        if not path.is_file():
            raise FileNotFoundError(f"image {path} does not exist")
        return read_picture(path)
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"picture is a {type(picture).__name__}; it takes a path or an array")
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise ValueError(
            f"picture is {picture.dtype} {list(picture.shape)}; it takes uint8 [H, W, 3] in BGR"
        )
    return picture


def _boxes(
    boxes: ArrayLike | None, pixels: NDArray[np.uint8], padding: float
) -> list[tuple[NDArray[np.float64], float, float]]:
    """Box, score and padding of each person."""
    if boxes is None:
        # The whole picture is the crop: padded as in training, the person would shrink.
        return [(whole_box(pixels), 1.0, 1.0)]
    values = np.asarray(boxes, dtype=np.float64)
    if values.size == 0:
        return []
    if values.ndim != 2 or values.shape[1] not in (4, 5):
        raise ValueError(
            f"boxes has shape {list(values.shape)}; it takes [N, 4] of x, y, width, height, or "
            "[N, 5] with scores"
        )
    for number, box in enumerate(values):
        if not np.isfinite(box).all() or not (box[2:4] > 0).all():
            raise ValueError(
                f"box {number} is {shown(box.tolist())}; it takes finite x, y and a positive width "
                "and height"
            )
    return [(box[:4], float(box[4]) if len(box) == 5 else 1.0, padding) for box in values]
