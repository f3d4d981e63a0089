"""Which input pixel a heatmap cell stands for, by convention, and the change between grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from hhd.data.affine import Array

GridConvention = Literal["stride", "half_pixel", "align_corners"]


class Axis(NamedTuple):
    """Input pixel = ``scale`` * cell + ``offset``."""

    scale: float
    offset: float


def grid_axis(cells: int, pixels: int, convention: GridConvention) -> Axis:
    """One axis of a map with ``cells`` cells over an input of ``pixels`` pixels.

    ``stride``: cell i at pixel i * stride (MSRA targets of HRNet and mmpose, DSNT heads of mmpose).
    ``half_pixel``: cells tile the input (``align_corners=False``; dsntnn). ``align_corners``: first
    and last cells on first and last pixels (UDP).
    """
    if convention == "align_corners":
        return Axis((pixels - 1) / max(cells - 1, 1), 0.0)
    scale = pixels / cells
    return Axis(scale, 0.0 if convention == "stride" else (scale - 1) / 2)


def cells_to_input(
    map_size: tuple[int, int], input_size: tuple[int, int], convention: GridConvention
) -> Array:
    """The [2, 3] matrix from a map's cells to input pixels, (width, height) sizes."""
    x, y = (
        grid_axis(cells, pixels, convention)
        for cells, pixels in zip(map_size, input_size, strict=True)
    )
    return np.array([[x.scale, 0.0, x.offset], [0.0, y.scale, y.offset]])


def mirror_shift(cells: int, pixels: int, convention: GridConvention) -> float:
    """Cells by which maps of the mirrored picture lie too far left once they are mirrored back.

    The mirror takes input pixel X to pixels - 1 - X, so cell x to (pixels - 1 - 2 offset) / scale -
    x, and mirrored maps have it at cells - 1 - x.
    """
    axis = grid_axis(cells, pixels, convention)
    return (pixels - 1 - 2 * axis.offset) / axis.scale - (cells - 1)


def flip_maps(maps: Tensor, order: Sequence[int], shift: float) -> Tensor:
    """Maps of the mirrored picture -> of the picture: mirrored, swapped, ``shift`` cells right.

    ``order``: the skeleton's ``flip_order``. The mirrored grid is :func:`mirror_shift` off, 1 -
    1/stride on the stride grid, and that fraction is interpolated. HRNet and mmpose move by a whole
    cell (``shift_heatmap``), which is .25 off at their stride of 4.
    """
    back = maps.flip(3)[:, list(order)]
    moved = torch.cat([back[..., :1], back[..., :-1]], dim=3)
    return (1 - shift) * back + shift * moved


def resample_maps(
    maps: Tensor, size: tuple[int, int], input_size: tuple[int, int], convention: GridConvention
) -> Tensor:
    """Maps [B, K, h, w] of a ``convention`` -> [B, K, H, W] on the stride grid, ``size`` = (W, H).

    Linear interpolation; cells past the last one repeat it. The same grid gives the same tensor.
    """
    if convention == "stride" and (maps.shape[3], maps.shape[2]) == size:
        return maps
    columns = _interpolation(maps.shape[3], size[0], input_size[0], convention).to(maps)
    rows = _interpolation(maps.shape[2], size[1], input_size[1], convention).to(maps)
    return rows @ maps @ columns.T


def _interpolation(cells: int, wanted: int, pixels: int, convention: GridConvention) -> Tensor:
    source = grid_axis(cells, pixels, convention)
    target = grid_axis(wanted, pixels, "stride")
    position = (torch.arange(wanted) * target.scale + target.offset - source.offset) / source.scale
    position = position.clamp(0, cells - 1)
    return (1 - (position.unsqueeze(1) - torch.arange(cells)).abs()).clamp(min=0)
