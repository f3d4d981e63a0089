"""Where a window's cells lie, which pixels they read, and which cells read a pixel.

Windows are separable: everything is said per axis. Cell n of N lies at start + n + fraction; the
cells on the map are a range [low, high), and an outside cell takes the value of its mirror, cell
N - 1 - n, if that is on the map.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from hhd_kernels.options import Border, Sampling
from hhd_kernels.triton.maps import in_box, read

NEAREST = tl.constexpr(int(Sampling.NEAREST))
MIRROR_PUBLISHED = tl.constexpr(int(Border.MIRROR_PUBLISHED))


class Axis(NamedTuple):
    """One axis of a window on each of the program's maps, all [G]."""

    start: Any
    fraction: Any
    """In [0, 1); 0 for nearest sampling."""
    low: Any
    high: Any
    length: Any
    """Of the map."""


@triton.jit
def axis_at(center, N: tl.constexpr, length, SAMPLING: tl.constexpr):
    """N cells around a centre."""
    # Beyond this the whole window is outside; the comparison is false for NaN too.
    far = N + length + 1
    center = tl.where(center > -far, center, -far)
    center = tl.where(center < far, center, far)
    whole = tl.floor(center)
    part = center - whole
    start = whole.to(tl.int32) - N // 2
    fraction = part
    upper = part >= 0.5
    if SAMPLING == NEAREST:
        start += upper.to(tl.int32)
        fraction = part * 0
    elif N % 2 == 0:
        start += upper.to(tl.int32)
        fraction = tl.where(upper, part - 0.5, part + 0.5)
    high = length - start - (fraction > 0).to(tl.int32)
    return Axis(start, fraction, tl.maximum(-start, 0), tl.minimum(high, N), length)


@triton.jit
def emptied(a, keep):
    """The axis, without a cell on the map where `keep` is false."""
    return Axis(a.start, a.fraction, a.low, tl.where(keep, a.high, a.low), a.length)


@triton.jit
def is_inside(a, n):
    """Whether cell n is on the map."""
    return (n >= a.low) & (n < a.high)


@triton.jit
def takes_mirror(a, n, N: tl.constexpr, SAMPLING: tl.constexpr, BORDER: tl.constexpr):
    """Whether cell n is outside and takes its mirror's value."""
    mirrored = is_inside(a, N - 1 - n) & (is_inside(a, n) == 0)
    # The official code leaves the first line past the right or bottom border of odd windows 0.
    if BORDER == MIRROR_PUBLISHED and SAMPLING == NEAREST and N % 2 == 1:
        mirrored &= a.start + n != a.length
    return mirrored


@triton.jit
def source_of(a, n, N: tl.constexpr, SAMPLING: tl.constexpr, BORDER: tl.constexpr):
    """The cell on the map whose value cell n takes, and whether there is one."""
    mirrored = takes_mirror(a, n, N, SAMPLING, BORDER)
    return tl.where(mirrored, N - 1 - n, n), is_inside(a, n) | mirrored


@triton.jit
def reader_of(
    a, n, MIRRORED: tl.constexpr, N: tl.constexpr, SAMPLING: tl.constexpr, BORDER: tl.constexpr
):
    """The cell that takes the value at cell n's position, and whether there is one.

    It is n itself, or where MIRRORED the one outside whose mirror n is.
    """
    if MIRRORED:
        return N - 1 - n, takes_mirror(a, N - 1 - n, N, SAMPLING, BORDER)
    else:
        return n, is_inside(a, n)


@triton.jit
def tap_weight(a, TAP: tl.constexpr):
    """The weight of a cell's lower (0) or upper (1) pixel."""
    return a.fraction if TAP == 1 else 1 - a.fraction


@triton.jit
def touched(a, SAMPLING: tl.constexpr):
    """The range of pixels that cells on the map read, as first and last + 1; maybe empty."""
    first = a.start + a.low
    last = a.start + a.high + (a.fraction > 0).to(tl.int32)
    return first, tl.where(a.high > a.low, last, first)


@triton.jit
def cover_of(a, p, SAMPLING: tl.constexpr):
    """How much of pixel start + p the cells on the map take up: exactly 1 within them."""
    lower = is_inside(a, p)
    if SAMPLING == NEAREST:
        return lower.to(a.fraction.dtype)
    else:
        upper = is_inside(a, p - 1)
        part = tl.where(lower, 1 - a.fraction, tl.where(upper, a.fraction, 0.0))
        return tl.where(lower & upper, 1.0, part)


@triton.jit
def uncovered_of(rows, columns, i, x, SAMPLING: tl.constexpr):
    """How much of pixel (i, x) of the map a window's cells leave free."""
    cover = cover_of(rows, i - rows.start, SAMPLING) * cover_of(
        columns, x - columns.start, SAMPLING
    )
    return 1 - cover


@triton.jit
def readings_of(a, p, N: tl.constexpr, SAMPLING: tl.constexpr, BORDER: tl.constexpr):
    """How often all cells together, mirrored ones included, read pixel start + p."""
    readings = tl.zeros((p + a.start).shape, a.fraction.dtype)
    for TAP in tl.static_range(1 if SAMPLING == NEAREST else 2):
        for MIRRORED in tl.static_range(2):
            _, reads = reader_of(a, p - TAP, MIRRORED, N, SAMPLING, BORDER)
            reads &= is_inside(a, p - TAP)
            readings += tl.where(reads, tap_weight(a, TAP), 0.0)
    return readings


@triton.jit
def cell_tile(tile, N: tl.constexpr, M: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    """Rows and columns of a tile of a grid of N x M."""
    ACROSS: tl.constexpr = (M + Q - 1) // Q
    n = (tile // ACROSS) * P + tl.arange(0, P)[None, :, None]
    c = (tile % ACROSS) * Q + tl.arange(0, Q)[None, None, :]
    return n, c


@triton.jit
def load_cells(view, origin, n, c, mask, A: tl.constexpr):
    """Cells of a stored window, 0 where masked off; upcast right after the load."""
    offset = n.to(tl.int64) * view.stride_h + c.to(tl.int64) * view.stride_w
    return tl.load(origin + offset, mask=mask, other=0.0).to(A)


@triton.jit
def folded(
    view,
    origin,
    y,
    x,
    n,
    c,
    exists,
    N: tl.constexpr,
    M: tl.constexpr,
    SAMPLING: tl.constexpr,
    BORDER: tl.constexpr,
    POSITIVE: tl.constexpr,
    A: tl.constexpr,
):
    """The sum of a stored window's cells that take their value at position (n, c) of the map."""
    here = is_inside(y, n) & is_inside(x, c) & exists
    result = tl.zeros(here.shape, A)
    for MIRRORED_Y in tl.static_range(2):
        for MIRRORED_X in tl.static_range(2):
            cell_y, in_y = reader_of(y, n, MIRRORED_Y, N, SAMPLING, BORDER)
            cell_x, in_x = reader_of(x, c, MIRRORED_X, M, SAMPLING, BORDER)
            cell = load_cells(view, origin, cell_y, cell_x, here & in_y & in_x, A)
            result += tl.where(cell < 0, 0.0, cell) if POSITIVE else cell
    return result


@triton.jit
def adjoint(
    view,
    origin,
    y,
    x,
    p,
    q,
    exists,
    N: tl.constexpr,
    M: tl.constexpr,
    SAMPLING: tl.constexpr,
    BORDER: tl.constexpr,
    A: tl.constexpr,
):
    """What a stored window gives back to pixel (start + p, start + q): each cell by its taps."""
    result = tl.zeros((p + q + y.start).shape, A)
    for TAP_Y in tl.static_range(1 if SAMPLING == NEAREST else 2):
        for TAP_X in tl.static_range(1 if SAMPLING == NEAREST else 2):
            weight = tap_weight(y, TAP_Y) * tap_weight(x, TAP_X)
            n, c = p - TAP_Y, q - TAP_X
            cell = folded(view, origin, y, x, n, c, exists, N, M, SAMPLING, BORDER, False, A)
            # Not cell * 0: what a tap of weight 0 reads may be NaN.
            result += tl.where(weight > 0, cell * weight, 0.0)
    return result


@triton.jit
def pixel_of(m, y, x, n, c, TAP_Y: tl.constexpr, TAP_X: tl.constexpr, mask):
    """One of the pixels that cells (n, c) on the map read, -inf where it has no weight."""
    weight = tap_weight(y, TAP_Y) * tap_weight(x, TAP_X)
    s = read(m, y.start + n + TAP_Y, x.start + c + TAP_X, mask & (weight > 0))
    return weight, s


@triton.jit
def in_window(y, x, i, j, SAMPLING: tl.constexpr):
    """Which pixels (i, j) a window's cells on the map read."""
    first_y, last_y = touched(y, SAMPLING)
    first_x, last_x = touched(x, SAMPLING)
    return in_box(i, j, first_y, last_y, first_x, last_x)
