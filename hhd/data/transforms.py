"""Augmentations of the finished crop, for a recipe's ``transform``."""

from __future__ import annotations

import random

import cv2
import numpy as np
from numpy.typing import NDArray

# mmpose's YOLOXHSVRandomAug: the most that hue, saturation and value move, of 180, 255 and 255.
HSV_DELTAS = (5, 30, 30)
# Of coarse dropout: the hole's sides as shares of the crop's, and how often there is one.
HOLE = (0.2, 0.4)
HOLE_PROBABILITY = 0.5


def colour_and_cutout(
    image: NDArray[np.uint8], keypoints: NDArray[np.float64], visible: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_]]:
    """Shift hue, saturation and value, and in half of the crops grey out a rectangle, joints and
    all, as RTMPose's recipes do (mmpose ``YOLOXHSVRandomAug``, Albumentations ``CoarseDropout``).

    Covered joints stay labelled: what hides a joint in a photograph does not move it either.
    """
    hue, saturation, value = (round(random.uniform(-1, 1) * delta) for delta in HSV_DELTAS)
    values = np.arange(256)
    table = np.stack(
        [(values + hue) % 180, *(np.clip(values + m, 0, 255) for m in (saturation, value))], axis=1
    )
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), table[None].astype(np.uint8))
    image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)
    if random.random() < HOLE_PROBABILITY:
        height, width = image.shape[:2]
        tall, wide = (round(side * random.uniform(*HOLE)) for side in (height, width))
        top, left = random.randint(0, height - tall), random.randint(0, width - wide)
        image[top : top + tall, left : left + wide] = 127
    return image, keypoints, visible
