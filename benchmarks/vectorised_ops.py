"""Single ops as an expert writes them without kernels: whole tensors, one gather, no loop.

What the ops are compared with, as the joint loss is with `vectorised.py`. Maps are [B, K, H, W].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.vectorised import EPS, expectation, window_at

BOX = 5
"""Side of the box whose mass is the confidence of `soft_argmax`."""


def crop(maps: Tensor, centers: Tensor, side: int = 7) -> Tensor:
    """Windows [B, K, side, side] around the pixels that hold centres [B, K, 2]; mirrored border."""
    height, width = maps.shape[2:]
    window = window_at(pixels(centers), height, width, side)
    cells = maps.flatten(2).gather(2, window.index) * window.present
    return cells.unflatten(2, (side, side))


def l2(maps: Tensor) -> Tensor:
    """Maps by their norm."""
    return F.normalize(maps.flatten(2), dim=-1, eps=EPS).view_as(maps)


def softmax(maps: Tensor, beta: float = 10.0) -> Tensor:
    """softmax(beta X) over each map."""
    return (beta * maps.flatten(2)).softmax(-1).view_as(maps)


def soft_argmax(logits: Tensor, beta: float = 10.0) -> tuple[Tensor, Tensor]:
    """The expectation's (x, y), [B, K, 2], and the mass in the box around it, [B, K]."""
    height, width = logits.shape[2:]
    p = (beta * logits.flatten(2)).softmax(-1)
    coords = expectation(p, height, width)
    box = window_at(pixels(coords.detach()), height, width, BOX)
    return coords, (p.detach().gather(2, box.index) * box.inside).sum(-1)


def teacher_targets(maps: Tensor, side: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    """Peaks [B, K, 2], their windows of relu(T) / sum relu(T) [B, K, side, side], maxima [B, K]."""
    height, width = maps.shape[2:]
    flat = maps.flatten(2)
    confidence, index = flat.max(-1)
    centers = torch.stack([index % width, index // width], -1)
    window = window_at(centers, height, width, side)
    # Only the window is divided: no map of shares is written.
    total = flat.clamp_min(0).sum(-1, keepdim=True).clamp_min(EPS)
    cells = flat.gather(2, window.index).clamp_min(0) * window.present / total
    return centers.to(maps.dtype), cells.unflatten(2, (side, side)), confidence


def pixels(coords: Tensor) -> Tensor:
    """The pixel that holds each coordinate."""
    return (coords + 0.5).floor().long()
