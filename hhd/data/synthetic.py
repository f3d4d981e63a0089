"""Generated data: people drawn with OpenCV, with clutter and occlusion, as images and COCO JSON.

Fourteen joints in the order of the ``lsp14`` skeleton. Every picture is a function of (seed, index)
alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from hhd.data.skeleton import load_skeleton
from hhd.files import json_text, write_bytes

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

SIDE = 112
# Lengths and half-widths in units of the person's height.
UPPER_ARM, LOWER_ARM, UPPER_LEG, LOWER_LEG = 0.17, 0.16, 0.23, 0.23
SHOULDER, HIP, TRUNK, NECK, HEAD = 0.105, 0.07, 0.27, 0.04, 0.14
ARM_WIDTH, LEG_WIDTH = 0.026, 0.036


class Sample(NamedTuple):
    """A picture [SIDE, SIDE, 3] BGR and its joints [14, 3]: x, y in pixels, v (1 is occluded)."""

    image: Image
    joints: Array


def draw_person(seed: int, index: int) -> Sample:
    """One picture with one person."""
    rng = np.random.default_rng((seed, index))
    image = _background(rng)
    height = rng.uniform(70, 98)
    joints = _pose(rng, height)
    _draw_body(image, joints, height, rng)
    visibility = _occlude(image, joints, rng)
    gain = rng.uniform(0.65, 1.25, size=3).astype(np.float32)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(3, 12))
    image = np.clip(image * gain + noise, 0, 255).astype(np.uint8)
    return Sample(image, np.column_stack([joints, visibility]))


def write_dataset(folder: Path, count: int, seed: int) -> Path:
    """Write ``count`` pictures and their COCO JSON to ``folder``; the path of the JSON."""
    skeleton = load_skeleton("lsp14")
    pictures = folder / "images"
    pictures.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, sample in enumerate(_samples(count, seed), start=1):
        name = f"{number:06d}.png"
        if not cv2.imwrite(str(pictures / name), sample.image, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise OSError(f"cannot write {pictures / name}")
        images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
        annotations.append(_annotation(number, sample.joints))
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints)}
    path = folder / "annotations.json"
    content = {"images": images, "annotations": annotations, "categories": [category]}
    write_bytes(path, json_text(content).encode())
    return path


def _samples(count: int, seed: int) -> Iterator[Sample]:
    return (draw_person(seed, index) for index in range(count))


def _annotation(number: int, joints: Array) -> dict[str, Any]:
    """As in LSP Extended's JSON: the box is the joints' extent grown by 15 % of its longer side."""
    low, high = joints[:, :2].min(axis=0), joints[:, :2].max(axis=0)
    margin = 0.15 * (high - low).max() / 2
    low, high = low - margin, high + margin
    width, height = high - low
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": len(joints),
        "keypoints": joints.round(2).ravel().tolist(),
        "bbox": [round(float(v), 2) for v in (*low, width, height)],
        "area": round(float(0.53 * width * height), 2),
    }


def _colour(rng: np.random.Generator) -> Colour:
    return _as_colour(rng.integers(20, 236, size=3))


def _as_colour(values: Any) -> Colour:
    blue, green, red = (int(np.clip(v, 0, 255)) for v in values)
    return blue, green, red


def _point(p: Array) -> tuple[int, int]:
    """OpenCV coordinates with 4 fractional bits."""
    return round(p[0] * 16), round(p[1] * 16)


def _capsule(
    image: Image, a: Array, b: Array, radius_a: float, radius_b: float, colour: Colour
) -> None:
    """A tapered limb from ``a`` to ``b``."""
    along = b - a
    normal = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
    corners = [
        a + normal * radius_a,
        b + normal * radius_b,
        b - normal * radius_b,
        a - normal * radius_a,
    ]
    cv2.fillConvexPoly(image, np.array([_point(c) for c in corners]), colour, cv2.LINE_AA, shift=4)
    for centre, radius in ((a, radius_a), (b, radius_b)):
        cv2.circle(image, _point(centre), round(radius * 16), colour, -1, cv2.LINE_AA, shift=4)


def _turn(angle: float) -> Array:
    """Unit vector at ``angle`` radians from straight down, towards +x."""
    return np.array([math.sin(angle), math.cos(angle)])


def _pose(rng: np.random.Generator, height: float) -> Array:
    """Joints [14, 2] of a person seen from the front: its right is on the picture's left."""
    lean = rng.normal(0, 0.25)
    up, across = -_turn(lean), np.array([math.cos(lean), -math.sin(lean)])
    pelvis = np.zeros(2)
    thorax = pelvis + TRUNK * up
    joints = np.zeros((14, 2))
    joints[12] = thorax + NECK * up
    joints[13] = joints[12] + HEAD * -_turn(lean + rng.normal(0, 0.2))
    for side, hip, knee, ankle, shoulder, elbow, wrist in (
        (-1, 2, 1, 0, 8, 7, 6),
        (1, 3, 4, 5, 9, 10, 11),
    ):
        joints[hip] = pelvis + side * HIP * across
        joints[shoulder] = thorax + side * SHOULDER * across
        thigh = lean / 2 + side * rng.normal(0.25, 0.35)
        shin = thigh - side * abs(rng.normal(0, 0.45)) * rng.choice([1, -0.4])
        joints[knee] = joints[hip] + UPPER_LEG * rng.uniform(0.75, 1) * _turn(thigh)
        joints[ankle] = joints[knee] + LOWER_LEG * rng.uniform(0.75, 1) * _turn(shin)
        arm = lean + side * rng.uniform(-0.3, 2.6)
        forearm = arm + side * rng.uniform(-1.2, 1.8)
        joints[elbow] = joints[shoulder] + UPPER_ARM * rng.uniform(0.7, 1) * _turn(arm)
        joints[wrist] = joints[elbow] + LOWER_ARM * rng.uniform(0.7, 1) * _turn(forearm)
    joints *= height
    middle = (joints.min(axis=0) + joints.max(axis=0)) / 2
    return np.asarray(joints - middle + SIDE / 2 + rng.uniform(-6, 6, size=2))


def _draw_body(image: Image, joints: Array, height: float, rng: np.random.Generator) -> None:
    skin = _as_colour(np.array([120, 160, 210]) * rng.uniform(0.35, 1.15))
    shirt, trousers, hair = _colour(rng), _colour(rng), _as_colour(rng.integers(0, 110, size=3))
    sleeve, leg = (
        (shirt if rng.random() < 0.5 else skin),
        (trousers if rng.random() < 0.7 else skin),
    )
    arm, thigh = ARM_WIDTH * height, LEG_WIDTH * height

    def legs() -> None:
        for hip, knee, ankle in ((2, 1, 0), (3, 4, 5)):
            _capsule(image, joints[hip], joints[knee], thigh * 1.2, thigh, trousers)
            _capsule(image, joints[knee], joints[ankle], thigh * 0.9, thigh * 0.6, leg)
            cv2.circle(
                image, _point(joints[ankle]), round(thigh * 11), hair, -1, cv2.LINE_AA, shift=4
            )

    def one_arm(shoulder: int, elbow: int, wrist: int) -> None:
        _capsule(image, joints[shoulder], joints[elbow], arm * 1.2, arm, shirt)
        _capsule(image, joints[elbow], joints[wrist], arm * 0.95, arm * 0.7, sleeve)
        cv2.circle(image, _point(joints[wrist]), round(arm * 16), skin, -1, cv2.LINE_AA, shift=4)

    arms = [(8, 7, 6), (9, 10, 11)]
    behind = [one for one in arms if rng.random() < 0.25]
    for one in behind:
        one_arm(*one)
    legs()
    trunk = np.array([_point(joints[i]) for i in (8, 9, 3, 2)])
    cv2.fillConvexPoly(image, trunk, shirt, cv2.LINE_AA, shift=4)
    _capsule(image, joints[8], joints[9], arm * 1.2, arm * 1.2, shirt)
    _capsule(image, joints[2], joints[3], thigh, thigh, trousers)
    _draw_head(image, joints, height, skin, hair)
    for one in arms:
        if one not in behind:
            one_arm(*one)


def _draw_head(image: Image, joints: Array, height: float, skin: Colour, hair: Colour) -> None:
    neck, top = joints[12], joints[13]
    up = (top - neck) / np.linalg.norm(top - neck)
    across = np.array([-up[1], up[0]])
    middle, radius = (neck + top) / 2, HEAD * height / 2
    thorax = (joints[8] + joints[9]) / 2
    _capsule(image, thorax, middle, radius * 0.4, radius * 0.4, skin)
    cv2.circle(
        image,
        _point(middle + up * radius * 0.15),
        round(radius * 16),
        hair,
        -1,
        cv2.LINE_AA,
        shift=4,
    )
    cv2.circle(
        image,
        _point(middle - up * radius * 0.15),
        round(radius * 13),
        skin,
        -1,
        cv2.LINE_AA,
        shift=4,
    )
    for side in (-1, 1):
        cv2.circle(
            image,
            _point(middle + across * side * radius * 0.35),
            round(radius * 2.4),
            (20, 20, 20),
            -1,
            cv2.LINE_AA,
            shift=4,
        )


def _background(rng: np.random.Generator) -> Image:
    """A colour gradient with shapes on it, some of them shaped and coloured like limbs."""
    corners = rng.integers(30, 226, size=(2, 2, 3)).astype(np.float32)
    image = np.ascontiguousarray(cv2.resize(corners, (SIDE, SIDE)).astype(np.uint8))
    for _ in range(rng.integers(6, 16)):
        a = rng.uniform(0, SIDE, size=2)
        b = a + rng.normal(0, 22, size=2)
        kind = rng.integers(0, 3)
        if kind == 0:
            cv2.rectangle(image, _point(a), _point(b), _colour(rng), -1, cv2.LINE_AA, shift=4)
        elif kind == 1:
            radius = rng.uniform(2, 12)
            cv2.circle(image, _point(a), round(radius * 16), _colour(rng), -1, cv2.LINE_AA, shift=4)
        else:
            limb = _as_colour(np.array([120, 160, 210]) * rng.uniform(0.35, 1.15))
            _capsule(image, a, b, rng.uniform(1.5, 4), rng.uniform(1.5, 4), limb)
    return image


def _occlude(image: Image, joints: Array, rng: np.random.Generator) -> Array:
    """Draw up to two objects over the person; the visibility [14]: 1 under them, 2 elsewhere."""
    before = image.copy()
    for _ in range(rng.integers(0, 3)):
        centre = joints[rng.integers(0, len(joints))] + rng.normal(0, 5, size=2)
        half = rng.uniform(4, 12, size=2)
        box = cv2.boxPoints((centre.tolist(), (2 * half).tolist(), float(rng.uniform(0, 180))))
        cv2.fillConvexPoly(
            image, np.array([_point(c) for c in box]), _colour(rng), cv2.LINE_AA, shift=4
        )
    cells = np.clip(joints.round().astype(int), 0, SIDE - 1)
    covered = (before != image).any(axis=2)[cells[:, 1], cells[:, 0]]
    return np.where(covered, 1.0, 2.0)
