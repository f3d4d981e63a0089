"""Any teacher, asked about crops: maps for the student's joints."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hhd.data.affine import Affine
from hhd.data.fields import plain
from hhd.data.skeleton import Skeleton
from hhd.files import is_file, json_text
from hhd.teach.answers import answer_maps
from hhd.teach.card import CALLABLE, HUB, TeacherCard, read_teacher_card
from hhd.teach.grid import GridConvention
from hhd.teach.onnx_teacher import open_onnx
from hhd.teach.opened import Crops, Opened, no_input_size
from hhd.teach.python_teacher import open_callable
from hhd.teach.torch_teacher import (
    is_vitpose_folder,
    open_checkpoint,
    open_model_file,
    open_vitpose,
)
from hhd.text import shown

YAML = (".yaml", ".yml")


def open_teacher(
    source: str | Path, skeleton: Skeleton, device: torch.device | str = "cpu"
) -> TeacherNetwork:
    """The teacher ``source`` for a student with the joints of ``skeleton``.

    ``source``: a teacher card (YAML, see :class:`hhd.teach.card.TeacherCard`) or, where nothing has
    to be added, what its ``network`` would be. ``FileNotFoundError``, and ``ValueError`` where it
    cannot be run or teaches none of the joints.
    """
    path = Path(source)
    card = read_teacher_card(path) if path.suffix in YAML else TeacherCard(str(source))
    return TeacherNetwork(_open(card, torch.device(device)), skeleton)


def open_teachers(
    sources: Sequence[str | Path], skeleton: Skeleton, device: torch.device | str = "cpu"
) -> list[TeacherNetwork]:
    """:func:`open_teacher` of each; ``ValueError`` too unless their maps can be averaged."""
    networks = [open_teacher(source, skeleton, device) for source in sources]
    for number, (source, network) in enumerate(zip(sources, networks, strict=True)):
        if any(network.digest == other.digest for other in networks[:number]):
            raise ValueError(f"teacher {source} is given twice; several teachers take one of each")
        if network.gives_shares != networks[0].gives_shares:
            raise ValueError(
                f"teachers {sources[0]} and {source} cannot be averaged: the maps of one are "
                "shares of a sum of 1 (activation softmax), the other's are not"
            )
    return networks


class TeacherNetwork:
    """A network, its card and the student's ``skeleton``; called with crops it answers with maps.

    ``input_size`` (width, height), ``padding``, ``affine`` and ``grid``: the crops that it takes
    and where its cells lie. ``channels``: the output's channel for each joint of the student, -1
    where it has none; ``untaught`` names those joints. ``digest``: SHA-256 of the network and its
    card, in hexadecimal, the same wherever the files lie.
    """

    def __init__(self, opened: Opened, skeleton: Skeleton) -> None:
        card = opened.card
        if card.input_size is None:
            raise no_input_size(card)
        self.input_size = card.input_size
        self.padding = float(card.padding or 1.25)
        self.affine: Affine = card.affine or "standard"
        usual: GridConvention = "align_corners" if self.affine == "udp" else "stride"
        self.grid: GridConvention = card.grid or usual
        self.card = card = replace(card, padding=self.padding, affine=self.affine, grid=self.grid)
        self.skeleton = skeleton
        self.channels = taught_channels(card, skeleton)
        self.untaught = tuple(
            joint
            for joint, channel in zip(skeleton.joints, self.channels, strict=True)
            if channel < 0
        )
        self._forward = opened.forward
        settings = asdict(card) | {"network": card.network if card.is_named() else ""}
        text = f"{opened.digest} {json_text(settings)}"
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    @torch.no_grad()
    def __call__(self, crops: Crops) -> Tensor:
        """Maps float32 [B, K, h, w], from 0 up, of crops uint8 [B, H, W, 3] in RGB.

        The map of a joint that is not taught is 0. ``ValueError`` where the crops have not the
        teacher's size, or its answer is not finite or of a wrong shape.
        """
        width, height = self.input_size
        if (
            crops.dtype != "uint8"
            or crops.shape != (len(crops), height, width, 3)
            or not len(crops)
        ):
            raise ValueError(
                f"crops is {crops.dtype} {list(crops.shape)}; teacher {self.card.network} takes "
                f"uint8 [B, {height}, {width}, 3]"
            )
        maps = answer_maps(self._forward(crops), self.card, len(crops))
        if max(self.channels) >= maps.shape[1]:
            raise ValueError(
                f"teacher {self.card.network} has {maps.shape[1]} channels; joint_map names "
                f"channel {max(self.channels)}"
            )
        channels = torch.tensor(self.channels, device=maps.device)
        taught = (channels >= 0).view(1, -1, 1, 1)
        answer = torch.where(taught, maps[:, channels.clamp(min=0)], 0)
        finite = answer.isfinite().flatten(2).all(2)
        if not finite.all():
            joint = int((~finite).nonzero()[0, 1])
            raise ValueError(
                f"teacher {self.card.network} gave a map of {self.skeleton.joints[joint]} that is "
                "not finite"
            )
        return answer

    @property
    def gives_shares(self) -> bool:
        """Whether its maps sum to 1."""
        return self.card.activation == "softmax"

    def describe(self) -> dict[str, Any]:
        """Plain values that say what the maps are: the card, the joints taught, the digest."""
        name = self.card.network if self.card.is_named() else Path(self.card.network).name
        return {
            **asdict(self.card),
            "network": name,
            "student": list(self.skeleton.joints),
            "student_channels": self.channels,
            "untaught": list(self.untaught),
            "digest": self.digest,
        }


def taught_channels(card: TeacherCard, skeleton: Skeleton) -> list[int]:
    """The output's channel for each joint of the student, -1 where none teaches it."""
    unknown = [joint for joint in card.joint_map if joint not in skeleton.joints]
    if unknown:
        raise ValueError(
            f"teacher {card.network}: joint_map names {shown(unknown)}, not among the joints of "
            f"skeleton {skeleton.name}"
        )
    names = card.joints or ()
    number_of = {plain(name): number for number, name in enumerate(names)}
    channels = []
    for joint in skeleton.joints:
        found = card.joint_map[joint] if joint in card.joint_map else number_of.get(plain(joint))
        if isinstance(found, str):
            if found not in names:
                raise ValueError(
                    f"teacher {card.network}: joint_map names {shown(found)}, not among the "
                    f"teacher's joints {shown(list(names))}"
                )
            found = names.index(found)
        if found is not None and names and found >= len(names):
            raise ValueError(
                f"teacher {card.network}: joint_map names channel {found} of {len(names)} joints"
            )
        channels.append(-1 if found is None else found)
    if max(channels) < 0:
        known = f"its joints are {shown(list(names))}" if names else "its card names no joints"
        raise ValueError(
            f"teacher {card.network} teaches no joint of skeleton {skeleton.name}: {known}"
        )
    return channels


def _open(card: TeacherCard, device: torch.device) -> Opened:
    path = Path(card.network)
    if card.network.startswith(CALLABLE):
        return open_callable(card, device)
    if card.network.startswith(HUB) or is_vitpose_folder(path):
        return open_vitpose(card, device)
    if path.is_dir():
        raise ValueError(f"teacher network {path} is a folder without a config.json")
    if not is_file(path):
        raise FileNotFoundError(f"teacher network {path} does not exist")
    if path.suffix == ".onnx":
        return open_onnx(card, device)
    if card.model is None and path.suffix == ".safetensors":
        return open_model_file(card, device)
    return open_checkpoint(card, device)
