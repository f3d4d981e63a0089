"""Random scale, rotation and mirroring of a crop, with HRNet's distributions.

HRNet clips a normal draw (``lib/dataset/JointsDataset.py``); mmpose 1.x truncates it instead. HRNet
it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class CropChange(NamedTuple):
    """One draw: the crop's size times ``scale``, turned by ``rotation`` degrees, mirrored."""

    scale: float
    rotation: float
    flip: bool


UNCHANGED = CropChange(1.0, 0.0, False)


@dataclass(frozen=True)
class Augmentation:
    """HRNet's ``SCALE_FACTOR``, ``ROT_FACTOR`` (COCO .35 and 45, MPII .25 and 30) and ``FLIP``."""

    scale_factor: float = 0.25
    rotation_factor: float = 30.0
    rotation_probability: float = 0.6
    flip_probability: float = 0.5

    def draw(self, rng: np.random.Generator) -> CropChange:
        """Draw one change. Always consumes four numbers, so that a seed means one stream."""
        normal_scale, normal_rotation = rng.standard_normal(2)
        coin_rotation, coin_flip = rng.random(2)
        low, high = 1 - self.scale_factor, 1 + self.scale_factor
        scale = float(np.clip(normal_scale * self.scale_factor + 1, low, high))
        limit = 2 * self.rotation_factor
        rotation = float(np.clip(normal_rotation * self.rotation_factor, -limit, limit))
        if coin_rotation > self.rotation_probability:
            rotation = 0.0
        return CropChange(scale, rotation, bool(coin_flip < self.flip_probability))
