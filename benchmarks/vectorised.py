"""The joint loss as an expert writes it without kernels: whole tensors, two gathers, no loop.

What the fused ops are compared with; the package's own reference is written to be read.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

TINY, EPS = torch.finfo(torch.float32).tiny, 1e-6
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Logits and teacher's maps [B, K, H, W], coordinates [B, K, 2], weights [B, K] -> a scalar."""


class Window(NamedTuple):
    """Where a window's cells lie in flat maps [B, K, side^2]; which of them are in the map, and
    which there are, some as the mirror images of others."""

    index: Tensor
    inside: Tensor
    present: Tensor


def kl(
    logits: Tensor, teacher: Tensor, coords: Tensor, weight: Tensor, beta: float = 10.0
) -> Tensor:
    """The preset "kl": L1 of the expectation in units of 2, KL of 7x7 windows and a rest bin."""
    height, width = logits.shape[2:]
    log_p = (beta * logits.float()).flatten(2).log_softmax(-1)
    p = log_p.exp()
    found = expectation(p, height, width)
    coordinates = weighted_mean(((found - coords) / 2).abs().mean(-1), weight)
    positive = teacher.float().flatten(2).clamp_min(0)
    q = positive / positive.sum(-1, keepdim=True).clamp_min(EPS)
    window = window_at(peak(teacher), height, width, 7)
    taught = q.gather(2, window.index)
    log_learnt = log_p.gather(2, window.index)
    learnt = log_learnt.exp()
    taught_rest = (q.sum(-1) - (taught * window.inside).sum(-1)).clamp_min(0)
    learnt_rest = (1 - (learnt * window.inside).sum(-1)).clamp_min(TINY)
    taught, learnt = taught * window.present, learnt * window.present
    taught_sum = taught.sum(-1) + taught_rest
    learnt_sum = learnt.sum(-1) + learnt_rest
    share, rest = taught / taught_sum[..., None], taught_rest / taught_sum
    cells = torch.special.xlogy(share, share) - share * (log_learnt - learnt_sum.log()[..., None])
    bins = torch.special.xlogy(rest, rest) - rest * (learnt_rest.log() - learnt_sum.log())
    return coordinates + weighted_mean(cells.sum(-1) + bins, weight)


def published(
    logits: Tensor, teacher: Tensor, coords: Tensor, weight: Tensor, beta: float = 10.0
) -> Tensor:
    """The preset "published": SmoothL1 on x / W, y / H; squares of 8x8 windows of maps by L2."""
    height, width = logits.shape[2:]
    flat = logits.float().flatten(2)
    found = expectation((beta * flat).softmax(-1), height, width)
    size = torch.tensor([width, height], dtype=flat.dtype, device=flat.device)
    distance = F.smooth_l1_loss(found / size, coords / size, reduction="none").mean(-1)
    taught = F.normalize(teacher.float().flatten(2), dim=-1, eps=EPS)
    learnt = F.normalize(flat, dim=-1, eps=EPS)
    center = peak(teacher)
    theirs = window_at(center, height, width, 8)
    ours = window_at(shifted(flat, center, height, width), height, width, 8)
    difference = learnt.gather(2, ours.index) * ours.present
    difference = difference - taught.gather(2, theirs.index) * theirs.present
    squares = (weight * difference.square().sum(-1)).sum() / len(logits)
    return weighted_mean(distance, weight) + 0.5 * squares


def expectation(p: Tensor, height: int, width: int) -> Tensor:
    """(x, y) of distributions [B, K, H * W]."""
    maps = p.unflatten(-1, (height, width))
    x = maps.sum(2) @ torch.arange(width, dtype=p.dtype, device=p.device)
    y = maps.sum(3) @ torch.arange(height, dtype=p.dtype, device=p.device)
    return torch.stack([x, y], -1)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (weight * values).sum() / weight.sum()


def peak(maps: Tensor) -> Tensor:
    """(x, y) of the largest value, [B, K, 2], whole."""
    index = maps.flatten(2).argmax(-1)
    return torch.stack([index % maps.shape[3], index // maps.shape[3]], -1)


def shifted(flat: Tensor, center: Tensor, height: int, width: int) -> Tensor:
    """The official code's shift of the student's window."""
    count = flat.detach().exp().sum(-1, keepdim=True)
    moved = (count / (count - 1) * (center - 1 / (2 * count))).trunc().long()
    usable = (count > 1) & count.isfinite()
    limit = torch.tensor([width, height], device=flat.device) + 8
    return torch.where(usable, moved.clamp_min(-8).minimum(limit), center)


def window_at(center: Tensor, height: int, width: int, side: int) -> Window:
    """The cells of windows of ``side`` around whole centres [B, K, 2]."""
    steps = torch.arange(side, device=center.device) - side // 2
    mirrored = side - 1 - torch.arange(side, device=center.device) - side // 2
    places, inside, present = [], [], []
    for axis, length in ((1, height), (0, width)):
        own, other = center[..., axis, None] + steps, center[..., axis, None] + mirrored
        here = (own >= 0) & (own < length)
        there = (other >= 0) & (other < length)
        places.append(torch.where(here, own, other).clamp(0, length - 1))
        inside.append(here)
        present.append(here | there)
    index = places[0][..., :, None] * width + places[1][..., None, :]
    return Window(index.flatten(2), _both(inside), _both(present))


def _both(flags: list[Tensor]) -> Tensor:
    return (flags[0][..., :, None] & flags[1][..., None, :]).flatten(2)
