"""Poses of persons in pictures, in three lines::

from hhd import Pose

pose = Pose("model.safetensors")  # or Pose(), the network that comes with hhd
people = pose("photo.jpg", boxes=[(x, y, width, height), ...])
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from hhd.checks import check_positive
from hhd.data.affine import Array, box_to_center, crop_affine, fix_aspect, invert, transform_points
from hhd.data.dataset import normalise_images
from hhd.data.picture import read_picture
from hhd.data.skeleton import Skeleton
from hhd.evaluation.coco_ap import pose_scores
from hhd.evaluation.decode import Decoder
from hhd.models.base import channels_last
from hhd.models.files import load_model
from hhd.models.shipped import SHIPPED
from hhd.text import shown
from hhd.train.devices import choose_device

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
        model: a ``model.safetensors`` that hhd train or hhd convert wrote; None is the network that
            comes with hhd (14 joints of one person).
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: crops that the network sees at once, of one picture or of several.
        decoding: fields of the model's card to replace, such as ``flip_test="none"``.
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
        network, card = load_model(SHIPPED if model is None else Path(model))
        self.card = replace(card, **decoding)
        self.device = choose_device(device)
        self.network = channels_last(network.to(self.device))
        self.batch_size = batch_size
        self._decoder = Decoder(self.card)

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
        size = self.card.input_size
        center, extent = box_to_center(box, padding)
        extent = fix_aspect(extent, size[0] / size[1])
        matrix = crop_affine(center, extent, 0.0, size, self.card.affine)
        crop = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR)
        x, y, width, height = (float(side) for side in box)
        rgb = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        return _Crop((x, y, width, height), score, invert(matrix), rgb)

    @torch.inference_mode()
    def _run(self, crops: Sequence[_Crop]) -> list[FoundPose]:
        if not crops:
            return []
        stacked = torch.from_numpy(np.stack([crop.pixels for crop in crops]).transpose(0, 3, 1, 2))
        images = normalise_images(stacked.to(self.device)).contiguous(
            memory_format=torch.channels_last
        )
        coords, confidence = self._decoder(self.network, images)
        cells = self._decoder.cells_per_pixel(images, self.network.stride)
        to_image = np.stack([crop.to_image for crop in crops])[:, None]
        points = transform_points(coords.double().cpu().numpy() / cells, to_image)
        sure = confidence.double().cpu().numpy()
        scores = pose_scores(sure, np.array([crop.box_score for crop in crops]))
        return [
            FoundPose(crop.box, joints, certain, float(score))
            for crop, joints, certain, score in zip(crops, points, sure, scores, strict=True)
        ]


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
        height, width = pixels.shape[:2]
        return [(np.array([0.0, 0.0, width, height]), 1.0, 1.0)]
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
