"""Where the windows lie: the teacher's centre t and the student's s; see hhd_kernels/locate.py."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hhd_kernels.normalize import accumulator
from hhd_kernels.options import Locate, Refine
from hhd_kernels.triton import launch
from hhd_kernels.triton.maps import (
    INFINITY,
    any_map,
    exp_of,
    has_nan,
    joints_of_program,
    largest,
    mass_outside,
    maximum_of,
    number,
    open_map,
    peak_of,
    pixels_of,
    read,
    softmax_of,
    tiles,
    total,
    values_of,
)

DARK = tl.constexpr(int(Refine.DARK))
PEAK = tl.constexpr(int(Locate.PEAK))
PUBLISHED = tl.constexpr(int(Locate.PUBLISHED))
DEBIASED = tl.constexpr(int(Locate.DEBIASED))


@triton.jit
def load_point(view, b, k, exists, A: tl.constexpr):
    """(x, y) of each joint."""
    first = b * view.stride_b + k * view.stride_k
    x = tl.load(view.data + first, mask=exists, other=0.0).to(A)
    return x, tl.load(view.data + (first + view.stride_h), mask=exists, other=0.0).to(A)


@triton.jit
def store_point(view, b, k, x, y, exists):
    """Write (x, y) of each joint."""
    first = b * view.stride_b + k * view.stride_k
    tl.store(view.data + first, x, mask=exists)
    tl.store(view.data + (first + view.stride_h), y, mask=exists)


@triton.jit
def teacher_peak(m, top, is_nan, WHOLE: tl.constexpr):
    """Row and column of the peak; 0, 0 in a map with NaN."""
    y, x = peak_of(m, top, WHOLE)
    return tl.where(is_nan, 0, y), tl.where(is_nan, 0, x)


@triton.jit
def clamp(x, low, high):
    """x kept to [low, high]; NaN stays NaN."""
    x = tl.where(x < low, low, x)
    return tl.where(x > high, high, x)


@triton.jit
def gaussian(offset, TAPS: tl.constexpr, A: tl.constexpr):
    """The blur's weight at an offset in pixels, before its sum is divided out; 0 beyond its taps.

    sigma is OpenCV's for that many taps.
    """
    SIGMA: tl.constexpr = 0.3 * ((TAPS - 1) * 0.5 - 1) + 0.8
    u = offset.to(A)
    return tl.where(tl.abs(u) <= TAPS // 2, tl.exp(u * u * (-0.5 / (SIGMA * SIGMA))), 0.0)


@triton.jit
def newton_step(m, top, peak_y, peak_x, TAPS: tl.constexpr, P: tl.constexpr, WHOLE: tl.constexpr):
    """Hess^-1 grad of the log of the blurred map at the peak, not finite where Hess is singular."""
    A: tl.constexpr = m.pixels.dtype
    REACH: tl.constexpr = TAPS // 2 + 2
    # The 5 x 5 blurred pixels around the peak, in the middle of an 8 x 8 tile.
    dx = tl.arange(0, 8)[None, :, None] - 2
    dy = tl.arange(0, 8)[None, None, :] - 2
    along = tl.arange(0, P)[None, None, :] - REACH
    weights = gaussian(along - dx, TAPS, A)
    centred = tl.arange(0, P)[None, None, :] - TAPS // 2
    norm = total(gaussian(centred, TAPS, A))
    patch = tl.zeros((m.exists.to(tl.int32) + dx + dy).shape, A)
    for row in range(TAPS + 4):
        i, x = peak_y + row - REACH, peak_x + along
        on_map = (i >= 0) & (i < m.height) & (x >= 0) & (x < m.width) & (along <= REACH)
        line = tl.where(on_map, read(m, i, x, on_map), 0.0)
        across = tl.sum(line * weights, 2)[:, :, None]
        patch += across * gaussian(row - REACH - dy, TAPS, A)
    patch = patch / (norm * norm)

    used = tl.abs(dx) + tl.abs(dy) <= 2
    below = largest(((patch > 1e-10) == 0).to(tl.int32) * used.to(tl.int32)) > 0
    # Rescaling adds a constant to the logarithm, which differences do not see, unless the floor
    # cuts in; and a mean never exceeds the maximum, so that scaling only lifts values above it.
    scale = tl.full(m.exists.shape, 1.0, A)
    if any_map(below & m.exists):
        scale = tl.where(below, top / blurred_maximum(m, TAPS, norm, WHOLE), scale)
    f = patch * scale
    f = tl.log(tl.where(f < 1e-10, 1e-10, f))
    here = pick(f, dx, dy, 0, 0)
    d_x = 0.5 * (pick(f, dx, dy, 1, 0) - pick(f, dx, dy, -1, 0))
    d_y = 0.5 * (pick(f, dx, dy, 0, 1) - pick(f, dx, dy, 0, -1))
    d_xx = 0.25 * (pick(f, dx, dy, 2, 0) - 2 * here + pick(f, dx, dy, -2, 0))
    d_yy = 0.25 * (pick(f, dx, dy, 0, 2) - 2 * here + pick(f, dx, dy, 0, -2))
    d_xy = pick(f, dx, dy, 1, 1) - pick(f, dx, dy, -1, 1)
    d_xy = 0.25 * (d_xy - pick(f, dx, dy, 1, -1) + pick(f, dx, dy, -1, -1))
    determinant = d_xx * d_yy - d_xy * d_xy
    return (d_xx * d_y - d_xy * d_x) / determinant, (d_yy * d_x - d_xy * d_y) / determinant


@triton.jit
def pick(f, dx, dy, AT_X: tl.constexpr, AT_Y: tl.constexpr):
    """The value of a patch at an offset from its centre, [G]."""
    return total(tl.where((dx == AT_X) & (dy == AT_Y), f, 0.0))


@triton.jit
def blurred_maximum(m, TAPS: tl.constexpr, norm, WHOLE: tl.constexpr):
    """The largest value of the blurred map, zeros beyond the map blurred in."""
    A: tl.constexpr = m.pixels.dtype
    result = tl.full(m.exists.shape, -INFINITY, A)
    for tile in range(tiles(m, WHOLE)):
        i, x, mask = pixels_of(m, tile, WHOLE)
        blurred = tl.zeros((m.exists.to(tl.int32) + i + x).shape, A)
        for tap in range(TAPS * TAPS):
            dy, dx = tap // TAPS - TAPS // 2, tap % TAPS - TAPS // 2
            on_map = (i + dy >= 0) & (i + dy < m.height) & (x + dx >= 0) & (x + dx < m.width)
            value = tl.where(on_map & mask, read(m, i + dy, x + dx, on_map & mask), 0.0)
            offset_y, offset_x = tl.full([], dy, tl.int32), tl.full([], dx, tl.int32)
            weight = gaussian(offset_y, TAPS, A) * gaussian(offset_x, TAPS, A)
            blurred += value * (weight / (norm * norm))
        result = tl.maximum(result, largest(tl.where(mask, blurred, -INFINITY)))
    return result


@triton.jit
def student_center(
    m,
    top,
    beta,
    mass,
    t_x,
    t_y,
    N: tl.constexpr,
    M: tl.constexpr,
    LOCATE: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """s for the teacher's t; `beta` and `mass`, the softmax's sum, are for `debiased` only."""
    if LOCATE == PUBLISHED:
        return published_center(m, top, t_x, t_y, N, M, WHOLE)
    elif LOCATE == DEBIASED:
        return debiased_center(m, top, beta, mass, t_x, t_y, N, M, WHOLE)
    else:
        return t_x, t_y


@triton.jit
def published_center(m, top, t_x, t_y, N: tl.constexpr, M: tl.constexpr, WHOLE: tl.constexpr):
    """The official shift, with c = sum exp(S); the sum is made where no bound shows s = t."""
    width, height = number(m.width, t_x), number(m.height, t_x)
    whole = (tl.floor(t_x) == t_x) & (tl.floor(t_y) == t_y)
    on_map = (t_x >= 0) & (t_x < width) & (t_y >= 0) & (t_y < height)
    # c >= max(H, W) leaves whole positions where they are, and so do its largest term and, by
    # Jensen, HW exp(mean).
    enough = tl.log(tl.maximum(width, height) + 1)
    value_sum = tl.zeros(m.exists.shape, m.pixels.dtype)
    for tile in range(tiles(m, WHOLE)):
        _, _, mask = pixels_of(m, tile, WHOLE)
        value_sum += total(tl.where(mask, values_of(m, tile, WHOLE), 0.0))
    jensen = value_sum / (width * height) + tl.log(width * height)
    stays = whole & on_map & ((top > enough) | (jensen > enough))
    s_x, s_y = t_x, t_y
    if any_map((stays == 0) & m.exists):
        mass = tl.zeros(m.exists.shape, m.pixels.dtype)
        for tile in range(tiles(m, WHOLE)):
            mass += total(exp_of(m, tile, top, 1.0, WHOLE))
        # In the accumulator's dtype, where it may overflow: then s = t.
        mass = mass * tl.exp(top)
        s_x = tl.where(stays, t_x, published_shift(t_x, mass, m.width, M))
        s_y = tl.where(stays, t_y, published_shift(t_y, mass, m.height, N))
    return s_x, s_y


@triton.jit
def published_shift(t, mass, length, N: tl.constexpr):
    """trunc(c / (c - 1) (t - 1 / (2 c))), in float64."""
    c, position = mass.to(tl.float64), t.to(tl.float64)
    s = c / (c - 1) * (position - 1 / (2 * c))
    s = tl.where(s < 0, tl.ceil(s), tl.floor(s))
    # An even window may start on the line past the border: its last half is then the map's end.
    furthest = length if N % 2 == 0 else length - 1
    s = tl.where((s >= 0) & (s <= furthest), s, clamp(s, 0.0, length - 1))
    moves = (c > 1) & (c - c == 0) & (position - position == 0)
    return tl.where(moves, s, position).to(t.dtype)


@triton.jit
def debiased_center(
    m,
    top,
    beta,
    mass,
    t_x,
    t_y,
    N: tl.constexpr,
    M: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """The mode whose expectation is at t, r the background's share of the softmax."""
    peak_y, peak_x = peak_of(m, top, WHOLE)
    first_y, first_x = peak_y - N // 2, peak_x - M // 2
    last_y, last_x = tl.minimum(first_y + N, m.height), tl.minimum(first_x + M, m.width)
    first_y, first_x = tl.maximum(first_y, 0), tl.maximum(first_x, 0)
    pixels = number(m.height, t_x) * number(m.width, t_x)
    boxed = (last_y - first_y).to(t_x.dtype) * (last_x - first_x).to(t_x.dtype)
    outside = mass_outside(m, top, beta, first_y, last_y, first_x, last_x, WHOLE) / mass
    r = clamp(outside * (pixels / (pixels - boxed)), 0.0, 0.5)
    # A map with NaN keeps the teacher's centre: it must not slip out of its window and the loss.
    r = tl.where((boxed < pixels) & (r == r), r, 0.0)
    return debiased_shift(t_x, r, m.width, M), debiased_shift(t_y, r, m.height, N)


@triton.jit
def debiased_shift(t, r, length, N: tl.constexpr):
    """One axis: at most half the window away, and on the map; the middle itself stays."""
    last = number(length, t) - 1
    s = clamp(t + (t - last / 2) * (r / (1 - r)), t - N / 2, t + N / 2)
    return tl.where(t - t == 0, clamp(s, 0.0, last), t)


@triton.jit
def locate_teacher_kernel(
    maps,
    centers,
    instances,
    joints,
    height,
    width,
    REFINE: tl.constexpr,
    TAPS: tl.constexpr,
    BLUR: tl.constexpr,
    G: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
):
    b, k, exists = joints_of_program(instances, joints, G)
    m = open_map(maps, b, k, exists, height, width, ROWS, COLUMNS, WHOLE, A)
    top = maximum_of(m, WHOLE)
    is_nan = has_nan(m, WHOLE)
    peak_y, peak_x = teacher_peak(m, top, is_nan, WHOLE)
    y, x = peak_y.to(A), peak_x.to(A)
    if REFINE == DARK:
        step_y, step_x = newton_step(m, top, peak_y, peak_x, TAPS, BLUR, WHOLE)
        interior = (peak_x > 1) & (peak_x < width - 2) & (peak_y > 1) & (peak_y < height - 2)
        finite = (step_y - step_y == 0) & (step_x - step_x == 0)
        moves = interior & finite & (top > 0) & (is_nan == 0)
        y = tl.where(moves, clamp(y - step_y, 0.0, height - 1), y)
        x = tl.where(moves, clamp(x - step_x, 0.0, width - 1), x)
    store_point(centers, b, k, x, y, exists)


@triton.jit
def locate_student_kernel(
    logits,
    teacher_centers,
    centers,
    instances,
    joints,
    height,
    width,
    beta: tl.float64,
    N: tl.constexpr,
    M: tl.constexpr,
    LOCATE: tl.constexpr,
    G: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
):
    b, k, exists = joints_of_program(instances, joints, G)
    t_x, t_y = load_point(teacher_centers, b, k, exists, A)
    # The peak needs nothing of the map.
    m = open_map(logits, b, k, exists & (LOCATE != PEAK), height, width, ROWS, COLUMNS, WHOLE, A)
    rate = number(beta, t_x)
    top = maximum_of(m, WHOLE)
    mass = number(1.0, t_x)
    if LOCATE == DEBIASED:
        mass = softmax_of(m, top, rate, 0, 0, 0, 0, False, WHOLE)[0]
    s_x, s_y = student_center(m, top, rate, mass, t_x, t_y, N, M, LOCATE, WHOLE)
    store_point(centers, b, k, s_x, s_y, exists)


def locate_teacher(heatmaps: Tensor, refine: int, blur_kernel: int) -> Tensor:
    """See `hhd_kernels.locate_teacher`."""
    centers = heatmaps.new_empty((*heatmaps.shape[:2], 2), dtype=accumulator(heatmaps))
    block = launch.tile(heatmaps)
    launch.run(
        locate_teacher_kernel,
        launch.programs(heatmaps, block),
        heatmaps,
        launch.view(heatmaps),
        launch.view(centers),
        *heatmaps.shape,
        REFINE=refine,
        TAPS=blur_kernel,
        BLUR=triton.next_power_of_2(blur_kernel + 4),
        **block,
    )
    return centers


def locate_student(
    logits: Tensor, centers: Tensor, mode: int, beta: float, window_h: int, window_w: int
) -> Tensor:
    """See `hhd_kernels.locate_student`."""
    result = torch.empty(centers.shape, dtype=accumulator(logits), device=logits.device)
    block = launch.tile(logits)
    launch.run(
        locate_student_kernel,
        launch.programs(logits, block),
        logits,
        launch.view(logits),
        launch.view(centers),
        launch.view(result),
        *logits.shape,
        beta,
        N=window_h,
        M=window_w,
        LOCATE=mode,
        **block,
    )
    return result
