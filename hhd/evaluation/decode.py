"""From maps to coordinates and back to the picture, with the flip test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

import hhd_kernels as hk
from hhd.data.affine import transform_points
from hhd.data.dataset import normalise_images, read_batches
from hhd.models.base import PoseModel
from hhd.models.files import ModelCard


@dataclass(frozen=True)
class Decoder:
    """How maps become coordinates, all of it from the model's card.

    The card's ``flip_test`` averages with the mirrored picture: the ``coordinates`` (integral
    networks: mmpose, HHD) or the ``heatmaps`` (HRNet).
    """

    card: ModelCard

    def decode(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates [B, K, 2] in heatmap pixels and confidence [B, K].

        Integral: soft-argmax and the mass around it. Heatmap: the peak refined by DARK, and its
        height.
        """
        if self.card.task == "integral":
            window = self.card.decode_window
            coords, confidence = hk.soft_argmax(maps, beta=self.card.beta, window=window)
            return coords, confidence
        kernel = dark_kernel(self.card.sigma)
        return hk.locate_teacher(maps, refine="dark", blur_kernel=kernel), maps.amax(
            dim=(2, 3)
        ).float()

    def __call__(self, model: PoseModel, images: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates [B, K, 2] in heatmap pixels and confidence [B, K] for normalised images."""
        maps = model(images)
        if self.card.flip_test == "none":
            return self.decode(maps)
        mirrored = model(images.flip(3))
        stride = model.stride
        order = self.card.skeleton.flip_order()
        if self.card.flip_test == "heatmaps":
            return self.decode((maps + flip_maps(mirrored, order, 1 - 1 / stride)) / 2)
        coords, confidence = self.decode(maps)
        mirrored_coords, mirrored_confidence = self.decode(mirrored)
        flipped = flip_coords(mirrored_coords, order, maps.shape[3], stride)
        return (coords + flipped) / 2, (confidence + mirrored_confidence[:, order]) / 2


def dark_kernel(sigma: float) -> int:
    """Taps of DARK's blur for ``sigma``, OpenCV's rule inverted: 11 for 2, 17 for 3 (mmpose)."""
    return 2 * max(1, round((sigma - 0.8) / 0.3 + 1)) + 1


def flip_coords(coords: Tensor, order: Sequence[int], width: int, stride: int) -> Tensor:
    """Coordinates read in the mirrored picture -> in the picture itself.

    The mirror takes input pixel X to W_in - 1 - X; with x = X / stride that is x -> width -
    1/stride - x. mmpose writes it 1 - x - 1/W_in on unit coordinates (``flip_coordinates`` with
    ``shift_coords``).
    """
    swapped = coords[:, list(order)]
    return torch.stack([width - 1 / stride - swapped[..., 0], swapped[..., 1]], dim=-1)


def flip_maps(maps: Tensor, order: Sequence[int], shift: float) -> Tensor:
    """Maps of the mirrored picture -> of the picture: mirrored, swapped, ``shift`` cells right.

    The mirrored grid is 1 - 1/stride cells off (see :func:`flip_coords`). HRNet and mmpose move by
    a whole cell (``shift_heatmap``), which is .25 off at their stride of 4; here the fraction is
    interpolated.
    """
    back = maps.flip(3)[:, list(order)]
    moved = torch.cat([back[..., :1], back[..., :-1]], dim=3)
    return (1 - shift) * back + shift * moved


class Predictions(NamedTuple):
    """Coordinates [N, K, 2] in image pixels and confidence [N, K], in the dataset's order."""

    coords: NDArray[np.float64]
    confidence: NDArray[np.float64]


@torch.inference_mode()
def predict(
    model: PoseModel, decoder: Decoder, loader: DataLoader[Any], device: torch.device
) -> Predictions:
    """Run a network over the data and take its coordinates back to the pictures."""
    was_training = model.training
    model.eval()
    points, scores = [], []
    for batch in read_batches(loader):
        images = normalise_images(batch["image"].to(device)).contiguous(
            memory_format=torch.channels_last
        )
        coords, confidence = decoder(model, images)
        input_coords = coords.double().cpu().numpy() * model.stride
        points.append(transform_points(input_coords, batch["to_image"].numpy()[:, None]))
        scores.append(confidence.double().cpu().numpy())
    model.train(was_training)
    return Predictions(np.concatenate(points), np.concatenate(scores))
