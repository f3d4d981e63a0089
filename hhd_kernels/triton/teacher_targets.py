"""A teacher map's centre, window and confidence; see hhd_kernels/teacher_targets.py."""

import triton
import triton.language as tl
from torch import Tensor

from hhd_kernels.normalize import accumulator
from hhd_kernels.triton import launch
from hhd_kernels.triton.locate import store_point, teacher_peak
from hhd_kernels.triton.maps import (
    L1_POSITIVE,
    NONE,
    SOFTMAX,
    at,
    has_nan,
    joints_of_program,
    maximum_of,
    norm_of,
    number,
    open_map,
    positive_part,
    softmax_of,
    write,
)
from hhd_kernels.triton.window import NEAREST, axis_at, cell_tile, pixel_of, source_of


@triton.jit
def divisor_of(
    m, top, beta, eps, least, KIND: tl.constexpr, FLOORED: tl.constexpr, WHOLE: tl.constexpr
):
    """What a normalised map is divided by, and whether eps stands in for its norm."""
    divisor = tl.full(m.exists.shape, 1.0, m.pixels.dtype)
    floored = divisor < 0
    if KIND == SOFTMAX:
        divisor = softmax_of(m, top, beta, 0, 0, 0, 0, False, WHOLE)[0]
    elif KIND != NONE:
        norm = norm_of(m, least, KIND, FLOORED, WHOLE)
        floored = norm < eps
        divisor = tl.where(floored, eps, norm)
    return divisor, floored


@triton.jit
def normalized_cell(
    m,
    rows,
    columns,
    n,
    c,
    filled,
    top,
    beta,
    least,
    KIND: tl.constexpr,
    FLOORED: tl.constexpr,
    SAMPLING: tl.constexpr,
):
    """The normalised map, before its divisor, at cells on the map; 0 where not `filled`. FLOORED:
    values below `least`, [G], count as 0."""
    value = tl.zeros(filled.shape, m.pixels.dtype)
    for TAP_Y in tl.static_range(1 if SAMPLING == NEAREST else 2):
        for TAP_X in tl.static_range(1 if SAMPLING == NEAREST else 2):
            weight, s = pixel_of(m, rows, columns, n, c, TAP_Y, TAP_X, filled)
            if FLOORED:
                s = tl.where(s < least, 0.0, s)
            if KIND == SOFTMAX:
                s = tl.exp((s - top) * beta)
            elif KIND == L1_POSITIVE:
                s = positive_part(s)
            # Not s * 0: the pixel under a tap of weight 0 may be NaN.
            value += tl.where(filled & (weight > 0), s * weight, 0.0)
    return value


@triton.jit
def teacher_targets_kernel(
    heatmaps,
    centers,
    windows,
    confidence,
    instances,
    joints,
    height,
    width,
    eps: tl.float64,
    floor: tl.float64,
    KIND: tl.constexpr,
    FLOORED: tl.constexpr,
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
    m = open_map(heatmaps, b, k, exists, height, width, ROWS, COLUMNS, WHOLE, A)
    top, is_nan = maximum_of(m, WHOLE), has_nan(m, WHOLE)
    peak_y, peak_x = teacher_peak(m, top, is_nan, WHOLE)
    y, x = peak_y.to(A), peak_x.to(A)
    store_point(centers, b, k, x, y, exists)
    tl.store(at(confidence, b, k), tl.where(is_nan, float("nan"), top), mask=exists)

    one = number(1.0, m.pixels)
    least = number(floor, one) * top
    divisor, _ = divisor_of(m, top, one, number(eps, one), least, KIND, FLOORED, WHOLE)
    rows = axis_at(y, CELLS_Y, height, SAMPLING)
    columns = axis_at(x, CELLS_X, width, SAMPLING)
    for tile in range(((CELLS_Y + P - 1) // P) * ((CELLS_X + Q - 1) // Q)):
        n, c = cell_tile(tile, CELLS_Y, CELLS_X, P, Q)
        from_y, in_y = source_of(rows, n, CELLS_Y, SAMPLING, BORDER)
        from_x, in_x = source_of(columns, c, CELLS_X, SAMPLING, BORDER)
        filled = in_y & in_x & exists
        value = normalized_cell(
            m, rows, columns, from_y, from_x, filled, top, one, least, KIND, FLOORED, SAMPLING
        )
        value = tl.where(filled, value / divisor, 0.0)
        write(windows, b, k, n, c, value, exists & (n < CELLS_Y) & (c < CELLS_X))


def teacher_targets(
    heatmaps: Tensor,
    window_h: int,
    window_w: int,
    normalize: int,
    sampling: int,
    border: int,
    eps: float,
    floor: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """See `hhd_kernels.teacher_targets`."""
    shape, dtype = heatmaps.shape[:2], accumulator(heatmaps)
    centers = heatmaps.new_empty((*shape, 2), dtype=dtype)
    windows = heatmaps.new_empty((*shape, window_h, window_w), dtype=dtype)
    confidence = heatmaps.new_empty(shape, dtype=dtype)
    block = launch.tile(heatmaps)
    launch.run(
        teacher_targets_kernel,
        launch.programs(heatmaps, block),
        heatmaps,
        launch.view(heatmaps),
        launch.view(centers),
        launch.view(windows),
        launch.view(confidence),
        *heatmaps.shape,
        eps,
        floor,
        KIND=normalize,
        FLOORED=floor > 0,
        **launch.cells(window_h, window_w),
        SAMPLING=sampling,
        BORDER=border,
        **block,
    )
    return centers, windows, confidence
