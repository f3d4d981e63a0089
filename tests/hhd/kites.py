"""Six drawn kites with four joints: a data set of one's own, small enough to break in every way."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from hhd.data.skeleton import Skeleton, load_skeleton
from hhd.models import build_model
from hhd.models.files import ModelCard, save_model

WIDTH, HEIGHT = 160, 120
JOINTS = ["top", "left", "right", "bottom"]
SKELETON = f"""name: kite
joints: {JOINTS}
flip_pairs: [[left, right]]
limbs: [[top, left], [top, right], [left, bottom], [right, bottom]]
sigmas: [0.1, 0.1, 0.1, 0.1]
pck_normaliser: box
pck_joints: {JOINTS}
"""


class Kites:
    """A folder with images/, kites.json, kite.yaml and a model; ``content`` is the sound JSON."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images, self.json = folder, folder / "images", folder / "kites.json"
        self.images.mkdir(parents=True)
        images, annotations = [], []
        for number in range(1, 7):
            x, y = 20 + 10 * number, 15 + 3 * number
            points = [(x + 25, y), (x, y + 30), (x + 50, y + 30), (x + 25, y + 80)]
            picture = np.full((HEIGHT, WIDTH, 3), 40 * number, dtype=np.uint8)
            order = [points[i] for i in (0, 1, 3, 2)]
            cv2.fillPoly(picture, [np.array(order, dtype=np.int32)], (250, 120, 30))
            cv2.imwrite(str(self.images / f"{number}.png"), picture)
            images.append(
                {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
            )
            keypoints = [value for point in points for value in (*point, 2)]
            annotations.append(
                {
                    "id": number, "image_id": number, "category_id": 1, "iscrowd": 0,
                    "bbox": [x, y, 50, 80], "area": 4000, "num_keypoints": 4,
                    "keypoints": keypoints,
                }
            )  # fmt: skip
        category = {"id": 1, "name": "kite", "keypoints": JOINTS}
        self.content = {"images": images, "annotations": annotations, "categories": [category]}
        self.skeleton_file = folder / "kite.yaml"
        self.skeleton_file.write_text(SKELETON)
        self.write(self.content)

    @property
    def skeleton(self) -> Skeleton:
        return load_skeleton(str(self.skeleton_file))

    def write(self, content: Any) -> Path:
        self.json.write_text(content if isinstance(content, str) else json.dumps(content))
        return self.json

    def change(self, change: Any) -> Path:
        """Write what ``change`` makes of the sound content, of the first annotation for a dict."""
        content = deepcopy(self.content)
        if isinstance(change, dict):
            content["annotations"][0] |= change
        else:
            change(content)
        return self.write(content)

    def model(self) -> Path:
        """A network that nobody trained."""
        path = self.folder / "model.safetensors"
        torch.manual_seed(0)
        card = ModelCard("phone", "integral", (32, 32), 1.25, 10.0, 1.0, self.skeleton)
        save_model(path, build_model("phone", 4), card)
        return path

    def train_words(self, *more: str) -> list[str]:
        return [
            "train", "demo_student", f"--data-root={self.folder}", "--train-annotations=kites.json",
            "--val-annotations=kites.json", f"--skeleton={self.skeleton_file}", "--model=phone",
            "--input-size=[64,64]", "--epochs=1", "--batch-size=3", "--workers=0", "--threads=1",
            "--flip-test=none", f"--output={self.folder}/run", *more,
        ]  # fmt: skip

    def eval_words(self, *more: str) -> list[str]:
        return [
            "eval", str(self.model()), f"--annotations={self.json}", "--workers=0",
            "--batch-size=6", *more,
        ]  # fmt: skip

    def check_words(self, *more: str) -> list[str]:
        return ["data", "check", str(self.json), f"--skeleton={self.skeleton_file}", *more]
