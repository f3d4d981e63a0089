"""Random crops with the semantics of HRNet or of mmpose 1.x, by name.

==============  =====================================  =========================================
                ``"hrnet"``                            ``"mmpose"``
                (``lib/dataset/JointsDataset.py``)     (``datasets/transforms/*.py``)
==============  =====================================  =========================================
scale           1 + f n, clipped to 1 +- f             1 + f t
rotation        f n, clipped to 2 f, in .6 of crops    f t, in .6 of crops
shift           none                                   .16 t of the padded box, per axis
half body       in .3 of those with more than 8        in .3 of those with 9 joints or more:
                joints: the upper one if n < .5 and    the upper one with probability .7; needs
                it has more than 2, else the lower     2 upper or 3 lower joints
                one if it has more than 2
half-body size  joints' extent, aspect fixed, x 1.5    joints' extent x 1.5, aspect fixed last
flip            in half of the crops                   in half of the crops
==============  =====================================  =========================================

n is normal; t is normal given |t| <= 1 (scipy's ``truncnorm(-1, 1)``), which is not n clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hhd.data.affine import Array, fix_aspect

AugmentationRule = Literal["hrnet", "mmpose"]
Half = Literal["none", "upper", "lower"]
HALF_BODY_PADDING = 1.5


class CropChange(NamedTuple):
    """One draw: the crop's size times ``scale``, turned by ``rotation`` degrees, mirrored.

    ``shift`` moves the centre, in padded boxes; ``half`` names the half body to crop to if the
    person has the joints for it.
    """

    scale: float
    rotation: float
    flip: bool
    shift: tuple[float, float] = (0.0, 0.0)
    half: Half = "none"


UNCHANGED = CropChange(1.0, 0.0, False)


@dataclass(frozen=True)
class Augmentation:
    """Factors and probabilities of one rule.

    HRNet's are ``SCALE_FACTOR`` and ``ROT_FACTOR`` (COCO .35 and 45, MPII .25 and 30) and
    ``PROB_HALF_BODY`` (COCO .3, MPII 0). mmpose's ``RandomBBoxTransform`` scales by .5 to 1.5 and
    turns by 80 unless told otherwise: here .5 and 80; its Lite-HRNet recipes have .25 and 60.
    ``shift_factor`` and ``shift_probability`` (.16 and .3) are mmpose's alone.
    """

    scale_factor: float = 0.25
    rotation_factor: float = 30.0
    rotation_probability: float = 0.6
    flip_probability: float = 0.5
    half_body_probability: float = 0.0
    shift_factor: float = 0.16
    shift_probability: float = 0.0
    rule: AugmentationRule = "hrnet"

    def draw(self, rng: np.random.Generator) -> CropChange:
        """Draw one change."""
        hrnet = self.rule == "hrnet"
        v_scale, v_rotation, *v_shift = rng.standard_normal(4) if hrnet else truncated_normal(rng)
        turned, flipped, halved, shifted, upper = rng.random(5)
        scale = 1 + self.scale_factor * v_scale
        rotation = self.rotation_factor * v_rotation
        if hrnet:
            scale = np.clip(scale, 1 - self.scale_factor, 1 + self.scale_factor)
            limit = 2 * self.rotation_factor
            rotation = np.clip(rotation, -limit, limit)
        moves = not hrnet and shifted < self.shift_probability
        # HRNet asks a normal number whether it is below .5, which it is in .6915 of the cases.
        prefers: Half = "upper" if upper < (0.6914624612740131 if hrnet else 0.7) else "lower"
        return CropChange(
            scale=float(scale),
            rotation=float(rotation) if turned <= self.rotation_probability else 0.0,
            flip=bool(flipped < self.flip_probability),
            shift=(
                self.shift_factor * float(v_shift[0]) if moves else 0.0,
                self.shift_factor * float(v_shift[1]) if moves else 0.0,
            ),
            half=prefers if halved < self.half_body_probability else "none",
        )


def truncated_normal(rng: np.random.Generator, count: int = 4) -> Array:
    """``count`` normal numbers, given that each is within [-1, 1]."""
    kept: list[float] = []
    while len(kept) < count:
        kept += [v for v in rng.standard_normal(2 * count) if abs(v) <= 1]
    return np.array(kept[:count])


def half_body_crop(
    keypoints: NDArray[np.float64],
    upper_body: Sequence[int],
    wanted: Half,
    aspect: float,
    rule: AugmentationRule,
) -> tuple[Array, Array] | None:
    """Centre and size of the crop to half a body; None where the person lacks the joints for it.

    ``keypoints`` [K, 3]: x, y, v. HRNet fixes the aspect here, mmpose after the shift.
    """
    labelled = keypoints[:, 2] > 0
    if labelled.sum() < 9:
        return None
    is_upper = np.isin(np.arange(len(keypoints)), upper_body)
    upper, lower = keypoints[labelled & is_upper, :2], keypoints[labelled & ~is_upper, :2]
    # With nine joints one half is always large enough.
    fewest_upper = 3 if rule == "hrnet" else 2
    takes_upper = len(lower) < 3 or (wanted == "upper" and len(upper) >= fewest_upper)
    chosen = upper if takes_upper else lower
    size = np.ptp(chosen, axis=0)
    if rule == "hrnet":
        size = fix_aspect(size, aspect)
    return chosen.mean(axis=0), size * HALF_BODY_PADDING
