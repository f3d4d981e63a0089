"""What a loss needs of a teacher map: its centre, its window and its confidence.

These are the primitive of every loss, and small enough for a disk: 52 numbers of a 64 x 48 map
(a 7 x 7 window, its centre, a confidence) instead of 3,072.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hhd_kernels import _library, backend, checks
from hhd_kernels._targets import TeacherTargets
from hhd_kernels.crop import place, read
from hhd_kernels.locate import teacher_peak
from hhd_kernels.normalize import accumulator, normalized
from hhd_kernels.options import Border, Normalize, Sampling


class TargetOptions(NamedTuple):
    """How targets are made, in the order of the op's arguments after the maps."""

    rows: int
    columns: int
    normalize: int
    sampling: int
    border: int
    eps: float
    floor: float


class TeacherMaps(NamedTuple):
    """Teacher maps, and the targets that are to be made of them."""

    maps: Tensor
    options: TargetOptions

    def targets(self) -> TeacherTargets:
        return targets_of(self.maps, self.options)


def target_options(
    window: int | tuple[int, int],
    normalize: str,
    sampling: str,
    border: str,
    eps: float,
    floor: float,
) -> TargetOptions:
    """Check the options of `teacher_targets` and turn them into what the op takes."""
    if checks.share("floor", floor) and normalize == "softmax":
        raise ValueError(
            f"floor is {floor}; beside normalize='softmax', which has no zeros, it takes 0"
        )
    return TargetOptions(
        *checks.window("window", window),
        checks.choice("normalize", normalize, Normalize),
        checks.choice("sampling", sampling, Sampling),
        checks.choice("border", border, Border),
        checks.positive("eps", eps),
        float(floor),
    )


def teacher_targets(
    heatmaps: Tensor,
    window: int | tuple[int, int] = (7, 7),
    *,
    normalize: str = "l1_positive",
    sampling: str = "nearest",
    border: str = "mirror",
    eps: float = 1e-6,
    floor: float = 0.0,
) -> TeacherTargets:
    """Locate, normalise and crop teacher maps, [B, K, H, W], in one pass.

    The windows, (rows, columns) or the side of a square, are `crop(normalize(T))` at
    `locate_teacher(T)`, not rounded to T's dtype; a softmax has beta 1. Values below the share
    `floor`, from 0 below 1, of their map's maximum count as 0: what a network leaves far from the
    joint adds up over a map, and would be taught as the rest's mass. Centres, windows and
    confidence are float32 (float64 for float64 maps). No gradient. See `locate_teacher`,
    `normalize` and `crop` for the options.
    """
    checks.maps("heatmaps", heatmaps)
    options = target_options(window, normalize, sampling, border, eps, floor)
    return targets_of(heatmaps, options)


def targets_of(heatmaps: Tensor, options: TargetOptions) -> TeacherTargets:
    """`teacher_targets` of checked arguments."""
    ops = backend.ops("teacher_targets", heatmaps)
    if ops is None:
        return reference(heatmaps, options)
    return TeacherTargets(*backend.straight(ops, "teacher_targets", heatmaps, *options))


@torch.no_grad()
def reference(heatmaps: Tensor, options: TargetOptions) -> TeacherTargets:
    """`teacher_targets` in plain PyTorch."""
    maps = heatmaps.to(accumulator(heatmaps))
    centers = teacher_peak(maps)
    window = (options.rows, options.columns)
    kept = maps
    if options.floor:
        least = options.floor * maps.amax(dim=(2, 3), keepdim=True)
        kept = torch.where(maps < least, 0, maps)
    windows = read(
        normalized(kept, options.normalize, 1.0, options.eps),
        place(centers, window, maps, options.sampling, options.border),
    )
    return TeacherTargets(centers, windows, maps.amax(dim=(2, 3)))


@_library.fake("teacher_targets")
def _fake(
    heatmaps: Tensor,
    window_h: int,
    window_w: int,
    normalize: int,
    sampling: int,
    border: int,
    eps: float,
    floor: float,
) -> tuple[Tensor, Tensor, Tensor]:
    shape, dtype = heatmaps.shape[:2], accumulator(heatmaps)
    return (
        heatmaps.new_empty((*shape, 2), dtype=dtype),
        heatmaps.new_empty((*shape, window_h, window_w), dtype=dtype),
        heatmaps.new_empty(shape, dtype=dtype),
    )


_library.no_derivative("teacher_targets")
