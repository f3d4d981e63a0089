"""Teacher maps kept so that one look serves every augmented view of a person.

Of each joint's map a patch around its peak is kept, with the matrix that took the picture to the
map. In a view that training draws later, the peak goes where the view's own matrix takes it, and
the patch is turned and mirrored with the view. It is not enlarged with it: a network's answer is as
wide in a close view as in a far one, and so are these.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

import hhd_kernels as hk
from hhd.data.affine import Array, compose, invert, transform_points
from hhd_kernels.crop import place
from hhd_kernels.options import Normalize
from hhd_kernels.teacher_targets import TargetOptions

PATCH = 19
# Where a Gaussian is above half its peak has this area, in units of sigma^2.
HALF_PEAK_AREA = 2 * np.log(2) * np.pi


def canonical_records(
    maps: Tensor, to_cells: Array, *, patch: int = PATCH, floor: float = 0.0
) -> dict[str, NDArray[Any]]:
    """Maps [N, K, h, w], from 0 up, of pictures taken by ``to_cells`` [N, 2, 3] -> records.

    Values below ``floor`` of their map's peak count as 0. A record holds ``to_cells``; the
    sub-pixel ``centers`` [K, 2] in cells; ``peaks`` [K]; of the map over its peak, ``masses`` and
    ``energies`` [K] (sum, and sum of squares); and ``patches`` [K, patch, patch], uint8, the square
    root of that map times 255 around the rounded centre.
    """
    maps = maps.float()
    peaks = maps.amax(dim=(2, 3))
    unit = maps / peaks.clamp_min(torch.finfo(maps.dtype).tiny)[..., None, None]
    unit = unit * (unit >= floor)
    centers = hk.locate_teacher(maps, refine="dark")
    # Padded, so that a patch is 0 beyond the map.
    reach = patch // 2
    padded = F.pad(unit, (reach, reach, reach, reach))
    windows = hk.crop(padded, (centers + 0.5).floor() + reach, window=(patch, patch))
    return {
        "to_cells": np.asarray(to_cells, dtype=np.float64),
        "centers": centers.numpy(),
        "peaks": peaks.numpy(),
        "masses": unit.sum(dim=(2, 3)).numpy(),
        "energies": unit.square().sum(dim=(2, 3)).numpy(),
        "patches": windows.clamp(0, 1).sqrt().mul(255).round().byte().numpy(),
    }


def mean_width(records: dict[str, NDArray[Any]], confident: float) -> tuple[float, int]:
    """Over the joints of at least ``confident``, the sum of their maps' widths in cells, and their
    number; a width is the sigma of the Gaussian with as many cells above half its peak."""
    chosen = records["peaks"] >= max(confident, np.finfo(np.float32).tiny)
    high = (records["patches"].astype(np.float32) / 255) ** 2 >= 0.5
    area = high.sum(axis=(2, 3))[chosen]
    return float(np.sqrt(area / HALF_PEAK_AREA).sum()), int(chosen.sum())


def view_of(
    record: dict[str, NDArray[Any]], to_view: Array, flip_order: list[int] | None
) -> dict[str, NDArray[Any]]:
    """One record as a batch item of a view; ``to_view`` [2, 3] takes picture pixels to the
    student's heatmap pixels, and in a mirrored view ``flip_order`` exchanges left and right."""
    between = compose(to_view, invert(record["to_cells"]))
    item = {name: value for name, value in record.items() if name not in ("to_cells", "centers")}
    item["centers"] = record["centers"]
    if flip_order is not None:
        item = {name: value[flip_order] for name, value in item.items()}
    centers = item["centers"].astype(np.float64)
    # From the patch's middle cell to the sub-pixel centre.
    item["offsets"] = (centers - np.floor(centers + 0.5)).astype(np.float32)
    item["centers"] = transform_points(centers, between).astype(np.float32)
    linear = between[:, :2]
    item["turn"] = (linear / np.sqrt(abs(np.linalg.det(linear)))).astype(np.float32)
    return item


class Stored(NamedTuple):
    """A batch of records in their views, see :func:`view_of`."""

    centers: Tensor
    offsets: Tensor
    turn: Tensor
    patches: Tensor
    peaks: Tensor
    masses: Tensor
    energies: Tensor


def targets_in_view(
    stored: Stored, size: tuple[int, int], options: TargetOptions, zoom: float
) -> hk.TeacherTargets:
    """What the loss needs of the teacher in these views, as :func:`hhd_kernels.teacher_targets` of
    its maps would give it.

    ``size`` = (W, H) of the student's maps; ``zoom``: the student's heatmap pixels per cell of the
    teacher. A joint whose centre lies off the map has confidence 0. What a teacher's map would lose
    past the view's border still counts in its mass.
    """
    columns, rows = size
    batch, joints = stored.peaks.shape
    last = stored.centers.new_tensor([columns - 1, rows - 1])
    rounded = (stored.centers + 0.5).floor()
    seen = ((rounded >= 0) & (rounded <= last)).all(dim=-1)
    centers = torch.minimum(rounded.clamp_min(0), last)
    grid = stored.centers.new_empty(()).expand(batch, joints, rows, columns)
    where = place(centers, (options.rows, options.columns), grid, options.sampling, options.border)
    y = where.rows.tap + where.rows.fraction
    x = where.columns.tap + where.columns.fraction
    # From the sub-pixel centre to each cell, in the view and then in the teacher's cells. A turn's
    # inverse is its transpose.
    dx = (x - stored.centers[..., :1])[..., None, :].expand(-1, -1, options.rows, -1)
    dy = (y - stored.centers[..., 1:])[..., :, None].expand(-1, -1, -1, options.columns)
    turn = (stored.turn / zoom)[:, None, None, None]
    across = turn[..., 0, 0] * dx + turn[..., 1, 0] * dy + stored.offsets[..., 0, None, None]
    down = turn[..., 0, 1] * dx + turn[..., 1, 1] * dy + stored.offsets[..., 1, None, None]
    values = _read(stored.patches, across, down)
    values = torch.where(where.filled & seen[..., None, None], values, 0)
    windows = values / _divisor(stored, options, zoom)[..., None, None]
    return hk.TeacherTargets(centers, windows, stored.peaks * seen)


def _read(patches: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Patches [B, K, P, P] at positions from their middle, bilinear, 0 outside."""
    side = patches.shape[-1]
    x, y = across + side // 2, down + side // 2
    left, top = x.floor(), y.floor()
    flat = patches.flatten(2)
    total = torch.zeros_like(x)
    for i in (0, 1):
        for j in (0, 1):
            column, row = left + i, top + j
            weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
            index = (row * side + column).long().clamp(0, side * side - 1)
            roots = flat.gather(2, index.flatten(2)).view(x.shape).to(x.dtype) / 255
            total += torch.where(inside, weight * roots.square(), 0)
    return total


def _divisor(stored: Stored, options: TargetOptions, zoom: float) -> Tensor:
    """What a patch's values are divided by: a map drawn ``zoom`` times as large has zoom^2 times
    the sum."""
    tiny = torch.finfo(torch.float32).tiny
    if options.normalize in (Normalize.L1, Normalize.L1_POSITIVE):
        return (stored.masses * zoom**2).clamp_min(tiny)
    if options.normalize == Normalize.L2:
        return (stored.energies * zoom**2).sqrt().clamp_min(tiny)
    if options.normalize == Normalize.NONE:
        return 1 / stored.peaks.clamp_min(tiny)
    raise ValueError("stored targets hold no softmax of the teacher's map: take l1_positive")
