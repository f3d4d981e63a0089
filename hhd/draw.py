"""Draw poses, heatmaps and windows on pictures. Pictures are uint8 [H, W, 3] in OpenCV's BGR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hhd.data.skeleton import Skeleton
from hhd.files import write_bytes

Image = NDArray[np.uint8]
RIGHT, LEFT, MIDDLE = (60, 90, 255), (255, 170, 40), (80, 220, 80)
SIDE_COLOURS = {"right": RIGHT, "left": LEFT, None: MIDDLE}
WHITE = (255, 255, 255)
FONT, TEXT_SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
LIMB_SHARE = 90
"""A person is this many times as long as its drawn limbs are wide."""


def check_picture_name(path: Path) -> None:
    """``ValueError`` unless the name ends in a format of pictures that can be written."""
    if not cv2.haveImageWriter(str(path)):
        raise ValueError(f"picture {path} has no ending that is known, such as .png or .jpg")


def write_picture(path: Path, image: Image) -> None:
    """Replace ``path`` by it, in the format that the name ends in; ``OSError`` where that fails."""
    check_picture_name(path)
    encoded, data = cv2.imencode(path.suffix, image)
    if not encoded:
        raise OSError(f"picture {path} cannot be written")
    write_bytes(path, data.tobytes())


def enlarge(image: Image, factor: int) -> Image:
    """The picture ``factor`` times as large, each pixel a block."""
    return np.ascontiguousarray(image.repeat(factor, axis=0).repeat(factor, axis=1))


def draw_pose(
    image: Image,
    joints: ArrayLike,
    skeleton: Skeleton,
    shown: ArrayLike | None = None,
    numbered: bool = False,
) -> Image:
    """A copy with the pose ``joints`` [K, 2] on it, without the joints where ``shown`` is false.

    Lines and dots are as large as the person asks for; left, right and middle have their colours,
    :func:`legend` says which. ``numbered`` puts each joint's number beside it.
    """
    canvas = image.copy()
    points = np.asarray(joints, dtype=np.float64)
    visible = np.ones(len(points), dtype=bool) if shown is None else np.asarray(shown, dtype=bool)
    visible &= np.isfinite(points).all(axis=1)
    if not visible.any():
        return canvas
    thickness = max(1, round(float(np.ptp(points[visible], axis=0).max()) / LIMB_SHARE))
    sides = skeleton.sides()
    colours = [SIDE_COLOURS[side] for side in sides]
    for a, b in skeleton.limb_indices():
        if visible[a] and visible[b]:
            # From the middle outwards a limb is its side's.
            either = {sides[a], sides[b]} - {None}
            colour = SIDE_COLOURS[either.pop()] if len(either) == 1 else MIDDLE
            cv2.line(canvas, _cell(points[a]), _cell(points[b]), colour, thickness, cv2.LINE_AA)
    for joint in np.flatnonzero(visible):
        cell = _cell(points[joint])
        cv2.circle(canvas, cell, thickness + 1, colours[joint], -1, cv2.LINE_AA)
        cv2.circle(canvas, cell, thickness + 1, WHITE, 1, cv2.LINE_AA)
        if numbered:
            _text(canvas, str(joint), (cell[0] + thickness + 3, cell[1] + 4), WHITE)
    return canvas


def legend(skeleton: Skeleton, width: int, numbered: bool = False) -> Image:
    """A strip that says the colours of left, right and middle; ``numbered``: and names the joints
    by their numbers."""
    parts = [("left", LEFT), ("right", RIGHT), ("middle", MIDDLE)]
    if numbered:
        colours = [SIDE_COLOURS[side] for side in skeleton.sides()]
        names = zip(skeleton.joints, colours, strict=True)
        parts += [(f"{number} {name}", colour) for number, (name, colour) in enumerate(names)]
    lines: list[list[tuple[str, tuple[int, int, int], int]]] = [[]]
    x = 4
    for text, colour in parts:
        (length, _), _ = cv2.getTextSize(text, FONT, TEXT_SIZE, 1)
        if lines[-1] and x + length > width:
            lines.append([])
            x = 4
        lines[-1].append((text, colour, x))
        x += length + 14
    strip = np.zeros((16 * len(lines) + 6, width, 3), dtype=np.uint8)
    for number, line in enumerate(lines):
        for text, colour, left in line:
            _text(strip, text, (left, 14 + 16 * number), colour)
    return strip


def draw_heatmap(image: Image, heatmap: ArrayLike, strength: float = 0.6) -> Image:
    """The picture under one map [h, w], coloured from its minimum to its maximum."""
    values = np.asarray(heatmap, dtype=np.float32)
    values = (values - values.min()) / max(float(np.ptp(values)), 1e-12)
    size = image.shape[1], image.shape[0]
    grown = cv2.resize((values * 255).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    coloured = cv2.applyColorMap(grown, cv2.COLORMAP_VIRIDIS)
    return np.asarray(cv2.addWeighted(image, 1 - strength, coloured, strength, 0), dtype=np.uint8)


def draw_window(image: Image, center: ArrayLike, window: tuple[int, int], cell: float) -> Image:
    """A copy with the outline of a (rows, columns) window of cells of ``cell`` picture pixels."""
    x, y = np.floor(np.asarray(center, dtype=np.float64) + 0.5)
    low = np.array([x - window[1] // 2, y - window[0] // 2]) * cell
    high = low + np.array([window[1], window[0]]) * cell - 1
    return np.asarray(
        cv2.rectangle(image.copy(), _cell(low), _cell(high), (255, 255, 255), 1), dtype=np.uint8
    )


def caption(image: Image, text: str) -> Image:
    """The picture with a line of text above it."""
    bar = np.zeros((18, image.shape[1], 3), dtype=np.uint8)
    _text(bar, text, (3, 13), WHITE)
    return np.vstack([bar, image])


def tile(rows: Sequence[Sequence[Image]]) -> Image:
    """Pictures of one size in a grid."""
    return np.vstack([np.hstack(list(row)) for row in rows])


def _cell(point: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _text(canvas: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    # Dark under light: readable on a photograph, too.
    cv2.putText(canvas, text, corner, FONT, TEXT_SIZE, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, text, corner, FONT, TEXT_SIZE, colour, 1, cv2.LINE_AA)
