"""Teachers that are networks of ours, of another's checkpoint, or ViTPose of transformers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from math import pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hhd.data import fields
from hhd.data.skeleton import load_skeleton
from hhd.extras import import_extra
from hhd.files import file_digest, is_file, read_json
from hhd.models.base import PoseModel, channels_last
from hhd.models.build import build_model
from hhd.models.checkpoints import load_weights, read_weights
from hhd.models.files import load_model
from hhd.teach.card import HUB, TeacherCard
from hhd.teach.opened import Crops, Forward, Opened, files_digest, no_input_size, normalised
from hhd.text import one_line, shown


def open_model_file(card: TeacherCard, device: torch.device) -> Opened:
    """A ``model.safetensors`` that hhd wrote, whose own card says what the teacher's does not."""
    path = Path(card.network)
    model, own = load_model(path)
    if own.task == "integral":
        model = ImplicitMaps(model, own.beta, own.sigma)
    card = replace(
        card,
        input_size=card.input_size or own.input_size,
        joints=card.joints or own.skeleton.joints,
        padding=card.padding or own.padding,
        affine=card.affine or own.affine,
    )
    return _opened(card, model, device)


class ImplicitMaps(PoseModel):
    """An integral network as a teacher: its softmax, scaled so that of a Gaussian as wide as its
    targets were the peak would be 1."""

    def __init__(self, model: PoseModel, beta: float, sigma: float) -> None:
        super().__init__()
        self.model, self.beta, self.scale = model, beta, 2 * pi * sigma**2
        self.stride, self.multiple = model.stride, model.multiple

    def last_convolution(self) -> nn.Conv2d:
        return self.model.last_convolution()

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.model(images)
        mass = torch.softmax(self.beta * maps.float().flatten(2), dim=2).view_as(maps)
        return self.scale * mass


def open_checkpoint(card: TeacherCard, device: torch.device) -> Opened:
    """Another's checkpoint of the network that the card's ``model`` names."""
    path = Path(card.network)
    if card.model is None:
        raise ValueError(
            f"teacher network {path} is another's checkpoint, which does not say what it is: its "
            "card must name the model"
        )
    weights = read_weights(path)
    if weights.integral:
        raise weights.refuse("is an integral network; a teacher gives heatmaps")
    model = build_model(card.model, weights.joints)
    load_weights(model, weights, card.model)
    return _opened(card, model.eval(), device)


def open_vitpose(card: TeacherCard, device: torch.device) -> Opened:
    """A ViTPose of transformers, from a folder or the hub; extra ``hhd-kernels[vitpose]``.

    Its image processor crops as UDP does. Only ``config.json`` and ``*.safetensors`` are read.
    """
    folder = Path(card.network)
    if card.network.startswith(HUB):
        hub = import_extra("huggingface_hub")
        name = card.network.removeprefix(HUB)
        try:
            folder = Path(
                hub.snapshot_download(name, allow_patterns=["config.json", "*.safetensors*"])
            )
        except Exception as error:
            raise ValueError(
                f"teacher {card.network} cannot be had from the hub: {one_line(str(error))}"
            ) from error
    content = read_json(folder / "config.json", "ViTPose's configuration")
    kind = content.get("model_type") if isinstance(content, dict) else content
    files = sorted(folder.glob("*.safetensors"))
    if kind != "vitpose" or not files:
        raise ValueError(
            f"teacher {card.network} has model_type {shown(kind)} and {len(files)} .safetensors "
            "files; it takes vitpose, and one at least"
        )
    transformers = import_extra("transformers")
    try:
        model = transformers.VitPoseForPoseEstimation.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        )
    except Exception as error:
        raise ValueError(
            f"teacher {card.network} is no ViTPose that transformers reads: {one_line(str(error))}"
        ) from error
    backbone = model.config.backbone_config
    height, width = backbone.image_size
    card = replace(
        card,
        input_size=card.input_size or (width, height),
        joints=card.joints or _labels(model.config.id2label),
        affine=card.affine or "udp",
    )
    if card.input_size != (width, height):
        raise ValueError(
            f"teacher {card.network} takes images of {[width, height]}, input_size is "
            f"{shown(card.input_size)}"
        )
    model = model.eval().requires_grad_(False).to(device)
    plus = backbone.num_experts > 1

    def maps(images: Tensor) -> Tensor:
        # ViTPose+ has an expert for each of its data sets; COCO's is the first.
        expert = torch.zeros(len(images), dtype=torch.long, device=images.device)
        answer: Tensor = model(images, dataset_index=expert if plus else None).heatmaps
        return answer

    digest = files_digest([folder / "config.json", *files])
    return Opened(card, _forward(card, maps, device), digest)


def _opened(card: TeacherCard, model: PoseModel, device: torch.device) -> Opened:
    path = Path(card.network)
    if card.input_size is None:
        raise no_input_size(card)
    try:
        model.check_input_size(card.input_size)
    except ValueError as error:
        raise ValueError(f"teacher network {path}: {error}") from error
    model = channels_last(model.requires_grad_(False).to(device))
    return Opened(card, _forward(card, model, device), file_digest(path))


def _forward(
    card: TeacherCard, network: Callable[[Tensor], Tensor], device: torch.device
) -> Forward:
    fixed = replace(card, layout="nchw")
    if card.kind != "heatmaps" or card.output_layout != "nchw":
        raise ValueError(f"teacher {card.network} is of torch; it gives heatmaps in nchw")

    def forward(crops: Crops) -> tuple[Tensor, ...]:
        return (network(normalised(crops, fixed, device)),)

    return forward


def _labels(names: dict[Any, str]) -> tuple[str, ...] | None:
    """Joint names from a configuration, which spells L_Eye; without names 17 joints are COCO's."""
    plain = [fields.plain(names[key]) for key in sorted(names, key=int)]
    if all(re.fullmatch(r"label_\d+", name) for name in plain):
        return load_skeleton("coco17").joints if len(plain) == 17 else None
    sides = {"l": "left", "r": "right"}
    words = [name.split("_") for name in plain]
    return tuple("_".join([sides.get(first, first), *rest]) for first, *rest in words)


def is_vitpose_folder(path: Path) -> bool:
    """Whether it is a folder as ``save_pretrained`` writes it."""
    return is_file(path / "config.json")
