"""Training targets from joint coordinates, made on the device of the step.

Coordinates are heatmap pixels: of :func:`hhd.data.affine.cells_per_pixel`, standard for "msra" and
"dark", udp for "udp" and :func:`combined_maps`.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Target = Literal["msra", "dark", "udp"]
# mmpose's UDPHeatmap(radius_factor): 3.5 cells on a map of 64.
RADIUS_FACTOR = 0.0546875


def gaussian_maps(
    coords: Tensor, weight: Tensor, size: tuple[int, int], sigma: float, kind: Target = "msra"
) -> tuple[Tensor, Tensor]:
    """Maps [B, K, H, W] with peak 1 at ``coords`` [B, K, 2] (heatmap pixels), and weights [B, K].

    msra (HRNet ``generate_target``, mmpose ``generate_gaussian_heatmaps``): the centre is rounded
    to int(x + .5), the Gaussian ends 3 sigma away, and a joint whose window misses the map loses
    its weight. Where 3 sigma is not whole, as for 1.5, it ends floor(3 sigma) about the centre;
    upstream truncates the window's corner there and can draw it one pixel off. dark
    (``unbiased=True``) keeps the fraction of the centre and draws the Gaussian over the whole map.
    udp keeps the fraction, and the window around the rounded centre. ``size`` = (width, height).
    """
    width, height = size
    center = coords.float()
    radius = int(3 * sigma)
    middle = center if kind == "dark" else torch.trunc(center + 0.5)
    limits = torch.tensor([width, height], device=coords.device)
    # HRNet tests an exclusive end, so a window just above or left of the map still counts.
    meets = ((middle - radius < limits) & (middle + radius + 1 >= 0)).all(dim=-1)
    weight = weight * meets
    if kind == "msra":
        center = middle
    reach = None if kind == "dark" else radius
    rows = _profile(center[..., 1], middle[..., 1], height, sigma, reach)
    columns = _profile(center[..., 0], middle[..., 0], width, sigma, reach)
    maps = rows.unsqueeze(-1) * columns.unsqueeze(-2)
    return maps * (weight > 0)[..., None, None], weight


def _profile(
    center: Tensor, middle: Tensor, length: int, sigma: float, reach: int | None
) -> Tensor:
    cells = torch.arange(length, device=center.device)
    profile = torch.exp((cells - center.unsqueeze(-1)).square() / (-2 * sigma * sigma))
    if reach is None:
        return profile
    return profile * ((cells - middle.unsqueeze(-1)).abs() <= reach)


def combined_maps(
    coords: Tensor, weight: Tensor, size: tuple[int, int], radius_factor: float = RADIUS_FACTOR
) -> Tensor:
    """UDP's combined target [B, 3 K, H, W]: for each joint a disk, and the way to it in radii.

    Channel 3 k is 1 within ``radius_factor`` * max(W, H) cells of joint k, 3 k + 1 and 3 k + 2 are
    (x_k - i, y_k - j) / radius everywhere; zeros where the weight is 0 (mmpose
    ``generate_offset_heatmap``).
    """
    width, height = size
    radius = radius_factor * max(size)
    center = coords.float()[..., None, None, :]
    x = (center[..., 0] - torch.arange(width, device=coords.device)) / radius
    y = (center[..., 1] - torch.arange(height, device=coords.device)[:, None]) / radius
    x, y = x.expand(*x.shape[:2], height, width), y.expand(*y.shape[:2], height, width)
    disk = (x.square() + y.square() <= 1).to(x.dtype)
    maps = torch.stack([disk, x, y], dim=2) * (weight > 0)[..., None, None, None]
    return maps.flatten(1, 2)


def integral_targets(
    coords: Tensor, weight: Tensor, size: tuple[int, int], sigma: float, kind: Target = "msra"
) -> tuple[Tensor, Tensor]:
    """Unit coordinates x / W, y / H [B, K, 2] and maps [B, K, H, W] that sum to 1, for DSNT losses.

    mmpose ``IntegralRegressionLabel``: the maps of :func:`gaussian_maps` over their sum, which is 0
    for a joint that is not drawn. ``coords`` in heatmap pixels of stride W_in / W.
    """
    maps, _ = gaussian_maps(coords, weight, size, sigma, kind)
    unit = coords / torch.tensor(size, device=coords.device, dtype=coords.dtype)
    total = maps.sum(dim=(2, 3), keepdim=True)
    return unit, maps / total.clamp_min(torch.finfo(maps.dtype).tiny)
