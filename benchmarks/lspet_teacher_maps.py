"""Teacher maps for LSP Extended from BlazePose, the array that `hhd train --teacher_maps` takes.

    pip install ai-edge-litert
    pip download --no-deps mediapipe==0.10.21   # the wheel holds pose_landmark_full.tflite
    python benchmarks/lspet_teacher_maps.py --data-root DATA --model pose_landmark_full.tflite \
        --output runs/lspet_maps

BlazePose expects an upright person: each training crop is turned so that the labelled torso points
up, and the maps are turned back. Only maps whose peak lies near the label are kept: labels are
there for every training picture, and a wrong map would teach a wrong place.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hhd.data.affine import (
    Array,
    box_to_crop,
    compose,
    crop_affine,
    invert,
    transform_points,
)
from hhd.data.coco import read_persons
from hhd.data.person import Person
from hhd.data.skeleton import load_skeleton

# BlazePose's landmark for each limb joint of LSP: ankle, knee, hip (right, then left from the hip
# down), wrist, elbow, shoulder. It has no neck and no top of the head.
BLAZEPOSE_OF_LSP = (28, 26, 24, 23, 25, 27, 16, 14, 12, 11, 13, 15)
SHOULDERS, HIPS = (8, 9), (2, 3)
INPUT, CELLS = 256, 64


def torso_rotation(keypoints: Array) -> float:
    """Degrees by which a crop is turned to bring hips -> shoulders upright; 0 if not labelled."""
    if not (keypoints[[*SHOULDERS, *HIPS], 2] > 0).all():
        return 0.0
    up = keypoints[list(SHOULDERS), :2].mean(0) - keypoints[list(HIPS), :2].mean(0)
    return math.degrees(math.atan2(up[0], -up[1]))


def torso_length(keypoints: Array) -> float:
    """|left_shoulder - right_hip|, or infinity where either is not labelled."""
    if not (keypoints[[9, 2], 2] > 0).all():
        return math.inf
    return float(np.linalg.norm(keypoints[9, :2] - keypoints[2, :2]))


class BlazePose:
    """Heatmaps (after the sigmoid) of the LSP limb joints, [12, 64, 64], of a 256 x 256 crop."""

    def __init__(self, model: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(str(model), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.heatmaps = next(
            output["index"]
            for output in self.interpreter.get_output_details()
            if tuple(output["shape"][1:3]) == (CELLS, CELLS)
        )

    def __call__(self, crop_bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
        rgb = crop_bgr[None, :, :, ::-1].astype(np.float32) / 255
        self.interpreter.set_tensor(self.input, np.ascontiguousarray(rgb))
        self.interpreter.invoke()
        logits = self.interpreter.get_tensor(self.heatmaps)[0][:, :, list(BLAZEPOSE_OF_LSP)]
        return (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).transpose(2, 0, 1)


def maps_of(
    person: Person, network: BlazePose, input_size: int, stride: int, reach: float
) -> NDArray[np.float16]:
    """Maps [12, h, w] of a person's unaugmented training crop; zero where the teacher is wrong."""
    image = cv2.imread(str(person.image))
    if image is None:
        raise ValueError(f"{person.image} is not a picture that OpenCV reads")
    center, size = box_to_crop(person.box, aspect=1.0)
    upright = crop_affine(center, size, torso_rotation(person.keypoints), (INPUT, INPUT))
    heatmaps = network(cv2.warpAffine(image, upright, (INPUT, INPUT), flags=cv2.INTER_LINEAR))
    # A cell's centre lies half a cell into the cell: mediapipe finds cells by floor(x * 64).
    step = INPUT / CELLS
    offset = (step - 1) / 2
    to_input = np.array([[step, 0, offset], [0, step, offset]])
    to_image = compose(invert(upright), to_input)
    to_crop = compose(crop_affine(center, size, 0.0, (input_size, input_size)), to_image)
    to_grid = compose(np.array([[1 / stride, 0, 0], [0, 1 / stride, 0.0]]), to_crop)
    cells = input_size // stride
    limit = reach * torso_length(person.keypoints)
    maps = np.zeros((len(heatmaps), cells, cells), dtype=np.float16)
    for joint, heatmap in enumerate(heatmaps):
        row, column = np.unravel_index(int(heatmap.argmax()), heatmap.shape)
        peak = transform_points(np.array([float(column), float(row)]), to_image)
        x, y, visible = person.keypoints[joint]
        if visible and math.hypot(peak[0] - x, peak[1] - y) > limit:
            continue
        maps[joint] = cv2.warpAffine(heatmap, to_grid, (cells, cells), flags=cv2.INTER_LINEAR)
    return maps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, required=True, help="LSP Extended's folder")
    parser.add_argument("--model", type=Path, required=True, help="pose_landmark_*.tflite")
    parser.add_argument("--output", type=Path, required=True, help="folder for maps.npy and .json")
    parser.add_argument("--input-size", type=int, default=96)
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--reach", type=float, default=0.5, help="farthest peak, in torsos")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    persons = read_persons(
        options.data_root / "annotations/lspet_train.json",
        options.data_root / "images",
        load_skeleton("lsp14"),
    )
    network = BlazePose(options.model, options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    cells = options.input_size // options.stride
    maps = np.zeros((len(persons), len(BLAZEPOSE_OF_LSP), cells, cells), dtype=np.float16)
    for row, person in enumerate(persons):
        maps[row] = maps_of(person, network, options.input_size, options.stride, options.reach)
        if (row + 1) % 500 == 0:
            print(f"{row + 1} of {len(persons)} pictures")
    np.save(options.output / "maps.npy", maps)
    (options.output / "maps.json").write_text(json.dumps([p.annotation_id for p in persons]))
    kept = (maps.reshape(*maps.shape[:2], -1).max(-1) > 0).mean()
    print(f"{len(persons)} pictures, {kept:.0%} of the limb joints have a teacher map")


if __name__ == "__main__":
    main()
