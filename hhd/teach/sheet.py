"""A sheet that shows what a teacher answers: joints on pictures, their confidence, their maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hhd.data.affine import Array, transform_points
from hhd.data.skeleton import Skeleton
from hhd.draw import Image, caption, draw_pose, tile

HEIGHT = 384
# A joint's map around it: cells to each side, picture pixels a cell.
REACH, CELL = 6, 6
BINS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
WHITE, DARK = (255, 255, 255), (40, 40, 40)


@dataclass(frozen=True)
class Answer:
    """What the teacher says of one person.

    ``crop``: uint8 [h, w, 3] in BGR. ``maps`` [K, mh, mw]; ``centers`` [K, 2] in their cells;
    ``confidence`` [K], 0 where a joint is not taught; ``cells_to_crop`` [2, 3]. ``labels`` [K, 2]
    in crop pixels, NaN where there is none, or None. ``unit``: what distances to labels are
    measured in (the torso), in crop pixels, or None.
    """

    name: str
    crop: Image
    maps: NDArray[np.float32]
    centers: NDArray[np.float64]
    confidence: NDArray[np.float64]
    cells_to_crop: Array
    labels: NDArray[np.float64] | None = None
    unit: float | None = None

    def distances(self) -> NDArray[np.float64]:
        """From each taught joint to its label, [K] units; NaN where there is none."""
        nothing = np.full(len(self.confidence), np.nan)
        if self.labels is None or not self.unit:
            return nothing
        found = transform_points(self.centers, self.cells_to_crop)
        apart = np.linalg.norm(found - self.labels, axis=1) / self.unit
        return np.where(self.confidence > 0, apart, nothing)


def spread(confidence: ArrayLike, count: int) -> list[int]:
    """Positions of ``count`` persons from the least to the most confident, evenly between.

    ``confidence`` [N, K]; a person's is the mean over the taught joints, those above 0.
    """
    means = person_confidence(confidence)
    order = np.argsort(means, kind="stable")
    chosen = np.linspace(0, len(order) - 1, min(count, len(order)))
    return [int(order[round(place)]) for place in chosen]


def person_confidence(confidence: ArrayLike) -> NDArray[np.float64]:
    """The mean confidence [N] over each person's joints that are taught."""
    values = np.asarray(confidence, dtype=np.float64)
    return values.sum(axis=1) / np.maximum((values > 0).sum(axis=1), 1)


def headline(confidence: ArrayLike, distances: ArrayLike | None = None, unit: str = "torso") -> str:
    """One line over all persons: mean confidence and, with ``distances`` [N, K] to the labels in
    units (NaN where there is none), the share within .2 by confidence."""
    values = np.asarray(confidence, dtype=np.float64)
    taught = values > 0
    mean = values[taught].mean() if taught.any() else 0.0
    text = f"{len(values)} persons, mean confidence {mean:.2f}"
    if distances is None:
        return text
    apart = np.asarray(distances, dtype=np.float64)
    judged = taught & ~np.isnan(apart)
    if not judged.any():
        return text
    parts = []
    for low, high in pairwise(BINS):
        inside = judged & (values >= low) & ((values < high) | (high == BINS[-1]))
        if inside.any():
            share = 100 * (apart[inside] <= 0.2).mean()
            parts.append(f"{low:.1f}-{high:.1f} {share:.0f}% of {inside.sum()}")
    whole = 100 * (apart[judged] <= 0.2).mean()
    return f"{text}; within .2 {unit} {whole:.0f}%, by confidence: {', '.join(parts)}"


def draw_sheet(answers: Sequence[Answer], skeleton: Skeleton, head: str, columns: int = 2) -> Image:
    """The persons side by side, each with its joints' maps, under the line ``head``.

    Dots are as large and as bright as the joint is sure; a thin line leads to the label.
    """
    if not answers:
        raise ValueError("answers is empty; a sheet needs at least one person")
    cells = [_person(answer, skeleton) for answer in answers]
    height, width = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    cells = [_padded(cell, height, width) for cell in cells]
    columns = min(columns, len(cells))
    cells += [np.full_like(cells[0], DARK[0])] * (-len(cells) % columns)
    sheet = tile([cells[i : i + columns] for i in range(0, len(cells), columns)])
    return _headed(sheet, head)


def confidence_colour(confidence: float) -> tuple[int, int, int]:
    """From dark violet at 0 to yellow at 1, BGR."""
    level = np.array([[round(255 * min(max(confidence, 0.0), 1.0))]], dtype=np.uint8)
    b, g, r = cv2.applyColorMap(level, cv2.COLORMAP_PLASMA)[0, 0]
    return int(b), int(g), int(r)


def _person(answer: Answer, skeleton: Skeleton) -> Image:
    scale = HEIGHT / answer.crop.shape[0]
    size = round(answer.crop.shape[1] * scale), HEIGHT
    picture = np.asarray(cv2.resize(answer.crop, size, interpolation=cv2.INTER_LINEAR))
    # Pixels are named by their centres.
    points = (transform_points(answer.centers, answer.cells_to_crop) + 0.5) * scale - 0.5
    taught = answer.confidence > 0
    picture = draw_pose(picture.astype(np.uint8), points, skeleton, taught)
    if answer.labels is not None:
        labels = (answer.labels + 0.5) * scale - 0.5
        for joint in np.flatnonzero(taught & np.isfinite(labels).all(axis=1)):
            ends = _pixel(points[joint]), _pixel(labels[joint])
            cv2.line(picture, *ends, WHITE, 1, cv2.LINE_AA)
            cv2.drawMarker(picture, ends[1], WHITE, cv2.MARKER_TILTED_CROSS, 8, 1, cv2.LINE_AA)
    for joint in np.flatnonzero(taught):
        _dot(picture, _pixel(points[joint]), float(answer.confidence[joint]))
    text = f"{answer.name}: confidence {person_confidence(answer.confidence[None])[0]:.2f}"
    distances = answer.distances()
    if np.isfinite(distances).any():
        text += f", median error {np.nanmedian(distances):.2f}"
    both = np.hstack([picture, _padded(_panels(answer, skeleton), HEIGHT)])
    return caption(both, text)


def _panels(answer: Answer, skeleton: Skeleton) -> Image:
    """The map around each taught joint, scaled to its own peak, under name and confidence."""
    drawn = [
        _panel(answer.maps[joint], answer.centers[joint], name, float(answer.confidence[joint]))
        for joint, name in enumerate(skeleton.joints)
        if answer.confidence[joint] > 0
    ]
    side = (2 * REACH + 1) * CELL
    rows = max(1, HEIGHT // (side + 14))
    columns = -(-max(len(drawn), 1) // rows)
    blank = np.full((side + 14, side + 2, 3), DARK[0], dtype=np.uint8)
    drawn += [blank] * (rows * columns - len(drawn))
    return tile([drawn[row * columns : (row + 1) * columns] for row in range(rows)])


def _panel(heatmap: NDArray[np.float32], center: Array, name: str, confidence: float) -> Image:
    middle = np.floor(center + 0.5).astype(int)
    around = np.pad(heatmap, REACH, mode="constant")
    x, y = np.clip(middle, 0, [heatmap.shape[1] - 1, heatmap.shape[0] - 1])
    window = around[y : y + 2 * REACH + 1, x : x + 2 * REACH + 1]
    levels = np.clip(window / max(float(window.max()), 1e-12), 0, 1) * 255
    coloured = cv2.applyColorMap(levels.astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    block = coloured.repeat(CELL, axis=0).repeat(CELL, axis=1)
    cross = _pixel((center - middle + REACH + 0.5) * CELL - 0.5)
    cv2.drawMarker(block, cross, WHITE, cv2.MARKER_CROSS, 7, 1)
    bar = np.full((14, block.shape[1], 3), DARK[0], dtype=np.uint8)
    sides = name.replace("right_", "r ").replace("left_", "l ").replace("_", " ")
    text = f"{sides[:10]} {confidence:.2f}".replace(" 0.", " .")
    colour = confidence_colour(0.4 + 0.6 * confidence)
    cv2.putText(bar, text, (1, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.3, colour, 1, cv2.LINE_AA)
    panel = np.vstack([bar, block])
    gap = np.full((panel.shape[0], 2, 3), DARK[0], dtype=np.uint8)
    return np.asarray(np.hstack([panel, gap]), dtype=np.uint8)


def _headed(sheet: Image, head: str) -> Image:
    """The sheet under the line and the legend of the dots."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    needed = cv2.getTextSize(head, font, size, 1)[0][0] + 12
    legend = 90 * len(BINS) + 190
    sheet = _padded(sheet, sheet.shape[0], max(sheet.shape[1], needed, legend))
    bar = np.full((52, sheet.shape[1], 3), DARK[0], dtype=np.uint8)
    cv2.putText(bar, head, (6, 18), font, size, WHITE, 1, cv2.LINE_AA)
    for number, confidence in enumerate(BINS):
        x = 20 + 90 * number
        _dot(bar, (x, 38), max(confidence, 0.01))
        cv2.putText(bar, f"{confidence:.1f}", (x + 14, 42), font, 0.4, WHITE, 1, cv2.LINE_AA)
    x = 20 + 90 * len(BINS)
    cv2.drawMarker(bar, (x, 38), WHITE, cv2.MARKER_TILTED_CROSS, 8, 1, cv2.LINE_AA)
    cv2.putText(bar, "label", (x + 14, 42), font, 0.4, WHITE, 1, cv2.LINE_AA)
    return np.vstack([bar, sheet])


def _dot(image: Image, place: tuple[int, int], confidence: float) -> None:
    radius = 3 + round(5 * min(confidence, 1.0))
    cv2.circle(image, place, radius, WHITE, -1, cv2.LINE_AA)
    cv2.circle(image, place, radius - 1, confidence_colour(confidence), -1, cv2.LINE_AA)


def _padded(image: Image, height: int, width: int | None = None) -> Image:
    right = 0 if width is None else width - image.shape[1]
    below = height - image.shape[0]
    border = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=DARK)
    return np.asarray(border, dtype=np.uint8)


def _pixel(point: Array) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
