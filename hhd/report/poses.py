"""Evaluation crops with the predicted and the labelled pose on them."""

from __future__ import annotations

import base64
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hhd.data.affine import invert, transform_points
from hhd.draw import Image, enlarge
from hhd.report.evaluated import Evaluated

SIDE = 220
# BGR, and what the legend calls them.
LABEL, PREDICTED = (80, 200, 60), (40, 120, 255)
COLOURS = {"label": "#3cc850", "predicted": "#ff7828"}


class Picture(NamedTuple):
    """A data URI, the text below it and the one for who does not see it."""

    source: str
    text: str


def pose_picture(run: Evaluated, position: int) -> Picture:
    """One person: both poses, and a line from each label to what was predicted for it."""
    person, skeleton = run.data.persons[position], run.skeleton
    crop, to_input = crop_of(run, position)
    zoom = max(1, round(SIDE / crop.shape[1]))
    canvas = enlarge(crop, zoom)
    labelled = person.keypoints[:, 2] > 0
    label = transform_points(person.keypoints[:, :2], to_input) * zoom
    found = transform_points(run.coords[position], to_input) * zoom
    placed = np.isfinite(found).all(axis=1)
    for joint in np.flatnonzero(labelled & placed):
        cv2.line(
            canvas, _pixel(label[joint]), _pixel(found[joint]), (255, 255, 255), 1, cv2.LINE_AA
        )
    _draw(canvas, label, labelled, skeleton.limb_indices(), LABEL)
    _draw(canvas, found, placed, skeleton.limb_indices(), PREDICTED)
    error = float(np.nanmean(run.errors[position]))
    text = f"annotation {person.annotation_id}: mean error {error:.2f}"
    return Picture(data_uri(canvas, "jpeg"), text)


def crop_of(run: Evaluated, position: int) -> tuple[Image, NDArray[np.float64]]:
    """The network's input, BGR, and the matrix from image pixels to its pixels."""
    item = run.data[position]
    crop = np.ascontiguousarray(item["image"].transpose(1, 2, 0)[:, :, ::-1])
    return crop, invert(item["to_image"])


def data_uri(image: Image, kind: str) -> str:
    """The picture itself as an address."""
    _, data = cv2.imencode(f".{kind}", image)
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"


def _draw(
    canvas: Image,
    points: NDArray[np.float64],
    shown: NDArray[np.bool_],
    limbs: list[tuple[int, int]],
    colour: tuple[int, int, int],
) -> None:
    for a, b in limbs:
        if shown[a] and shown[b]:
            cv2.line(canvas, _pixel(points[a]), _pixel(points[b]), colour, 1, cv2.LINE_AA)
    for joint in np.flatnonzero(shown):
        cv2.circle(canvas, _pixel(points[joint]), 3, colour, -1, cv2.LINE_AA)


def _pixel(point: NDArray[np.float64]) -> tuple[int, int]:
    # OpenCV takes 32 bits; a place so far out is outside of any picture.
    x, y = np.clip(point, -10000, 10000)
    return round(float(x)), round(float(y))
