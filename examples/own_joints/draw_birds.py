"""Draws pictures of a bird of nine joints and a COCO-style file of them: stands in for your own.

python draw_birds.py FOLDER [COUNT]
"""

import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np

JOINTS = ["beak", "head", "neck", "l_wing", "r_wing", "tail", "l_foot", "r_foot", "belly"]
# Joints in units of the bird's length, looking to the right; its left is the viewer's side.
SHAPE = np.array(
    [
        *([0.62, -0.30], [0.45, -0.32], [0.30, -0.15], [-0.05, -0.30], [0.12, -0.34]),
        *([-0.60, 0.05], [-0.02, 0.45], [0.16, 0.45], [0.02, 0.18]),
    ]
)
LIMBS = [(1, 2), (2, 3), (3, 9), (3, 4), (3, 5), (9, 6), (9, 7), (9, 8)]
LEFT, RIGHT = (200, 120, 40), (60, 60, 200)


def draw_bird(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture [128, 160, 3] and its joints [9, 3]."""
    ground = rng.integers(90, 200, 3)
    image = np.clip(ground + rng.normal(0, 12, (128, 160, 3)), 0, 255).astype(np.uint8)
    angle, length = rng.uniform(-0.5, 0.5), rng.uniform(50, 75)
    shape = SHAPE + rng.normal(0, 0.035, SHAPE.shape)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = shape @ turn.T * length + [80, 64] + rng.uniform(-8, 8, 2)
    body = rng.integers(20, 120, 3).tolist()
    pixels = points.round().astype(int)
    for a, b in LIMBS:
        colour = body
        for joint in (a, b):
            if JOINTS[joint - 1][:2] in ("l_", "r_"):
                colour = LEFT if JOINTS[joint - 1][0] == "l" else RIGHT
        width = 9 if 9 in (a, b) and colour is body else 4
        cv2.line(image, pixels[a - 1].tolist(), pixels[b - 1].tolist(), colour, width, cv2.LINE_AA)
    cv2.circle(image, pixels[1].tolist(), 7, body, -1, cv2.LINE_AA)
    return image, np.column_stack([points, np.full(len(points), 2)])


def write_birds(folder: Path, count: int, seed: int = 0) -> Path:
    """``folder``/images and ``folder``/birds.json, as an annotation tool would export them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    category = {"id": 1, "name": "bird", "keypoints": JOINTS, "skeleton": LIMBS}
    images, annotations = [], []
    for number in range(count):
        image, joints = draw_bird(np.random.default_rng((seed, number)))
        name = f"{number:04d}.jpg"
        cv2.imwrite(str(folder / "images" / name), image)
        low, high = joints[:, :2].min(axis=0) - 6, joints[:, :2].max(axis=0) + 6
        images.append({"id": number, "file_name": name, "width": 160, "height": 128})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "bbox": [*low.round(1).tolist(), *(high - low).round(1).tolist()],
                "keypoints": joints.round(1).ravel().tolist(),
            }
        )
    file = folder / "birds.json"
    content = {"images": images, "annotations": annotations, "categories": [category]}
    file.write_text(json.dumps(content))
    return file


if __name__ == "__main__":
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    print(f"{count} birds in {write_birds(Path(sys.argv[1]), count)}")
