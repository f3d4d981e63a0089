"""Crops of a window around a centre, and the adjoint; see hhd_kernels/crop.py."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hhd_kernels.triton import launch
from hhd_kernels.triton.locate import load_point
from hhd_kernels.triton.maps import at, joints_of_program, open_map, pixels_of, tiles, write
from hhd_kernels.triton.window import (
    NEAREST,
    adjoint,
    axis_at,
    cell_tile,
    in_window,
    pixel_of,
    source_of,
)


@triton.jit
def crop_kernel(
    maps,
    centers,
    out,
    instances,
    joints,
    height,
    width,
    CELLS_Y: tl.constexpr,
    CELLS_X: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    SAMPLING: tl.constexpr,
    BORDER: tl.constexpr,
    G: tl.constexpr,
    A: tl.constexpr,
):
    b, k, exists = joints_of_program(instances, joints, G)
    # Only the windows' pixels are read.
    m = open_map(maps, b, k, exists, height, width, 1, 1, False, A)
    x, y = load_point(centers, b, k, exists, A)
    rows = axis_at(y, CELLS_Y, height, SAMPLING)
    columns = axis_at(x, CELLS_X, width, SAMPLING)
    for tile in range(((CELLS_Y + P - 1) // P) * ((CELLS_X + Q - 1) // Q)):
        n, c = cell_tile(tile, CELLS_Y, CELLS_X, P, Q)
        from_y, in_y = source_of(rows, n, CELLS_Y, SAMPLING, BORDER)
        from_x, in_x = source_of(columns, c, CELLS_X, SAMPLING, BORDER)
        filled = in_y & in_x & exists
        value = tl.zeros(filled.shape, A)
        for TAP_Y in tl.static_range(1 if SAMPLING == NEAREST else 2):
            for TAP_X in tl.static_range(1 if SAMPLING == NEAREST else 2):
                weight, s = pixel_of(m, rows, columns, from_y, from_x, TAP_Y, TAP_X, filled)
                # Not s * 0: the pixel under a tap of weight 0 may be NaN.
                value += tl.where(filled & (weight > 0), s * weight, 0.0)
        write(out, b, k, n, c, value, exists & (n < CELLS_Y) & (c < CELLS_X))


@triton.jit
def crop_backward_kernel(
    grad,
    centers,
    out,
    instances,
    joints,
    height,
    width,
    CELLS_Y: tl.constexpr,
    CELLS_X: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    SAMPLING: tl.constexpr,
    BORDER: tl.constexpr,
    G: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
):
    b, k, exists = joints_of_program(instances, joints, G)
    m = open_map(out, b, k, exists, height, width, ROWS, COLUMNS, False, A)
    x, y = load_point(centers, b, k, exists, A)
    rows = axis_at(y, CELLS_Y, height, SAMPLING)
    columns = axis_at(x, CELLS_X, width, SAMPLING)
    for tile in range(tiles(m, WHOLE)):
        i, j, mask = pixels_of(m, tile, WHOLE)
        # Also under the window: a mask by pixel would make every store one of a pixel.
        write(out, b, k, i, j, tl.zeros([G, ROWS, COLUMNS], A), mask & exists)
    tl.debug_barrier()
    # Each pixel of the window gathers what the cells that read it give back.
    origin = at(grad, b, k)
    for tile in range(((CELLS_Y + P) // P) * ((CELLS_X + Q) // Q)):
        p, q = cell_tile(tile, CELLS_Y + 1, CELLS_X + 1, P, Q)
        i, j = rows.start + p, columns.start + q
        value = adjoint(
            grad, origin, rows, columns, p, q, exists, CELLS_Y, CELLS_X, SAMPLING, BORDER, A
        )
        inside = in_window(rows, columns, i, j, SAMPLING)
        write(out, b, k, i, j, value, inside & exists)


def crop(
    maps: Tensor, centers: Tensor, window_h: int, window_w: int, sampling: int, border: int
) -> Tensor:
    """See `hhd_kernels.crop`."""
    out = maps.new_empty((*maps.shape[:2], window_h, window_w))
    block = launch.tile(maps)
    launch.run(
        crop_kernel,
        launch.programs(maps, block),
        maps,
        launch.view(maps),
        launch.view(centers),
        launch.view(out),
        *maps.shape,
        **launch.cells(window_h, window_w),
        SAMPLING=sampling,
        BORDER=border,
        G=block["G"],
        A=block["A"],
        num_warps=1,
    )
    return out


def crop_backward(
    grad: Tensor, maps: Tensor, centers: Tensor, sampling: int, border: int
) -> Tensor:
    """The gradient in the maps, of their dtype and strides."""
    out = torch.empty_like(maps)
    block = launch.tile(maps)
    launch.run(
        crop_backward_kernel,
        launch.programs(maps, block),
        maps,
        launch.view(grad),
        launch.view(centers),
        launch.view(out),
        *maps.shape,
        **launch.cells(*grad.shape[2:]),
        SAMPLING=sampling,
        BORDER=border,
        **block,
    )
    return out
