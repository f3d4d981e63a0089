"""How a network looks at persons: the crop's size, its mirror image, and which way is up.

Networks that were trained on upright persons see lying and upside-down ones much better in a turned
crop, and the maps of a picture and of its mirror image err independently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hhd_kernels as hk
from hhd.checks import check_finite, check_positive
from hhd.data.affine import (
    Array,
    box_to_crop,
    compose,
    crop_affine,
    invert,
    transform_points,
)
from hhd.data.person import Person
from hhd.data.skeleton import Skeleton
from hhd.teach.grid import cells_to_input, flip_maps, mirror_shift
from hhd.teach.networks import TeacherNetwork
from hhd.text import shown

Upright = Literal["no", "labels", "own"]
Picture = NDArray[np.uint8]
HIPS = ("left_hip", "right_hip")
SHOULDERS = ("left_shoulder", "right_shoulder")


@dataclass(frozen=True)
class Looking:
    """``padding``: the crop's size in boxes, None the teacher's own. ``flip``: maps are averaged
    with those of the mirrored crop.

    ``upright`` turns the crop until the person's torso, hips to shoulders, points up: by the
    ``labels`` where the four joints have them, or by the teacher's ``own`` answer: it is asked at
    one after the other of ``angles`` until its torso (the mean of the four maps' peaks) is
    ``confident``, and the most confident answer says how the last crop is turned. Angles are in
    degrees, by which the picture is turned counter-clockwise.
    """

    padding: float | None = None
    flip: bool = True
    upright: Upright = "no"
    angles: tuple[float, ...] = (0.0, 90.0, 180.0, 270.0)
    confident: float = 0.6

    def __post_init__(self) -> None:
        if self.padding is not None:
            check_positive("padding", self.padding, most=100)
        if self.upright not in get_args(Upright):
            raise ValueError(
                f"upright is {shown(self.upright)}; it takes one of {', '.join(get_args(Upright))}"
            )
        if not isinstance(self.angles, tuple) or not self.angles:
            raise ValueError(f"angles is {shown(self.angles)}; it takes one at least, in degrees")
        for angle in self.angles:
            check_finite("angles: an angle", angle)
        check_finite("confident", self.confident)


class Look(NamedTuple):
    """``maps`` float32 [K, h, w], and ``to_cells`` [2, 3] from picture pixels to their cells."""

    maps: Tensor
    to_cells: Array


class Seen(NamedTuple):
    """A person and the picture, uint8 [H, W, 3] in BGR."""

    picture: Picture
    person: Person


class Viewer:
    """A network that looks at persons, at most ``batch_size`` crops at once."""

    def __init__(self, network: TeacherNetwork, looking: Looking, batch_size: int) -> None:
        self.network, self.looking, self.batch_size = network, looking, batch_size
        self.padding = network.padding if looking.padding is None else looking.padding
        self.skeleton = network.skeleton
        if looking.upright != "no":
            hips, shoulders = torso_joints(self.skeleton)
            self.torso = [*hips, *shoulders]
        if looking.upright == "own":
            names = [self.skeleton.joints[j] for j in self.torso if network.channels[j] < 0]
            if names:
                raise ValueError(
                    f"upright is own, but the first teacher does not know {', '.join(names)}"
                )

    def turns(self, seen: Sequence[Seen]) -> list[float]:
        """Degrees by which each person's crop is turned."""
        if self.looking.upright == "no":
            return [0.0] * len(seen)
        if self.looking.upright == "labels":
            return [self.labelled_turn(person) for _, person in seen]
        return self.own_turns(seen)

    def labelled_turn(self, person: Person) -> float:
        if not (person.keypoints[self.torso, 2] > 0).all():
            return 0.0
        return torso_turn(person.keypoints[:, :2], self.skeleton)

    def own_turns(self, seen: Sequence[Seen]) -> list[float]:
        """Turns by the most confident answer of each person."""
        best = [(-math.inf, 0.0)] * len(seen)
        for angle in self.looking.angles:
            unsure = [i for i, found in enumerate(best) if found[0] < self.looking.confident]
            answers = self.ask([seen[i] for i in unsure], [angle] * len(unsure), flip=False)
            for i, answer in zip(unsure, answers, strict=True):
                best[i] = max(best[i], self.torso_of(answer), key=lambda found: found[0])
        return [turn for _, turn in best]

    def torso_of(self, answer: Look) -> tuple[float, float]:
        """The torso's confidence and its turn."""
        peaks = hk.locate_teacher(answer.maps[None])[0].double().cpu().numpy()
        confidence = float(answer.maps[self.torso].amax((1, 2)).mean())
        joints = transform_points(peaks, invert(answer.to_cells))
        return confidence, torso_turn(joints, self.skeleton)

    def ask(self, seen: Sequence[Seen], turns: Sequence[float], *, flip: bool) -> list[Look]:
        """The network's answers for crops turned by ``turns`` degrees."""
        matrices = [
            self.crop_matrix(person, turn) for (_, person), turn in zip(seen, turns, strict=True)
        ]
        looks = []
        for start in range(0, len(seen), self.batch_size):
            part = slice(start, start + self.batch_size)
            crops = self.crops(seen[part], matrices[part])
            maps = self.network(crops)
            if flip:
                maps = self.with_mirrored(maps, self.network(crops[:, :, ::-1]))
            size = maps.shape[3], maps.shape[2]
            to_cells = invert(cells_to_input(size, self.network.input_size, self.network.grid))
            looks += [
                Look(answer, compose(to_cells, matrix))
                for answer, matrix in zip(maps, matrices[part], strict=True)
            ]
        return looks

    def crops(self, seen: Sequence[Seen], matrices: Sequence[Array]) -> NDArray[np.uint8]:
        """uint8 [B, H, W, 3] in RGB."""
        size = self.network.input_size
        crops = [
            cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)[:, :, ::-1]
            for (picture, _), matrix in zip(seen, matrices, strict=True)
        ]
        return np.stack(crops).astype(np.uint8, copy=False)

    def with_mirrored(self, maps: Tensor, mirrored: Tensor) -> Tensor:
        """The mean with the mirrored crops' maps, of joints whose partner is taught too."""
        order = self.skeleton.flip_order()
        shift = mirror_shift(maps.shape[3], self.network.input_size[0], self.network.grid)
        mean = (maps + flip_maps(mirrored, order, shift)) / 2
        known = [channel >= 0 for channel in self.network.channels]
        both = [own and known[partner] for own, partner in zip(known, order, strict=True)]
        return torch.where(torch.tensor(both, device=maps.device).view(-1, 1, 1), mean, maps)

    def crop_matrix(self, person: Person, turn: float) -> Array:
        width, height = self.network.input_size
        center, size = box_to_crop(person.box, width / height, self.padding)
        # UDP's crop turns the other way.
        rotation = -turn if self.network.affine == "udp" else turn
        return crop_affine(center, size, rotation, (width, height), self.network.affine)


def torso_turn(joints: Array, skeleton: Skeleton) -> float:
    """Degrees by which a picture is turned to bring the torso of ``joints`` [K, 2] upright.

    Hips to shoulders, in picture pixels. ``ValueError`` where the skeleton has none.
    """
    hips, shoulders = torso_joints(skeleton)
    up = joints[shoulders].mean(0) - joints[hips].mean(0)
    return math.degrees(math.atan2(up[0], -up[1])) if up.any() else 0.0


def torso_joints(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    """The positions of both hips and of both shoulders; ``ValueError`` where one is missing."""
    missing = [name for name in (*HIPS, *SHOULDERS) if name not in skeleton.joints]
    if missing:
        raise ValueError(
            f"skeleton {skeleton.name} has no {', '.join(missing)}; to look upright needs both "
            "hips and both shoulders"
        )
    return skeleton.indices(HIPS), skeleton.indices(SHOULDERS)
