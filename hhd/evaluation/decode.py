"""From maps to coordinates and back to the picture, with the flip test.

How a heatmap is read, the card's ``heatmap_decode``:

=============  =====================================================================================
plain          the peak, lowest index on ties
quarter        moved .25 towards the higher neighbour, each axis by itself (mmpose
               ``refine_keypoints``: 1 < x < W - 1 and y > 0)
quarter_hrnet  the same only where 1 < x < W - 1 *and* 1 < y < H - 1 (HRNet ``get_final_preds``)
dark           one Newton step on the log of the blurred map (DARK; mmpose ``unbiased=True``)
dark_udp       the same with UDP's stencil, clips and unblurred border, for ``affine: udp``
=============  =====================================================================================

A map without a positive value has its peak at (-1, -1) in mmpose and (0, 0) in HRNet; here it is
wherever the argmax is, and its confidence says that it is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

import hhd_kernels as hk
from hhd.data.affine import cells_per_pixel, transform_points
from hhd.data.dataset import normalise_images
from hhd.data.loading import read_batches
from hhd.models.base import PoseModel
from hhd.models.files import ModelCard
from hhd.teach.grid import flip_maps


@dataclass(frozen=True)
class Decoder:
    """How maps become coordinates, all of it from the model's card.

    The card's ``flip_test`` averages with the mirrored picture: the ``coordinates`` (integral
    networks: mmpose, HHD) or the ``heatmaps`` (HRNet); its ``flip_shift`` says how far mirrored
    heatmaps are moved, see :func:`hhd.teach.grid.flip_maps`.
    """

    card: ModelCard

    def decode(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates [B, K, 2] in heatmap pixels and confidence [B, K].

        Integral: soft-argmax and, as confidence, the mass around it; or, as in mmpose and HHD,
        a ``constant`` 1, which costs AP because every person then scores as its box does. Heatmap:
        the peak and its height.
        """
        card = self.card
        if card.task == "integral":
            window = card.decode_window
            coords, confidence = hk.soft_argmax(maps, beta=card.beta, window=window)
            if card.confidence == "constant":
                confidence = torch.ones_like(confidence)
            return coords, confidence
        height = maps.amax(dim=(2, 3)).float()
        if card.heatmap_decode == "plain":
            return hk.locate_teacher(maps), height
        if card.heatmap_decode in ("quarter", "quarter_hrnet"):
            return quarter_offset(maps, both_axes=card.heatmap_decode == "quarter_hrnet"), height
        kernel = dark_kernel(card.sigma)
        if card.heatmap_decode == "dark_udp":
            return dark_udp(maps, kernel), height
        return hk.locate_teacher(maps, refine="dark", blur_kernel=kernel), height

    def __call__(self, model: PoseModel, images: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates [B, K, 2] in heatmap pixels and confidence [B, K] for normalised images."""
        mirrored = None if self.card.flip_test == "none" else model(images.flip(3))
        return self.combine(model(images), mirrored, images, model.stride)

    def combine(
        self, maps: Tensor, mirrored: Tensor | None, images: Tensor, stride: int
    ) -> tuple[Tensor, Tensor]:
        """What :meth:`__call__` makes of the maps of ``images`` and of the mirrored ones."""
        card = self.card
        if mirrored is None or card.flip_test == "none":
            return self.decode(maps)
        order = card.skeleton.flip_order()
        # The mirror takes input pixel X to W_in - 1 - X, so heatmap pixel x to `last` - x.
        last = (images.shape[3] - 1) * float(self.cells_per_pixel(images, stride)[0])
        if card.flip_test == "heatmaps":
            exact = last - (maps.shape[3] - 1)
            shift = {"exact": exact, "cell": 1.0, "none": 0.0}[card.flip_shift]
            return self.decode((maps + flip_maps(mirrored, order, shift)) / 2)
        coords, confidence = self.decode(maps)
        mirrored_coords, mirrored_confidence = self.decode(mirrored)
        flipped = flip_coords(mirrored_coords, order, last)
        return (coords + flipped) / 2, (confidence + mirrored_confidence[:, order]) / 2

    def cells_per_pixel(self, images: Tensor, stride: int) -> NDArray[np.float64]:
        """Factors [2] from input pixels to heatmap pixels."""
        height, width = images.shape[2:]
        heatmap_size = width // stride, height // stride
        return cells_per_pixel((width, height), heatmap_size, self.card.affine)


def dark_kernel(sigma: float) -> int:
    """Taps of DARK's blur for ``sigma``, OpenCV's rule inverted: 11 for 2, 17 for 3 (mmpose)."""
    return 2 * max(1, round((sigma - 0.8) / 0.3 + 1)) + 1


def quarter_offset(maps: Tensor, *, both_axes: bool = False) -> Tensor:
    """The peaks [B, K, 2] moved .25 towards the higher neighbour, see the module's table."""
    height, width = maps.shape[2:]
    peak = hk.locate_teacher(maps)
    x, y = peak[..., 0].long(), peak[..., 1].long()

    def at(dx: int, dy: int) -> Tensor:
        index = (y + dy).clamp(0, height - 1) * width + (x + dx).clamp(0, width - 1)
        return maps.flatten(2).gather(2, index[..., None]).squeeze(-1)

    along_x, along_y = (x > 1) & (x < width - 1), (y > 1) & (y < height - 1)
    if both_axes:
        along_x = along_y = along_x & along_y
    else:
        along_x, along_y = along_x & (y > 0), along_y & (x > 0)
    dx = (at(1, 0) - at(-1, 0)).sign() * along_x
    dy = (at(0, 1) - at(0, -1)).sign() * along_y
    return peak + 0.25 * torch.stack([dx, dy], dim=-1).to(peak)


def blur_maps(maps: Tensor, kernel: int) -> Tensor:
    """Gaussian blur of ``kernel`` taps with zeros outside, rescaled to each map's own maximum
    (mmpose ``gaussian_blur``; sigma = 0.3 ((k - 1) / 2 - 1) + 0.8, OpenCV's rule)."""
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    offset = torch.arange(kernel, dtype=maps.dtype, device=maps.device) - (kernel - 1) / 2
    taps = torch.exp(offset.square() / (-2 * sigma**2))
    taps = taps / taps.sum()
    planes = maps.reshape(-1, 1, *maps.shape[2:])
    planes = F.conv2d(planes, taps.view(1, 1, 1, -1), padding=(0, kernel // 2))
    blurred = F.conv2d(planes, taps.view(1, 1, -1, 1), padding=(kernel // 2, 0)).view(maps.shape)
    return blurred * (maps.amax((2, 3)) / blurred.amax((2, 3)))[..., None, None]


def dark_udp(maps: Tensor, kernel: int) -> Tensor:
    """DARK as UDP has it, [B, K, 2]: every peak is refined, at the border on repeated values.

    mmpose ``refine_keypoints_dark_udp``: values between .001 and 50, differences of direct
    neighbours, eps added to the Hessian. A map whose step is not finite keeps its peak. Refined
    coordinates are clamped to the map; mmpose lets them leave, far from flat maps.
    """
    maps = maps.float()
    width = maps.shape[3]
    peak = hk.locate_teacher(maps)
    logs = F.pad(blur_maps(maps, kernel).clamp(1e-3, 50.0).log(), (1, 1, 1, 1), mode="replicate")
    column, row = peak.long().unbind(-1)

    def at(dx: int, dy: int) -> Tensor:
        index = (row + 1 + dy) * (width + 2) + column + 1 + dx
        return logs.flatten(2).gather(2, index[..., None]).squeeze(-1)

    middle, right, left, below, above = at(0, 0), at(1, 0), at(-1, 0), at(0, 1), at(0, -1)
    eps = torch.finfo(torch.float32).eps
    gx, gy = (right - left) / 2, (below - above) / 2
    xx, yy = right - 2 * middle + left + eps, below - 2 * middle + above + eps
    xy = (at(1, 1) - right - below + 2 * middle - left - above + at(-1, -1)) / 2
    step = (
        torch.stack([yy * gx - xy * gy, xx * gy - xy * gx], dim=-1) / (xx * yy - xy * xy)[..., None]
    )
    refined = peak - torch.where(step.isfinite().all(-1, keepdim=True), step, 0)
    return _onto_map(refined, maps)


def decode_combined(
    maps: Tensor, kernel: int, radius_factor: float = 0.0546875
) -> tuple[Tensor, Tensor]:
    """Coordinates [B, K, 2] and confidence [B, K] of UDP's combined maps [B, 3 K, H, W].

    The disks are blurred with 2 ``kernel`` + 1 taps; their peak says which cell's offsets count
    (mmpose ``UDPHeatmap.decode``). Unlike :func:`blur_maps`, mmpose mirrors here at the border
    (OpenCV's default) and does not rescale; and its coordinates may leave the map.
    """
    batch, channels, height, width = maps.shape
    parts = maps.float().view(batch, channels // 3, 3, height, width)
    taps = 2 * kernel + 1
    sigma = 0.3 * ((taps - 1) * 0.5 - 1) + 0.8
    offset = torch.arange(taps, device=maps.device) - (taps - 1) / 2
    weights = torch.exp(offset.square() / (-2 * sigma**2))
    weights = weights / weights.sum()
    planes = F.pad(parts[:, :, 0].reshape(-1, 1, height, width), (kernel,) * 4, mode="reflect")
    planes = F.conv2d(planes, weights.view(1, 1, 1, -1))
    disks = F.conv2d(planes, weights.view(1, 1, -1, 1)).view(batch, -1, height, width)
    peak = hk.locate_teacher(disks)
    index = (peak[..., 1] * width + peak[..., 0]).long()[..., None]
    offsets = [parts[:, :, axis].flatten(2).gather(2, index).squeeze(-1) for axis in (1, 2)]
    radius = radius_factor * max(width, height)
    refined = peak + radius * torch.stack(offsets, dim=-1)
    return _onto_map(refined, disks), disks.amax(dim=(2, 3))


def _onto_map(coords: Tensor, maps: Tensor) -> Tensor:
    last = coords.new_tensor([maps.shape[3] - 1, maps.shape[2] - 1])
    return coords.clamp(torch.zeros_like(last), last)


def flip_coords(coords: Tensor, order: Sequence[int], last: float) -> Tensor:
    """Coordinates read in the mirrored picture -> in the picture itself: x -> ``last`` - x.

    ``last`` is where the input's last column lies, in heatmap pixels: W - 1/stride, or W - 1 under
    UDP. mmpose writes it 1 - x - 1/W_in on unit coordinates (``flip_coordinates`` with
    ``shift_coords``).
    """
    swapped = coords[:, list(order)]
    return torch.stack([last - swapped[..., 0], swapped[..., 1]], dim=-1)


class Predictions(NamedTuple):
    """Coordinates [N, K, 2] in image pixels, confidence [N, K] and the crops' sizes [N, 2] in image
    pixels, in the dataset's order."""

    coords: NDArray[np.float64]
    confidence: NDArray[np.float64]
    sizes: NDArray[np.float64]


@torch.inference_mode()
def predict(
    model: PoseModel,
    decoder: Decoder,
    loader: DataLoader[Any],
    device: torch.device,
    check: Callable[[], object] = lambda: None,
) -> Predictions:
    """Run a network over the data and take its coordinates back to the pictures.

    ``check`` is called before each batch, and may raise to break it off.
    """
    was_training = model.training
    model.eval()
    points, scores, sizes = [], [], []
    for batch in read_batches(loader):
        check()
        images = normalise_images(batch["image"].to(device)).contiguous(
            memory_format=torch.channels_last
        )
        coords, confidence = decoder(model, images)
        input_coords = coords.double().cpu().numpy() / decoder.cells_per_pixel(images, model.stride)
        points.append(transform_points(input_coords, batch["to_image"].numpy()[:, None]))
        scores.append(confidence.double().cpu().numpy())
        sizes.append(batch["size"].numpy())
    model.train(was_training)
    return Predictions(np.concatenate(points), np.concatenate(scores), np.concatenate(sizes))
