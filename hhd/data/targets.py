"""Heatmaps from joint coordinates, made on the device of the step."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_maps(
    coords: Tensor, weight: Tensor, size: tuple[int, int], sigma: float, *, unbiased: bool = False
) -> tuple[Tensor, Tensor]:
    """Maps [B, K, H, W] with peak 1 at ``coords`` [B, K, 2] (heatmap pixels), and weights [B, K].

    MSRA (HRNet ``generate_target``, mmpose ``generate_gaussian_heatmaps``): the centre is rounded
    to int(x + .5), the Gaussian ends 3 sigma away, and a joint whose window misses the map loses
    its weight. ``unbiased`` keeps the fraction of the centre and draws the Gaussian over the whole
    map (DARK). ``size`` = (width, height).
    """
    width, height = size
    center = coords.float()
    radius = int(3 * sigma)
    if not unbiased:
        center = torch.trunc(center + 0.5)
    limits = torch.tensor([width, height], device=coords.device)
    # HRNet tests an exclusive end, so a window just above or left of the map still counts.
    meets = ((center - radius < limits) & (center + radius + 1 >= 0)).all(dim=-1)
    weight = weight * meets
    rows = _profile(center[..., 1], height, sigma, None if unbiased else radius)
    columns = _profile(center[..., 0], width, sigma, None if unbiased else radius)
    maps = rows.unsqueeze(-1) * columns.unsqueeze(-2)
    return maps * (weight > 0)[..., None, None], weight


def _profile(center: Tensor, length: int, sigma: float, radius: int | None) -> Tensor:
    distance = torch.arange(length, device=center.device) - center.unsqueeze(-1)
    profile = torch.exp(distance.square() / (-2 * sigma * sigma))
    return profile if radius is None else profile * (distance.abs() <= radius)
