"""Crop a window around a centre in every map, filling what lies outside the map.

Per axis and separable: window = R_y M R_x^T, where a row of R has at most two taps.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hhd_kernels import _library, backend, checks
from hhd_kernels.normalize import accumulator
from hhd_kernels.options import Border, Sampling


def crop(
    maps: Tensor,
    centers: Tensor,
    window: int | tuple[int, int] = (7, 7),
    *,
    sampling: str = "nearest",
    border: str = "mirror",
) -> Tensor:
    """Crop a window of (rows, columns) around a centre in every map.

    Args:
        maps: [B, K, H, W].
        centers: (x, y) in heatmap pixels, [B, K, 2]. One that is not finite is outside the map.
        window: (rows, columns), or the side of a square; it may be larger than the map.
        sampling: "nearest": from the integer centre c = floor(s + 0.5), rows c - rows//2 onwards.
            "bilinear": symmetric about the sub-pixel centre, position n at s - (rows-1)/2 + n.
        border: what a position outside the map takes, per axis. "mirror": its mirror in the
            window, or 0 if that is outside too. "mirror_published": "mirror", but an odd
            nearest-sampled window leaves the first line past the right or bottom border 0, as the
            official code does.

    Returns:
        Windows of the maps' dtype, [B, K, rows, columns]. Differentiable in `maps` only; linear in
        them, so second derivatives are right.
    """
    checks.maps("maps", maps)
    checks.like("centers", centers, "maps", maps, 2)
    rows, columns = checks.window("window", window)
    sampling_code = checks.choice("sampling", sampling, Sampling)
    border_code = checks.choice("border", border, Border)
    centers = checks.ordinary(centers)
    ops = backend.ops("crop", maps)
    if ops is None:
        return reference(maps, centers, rows, columns, sampling_code, border_code)
    arguments = (centers, rows, columns, sampling_code, border_code)
    return backend.straight(ops, "crop", maps, *arguments)


def reference(
    maps: Tensor, centers: Tensor, rows: int, columns: int, sampling: int, border: int
) -> Tensor:
    """`crop` in plain PyTorch."""
    x = maps.to(accumulator(maps))
    return read(x, place(centers, (rows, columns), x, sampling, border)).to(maps.dtype)


class Axis(NamedTuple):
    """Where a window's N positions lie on one axis of a map."""

    start: Tensor
    """Whole part of position 0, [B, K, 1]; position n is at start + n + fraction."""
    fraction: Tensor
    """In [0, 1), 0 for nearest sampling, [B, K, 1]."""
    inside: Tensor
    """Whether position n itself is on the map, [B, K, N]."""
    filled: Tensor
    """Whether position n takes a value, its own or its mirror's, [B, K, N]."""
    tap: Tensor
    """The lower of the pixels it reads, int64, on the map, [B, K, N]."""


class Place(NamedTuple):
    """Where a window lies on a map."""

    rows: Axis
    columns: Axis
    taps: int
    """How many pixels a position reads per axis: 1 nearest, 2 bilinear."""

    @property
    def inside(self) -> Tensor:
        """Which cells are on the map themselves, [B, K, rows, columns]."""
        return self.rows.inside[..., :, None] & self.columns.inside[..., None, :]

    @property
    def filled(self) -> Tensor:
        """Which cells take a value, [B, K, rows, columns]."""
        return self.rows.filled[..., :, None] & self.columns.filled[..., None, :]


def place(
    centers: Tensor, window: tuple[int, int], maps: Tensor, sampling: int, border: int
) -> Place:
    """Where windows of (rows, columns) at `centers` lie on `maps`, which give dtype and shape."""
    x, y = centers.detach().to(maps.dtype).unbind(-1)
    return Place(
        _axis(y, window[0], maps.shape[2], sampling, border),
        _axis(x, window[1], maps.shape[3], sampling, border),
        taps=1 if sampling == Sampling.NEAREST else 2,
    )


def _axis(center: Tensor, size: int, length: int, sampling: int, border: int) -> Axis:
    # Where the whole window is outside: a weight of NaN would reach the gradient.
    center = torch.where(center.isfinite(), center, -(size + length + 1.0))
    if sampling == Sampling.NEAREST:
        first = (center + 0.5).floor() - size // 2
    else:
        first = center - (size - 1) / 2
    start = first.floor()[..., None]
    fraction = first[..., None] - start
    position = start + torch.arange(size, dtype=center.dtype, device=center.device)
    inside = _on_map(position, fraction, length)
    filled = inside | inside.flip(-1)
    source = torch.where(inside, position, position.flip(-1))
    if border == Border.MIRROR_PUBLISHED and sampling == Sampling.NEAREST and size % 2 == 1:
        filled = filled & (position != length)
    return Axis(start, fraction, inside, filled, torch.where(filled, source, 0).long())


def _on_map(position: Tensor, fraction: Tensor, length: int) -> Tensor:
    """Whether position + fraction lies in [0, length - 1]; position is whole."""
    last = length - 1
    return (position >= 0) & ((position < last) | ((position == last) & (fraction == 0)))


def taps(maps: Tensor, where: Place) -> Iterator[tuple[Tensor, Tensor]]:
    """The pixels that every cell reads, [B, K, rows, columns], and their weights, [B, K, 1, 1].

    One pair for nearest sampling, four for bilinear. A cell that is not `filled`, and a tap of
    weight 0, read an arbitrary pixel.
    """
    rows, columns, reach = where
    height, width = maps.shape[2:]
    pixels = maps.flatten(2)
    for dy, weight_y in enumerate((1 - rows.fraction, rows.fraction)[:reach]):
        for dx, weight_x in enumerate((1 - columns.fraction, columns.fraction)[:reach]):
            row = (rows.tap + dy).clamp_max(height - 1)[..., :, None]
            column = (columns.tap + dx).clamp_max(width - 1)[..., None, :]
            index = row * width + column
            values = pixels.gather(2, index.flatten(2)).view(index.shape)
            yield values, (weight_y * weight_x)[..., None]


def read(maps: Tensor, where: Place) -> Tensor:
    """The windows at a place, [B, K, rows, columns], of the maps' dtype."""
    windows = torch.zeros((), dtype=maps.dtype, device=maps.device)
    for values, weight in taps(maps, where):
        # Not values * 0: the pixel under a tap of weight 0 may be NaN.
        windows = windows + torch.where(weight > 0, values * weight, 0)
    return torch.where(where.filled, windows, 0)


@_library.fake("crop")
def _fake(
    maps: Tensor, centers: Tensor, window_h: int, window_w: int, sampling: int, border: int
) -> Tensor:
    return maps.new_empty((*maps.shape[:2], window_h, window_w))


@_library.fake("crop_backward")
def _backward_fake(
    grad: Tensor, maps: Tensor, centers: Tensor, sampling: int, border: int
) -> Tensor:
    return torch.empty_like(maps)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    maps, centers, _, _, ctx.sampling, ctx.border = inputs
    ctx.save_for_backward(maps, centers)


def _backward(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    maps, centers = ctx.saved_tensors
    grad = ops.crop_backward(grad, maps, centers, ctx.sampling, ctx.border)
    return grad, None, None, None, None, None


def _setup_second(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, _, centers, ctx.sampling, ctx.border = inputs
    ctx.window = grad.shape[2:]
    ctx.save_for_backward(centers)


def _backward_second(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (centers,) = ctx.saved_tensors
    grad = ops.crop(grad, centers, *ctx.window, ctx.sampling, ctx.border)
    return grad, None, None, None, None


_library.autograd("crop", _backward, _setup)
_library.autograd("crop_backward", _backward_second, _setup_second)
