"""Teachers of the training step: each gives maps [B, K, H, W] on the student's grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from hhd.data.affine import Affine
from hhd.data.skeleton import Skeleton
from hhd.data.targets import gaussian_maps
from hhd.models.base import PoseModel, channels_last
from hhd.models.build import build_model
from hhd.models.checkpoints import load_weights, read_weights
from hhd.models.files import load_model
from hhd.teach.grid import resample_maps
from hhd.teach.maps import check_joint_map

Batch = dict[str, Tensor]
# From the batch (on the device) and its normalised images to maps.
Teacher = Callable[[Batch, Tensor], Tensor]


def stored_teacher(batch: Batch, _images: Tensor) -> Tensor:
    """The maps that the data loader read from the disk."""
    return batch["teacher_maps"]


def label_teacher(size: tuple[int, int], sigma: float) -> Teacher:
    """Gaussians at the labels, sub-pixel: what distillation is worth without a teacher."""

    def maps(batch: Batch, _images: Tensor) -> Tensor:
        return gaussian_maps(batch["coords"], batch["weight"], size, sigma, "dark")[0]

    return maps


def model_teacher(
    path: Path,
    skeleton: Skeleton,
    *,
    input_size: tuple[int, int],
    size: tuple[int, int],
    joint_map: Sequence[int] | None,
    device: torch.device,
    affine: Affine = "standard",
    network: str | None = None,
) -> Teacher:
    """A heatmap network, frozen, in eval mode; it sees the student's augmented images.

    A model file of ours says what it was trained for; another's checkpoint does not, so ``network``
    names it, and it is taken to be trained for the same input and, without ``joint_map``, joints.
    """
    if network is None:
        model = _model_of_ours(path, skeleton, input_size, affine, joint_map is not None)
    else:
        weights = read_weights(path)
        if weights.integral:
            raise weights.refuse("is an integral network; a teacher gives heatmaps")
        model = build_model(network, weights.joints).eval()
        load_weights(model, weights, network)
    channels = check_joint_map(joint_map, model.last_convolution().out_channels, skeleton)
    model = model.requires_grad_(False).to(device)
    channels_last(model)
    known = torch.tensor([channel >= 0 for channel in channels], device=device)
    order = torch.tensor(channels, device=device).clamp(min=0)

    @torch.no_grad()
    def maps(_batch: Batch, images: Tensor) -> Tensor:
        taught = model(images)[:, order] * known.view(1, -1, 1, 1)
        if affine == "udp":
            if (taught.shape[3], taught.shape[2]) != size:
                raise ValueError(f"teacher {path} gives maps of another size than {size} under udp")
            return taught
        return resample_maps(taught, size, input_size, "stride")

    return maps


def _model_of_ours(
    path: Path, skeleton: Skeleton, input_size: tuple[int, int], affine: Affine, mapped: bool
) -> PoseModel:
    model, card = load_model(path)
    if card.task != "heatmap":
        raise ValueError(f"teacher {path} has task {card.task}; a teacher gives heatmaps")
    if card.input_size != input_size:
        raise ValueError(
            f"teacher {path} takes images of {card.input_size}, input_size is {input_size}"
        )
    if card.affine != affine:
        raise ValueError(
            f"teacher {path} was trained with affine {card.affine}, affine is {affine}"
        )
    if not mapped and card.skeleton.joints != skeleton.joints:
        raise ValueError(f"teacher {path} knows {card.skeleton.joints}: give teacher_joint_map")
    return model
