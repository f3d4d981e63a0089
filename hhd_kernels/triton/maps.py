"""A map as the kernels see it: tiles of pixels, its largest value, its norm and its softmax.

One program handles G maps: 1, or a few where joints are innermost in memory (channels_last). A
value per pixel has the shape [G, ROWS, COLUMNS]; one per map [G, 1, 1], written [G] below, and is a
scalar where G is 1: a block of one element has a layout, which Triton 3.6 carries over to the
blocks it meets, and every thread then holds the whole window. A map that fits one tile (WHOLE) is
read once and kept in registers; a larger one is read again, tile by tile, for every pass over it.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from hhd_kernels.options import Normalize

NONE = tl.constexpr(int(Normalize.NONE))
L1 = tl.constexpr(int(Normalize.L1))
L2 = tl.constexpr(int(Normalize.L2))
SOFTMAX = tl.constexpr(int(Normalize.SOFTMAX))
L1_POSITIVE = tl.constexpr(int(Normalize.L1_POSITIVE))

INFINITY = tl.constexpr(float("inf"))


class View(NamedTuple):
    """A strided tensor [B, K, ...] of up to four dimensions; strides count elements."""

    data: Any
    stride_b: Any
    stride_k: Any
    stride_h: Any = 0
    stride_w: Any = 0


class Map(NamedTuple):
    """The G maps of a program."""

    origin: Any
    """Where each begins, [G]."""
    stride_h: Any
    stride_w: Any
    exists: Any
    """False for a joint beyond the last, and for one that is not to be read, [G]."""
    height: Any
    width: Any
    rows: Any
    """The rows of a tile, [1, ROWS, 1]."""
    columns: Any
    """The columns of a tile, [1, 1, COLUMNS]."""
    pixels: Any
    """The map itself, [G, ROWS, COLUMNS], -inf beyond its edges; a single 0 unless WHOLE."""


@triton.jit
def joints_of_program(instances, joints, G: tl.constexpr):
    """Instance and joint of this program's maps, 64-bit, and which of them exist, [G]."""
    n = tl.program_id(0).to(tl.int64) * G
    if G > 1:
        n += tl.arange(0, G)[:, None, None]
    b = n // joints
    return b, n % joints, b < instances


@triton.jit
def at(view, b, k):
    """The address of each joint's first element, [G]."""
    return view.data + (b * view.stride_b + k * view.stride_k)


@triton.jit
def number(value, like):
    """A scalar in the dtype of `like`."""
    return tl.full([], value, like.dtype)


@triton.jit
def open_map(
    view,
    b,
    k,
    exists,
    height,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
):
    """The maps of joints `k`; sums and differences are made in the dtype A."""
    rows = tl.arange(0, ROWS)[None, :, None]
    columns = tl.arange(0, COLUMNS)[None, None, :]
    origin, zero = at(view, b, k), tl.zeros([1, 1, 1], A)
    m = Map(origin, view.stride_h, view.stride_w, exists, height, width, rows, columns, zero)
    if WHOLE:
        pixels = read(m, rows, columns, (rows < height) & (columns < width))
        m = Map(origin, view.stride_h, view.stride_w, exists, height, width, rows, columns, pixels)
    return m


@triton.jit
def read(m, i, x, mask):
    """Pixels (i, x), -inf where masked off; upcast right after the load."""
    offset = i.to(tl.int64) * m.stride_h + x.to(tl.int64) * m.stride_w
    value = tl.load(m.origin + offset, mask=mask & m.exists, other=-INFINITY)
    return value.to(m.pixels.dtype)


@triton.jit
def write(view, b, k, i, x, value, mask):
    """Store a value per pixel in the dtype of `view`."""
    offset = i.to(tl.int64) * view.stride_h + x.to(tl.int64) * view.stride_w
    tl.store(at(view, b, k) + offset, value.to(view.data.dtype.element_ty), mask=mask)


@triton.jit
def tiles(m, WHOLE: tl.constexpr):
    """How many tiles a map has."""
    if WHOLE:
        return 1
    else:
        return tl.cdiv(m.height, m.rows.shape[1]) * tl.cdiv(m.width, m.columns.shape[2])


@triton.jit
def pixels_of(m, tile, WHOLE: tl.constexpr):
    """Rows and columns of a tile, and which of its pixels are on the map."""
    i, x = m.rows, m.columns
    if not WHOLE:
        across = tl.cdiv(m.width, x.shape[2])
        i += (tile // across) * i.shape[1]
        x += (tile % across) * x.shape[2]
    return i, x, (i < m.height) & (x < m.width)


@triton.jit
def values_of(m, tile, WHOLE: tl.constexpr):
    """A tile's pixels, [G, ROWS, COLUMNS], -inf beyond the map."""
    if WHOLE:
        return m.pixels
    else:
        i, x, mask = pixels_of(m, tile, WHOLE)
        return read(m, i, x, mask)


@triton.jit
def strips(m):
    """How many strips of 8 rows a map has, for passes that are rare."""
    return tl.cdiv(m.height, 8) * tl.cdiv(m.width, m.columns.shape[2])


@triton.jit
def pixels_of_strip(m, strip):
    """Rows and columns of a strip."""
    across = tl.cdiv(m.width, m.columns.shape[2])
    i = (strip // across) * 8 + tl.arange(0, 8)[None, :, None]
    return i, (strip % across) * m.columns.shape[2] + m.columns


@triton.jit
def flat(x):
    """[G, rows, columns] as [G, pixels], or [pixels] where G is 1: one reduction, not two."""
    PIXELS: tl.constexpr = x.shape[1] * x.shape[2]
    if x.shape[0] == 1:
        return tl.reshape(x, [PIXELS])
    else:
        return tl.reshape(x, [x.shape[0], PIXELS])


@triton.jit
def per_map(x):
    """What a reduction of `flat` has left as other values per map, [G]."""
    if len(x.shape) == 0:
        return x
    else:
        return x[:, None, None]


@triton.jit
def total(x):
    """The sum over each map, [G]."""
    pixels = flat(x)
    return per_map(tl.sum(pixels, len(pixels.shape) - 1))


@triton.jit
def largest(x):
    """The largest value of each map, NaN passed over, [G]."""
    pixels = flat(x)
    return per_map(tl.max(pixels, len(pixels.shape) - 1))


@triton.jit
def smallest(x):
    """The smallest value of each map, [G]."""
    pixels = flat(x)
    return per_map(tl.min(pixels, len(pixels.shape) - 1))


@triton.jit
def any_map(condition):
    """Whether a condition [G] holds for one of the program's maps: a scalar."""
    if len(condition.shape) == 0:
        return condition
    else:
        return tl.max(tl.reshape(condition.to(tl.int32), [condition.shape[0]]), 0) > 0


@triton.jit
def positive_part(x):
    """max(x, 0); NaN stays NaN."""
    return tl.where(x < 0, 0.0, x)


@triton.jit
def finite_or_nan(x):
    """Infinities become NaN."""
    return x + (x - x)


@triton.jit
def maximum_of(m, WHOLE: tl.constexpr):
    """The largest value of each map, NaN passed over, [G]."""
    top = tl.full(m.exists.shape, -INFINITY, m.pixels.dtype)
    for tile in range(tiles(m, WHOLE)):
        top = tl.maximum(top, largest(values_of(m, tile, WHOLE)))
    return top


@triton.jit
def has_nan(m, WHOLE: tl.constexpr):
    """Whether each map has a NaN, [G]."""
    found = tl.zeros(m.exists.shape, tl.int32)
    for tile in range(tiles(m, WHOLE)):
        v = values_of(m, tile, WHOLE)
        found = tl.maximum(found, largest((v != v).to(tl.int32)))
    return found > 0


@triton.jit
def peak_of(m, top, WHOLE: tl.constexpr):
    """(y, x) of the first pixel, row by row, that equals `top`; (0, 0) where none does (NaN)."""
    COLUMNS: tl.constexpr = m.columns.shape[2]
    NOWHERE: tl.constexpr = m.rows.shape[1] * COLUMNS
    index = m.rows * COLUMNS + m.columns
    best_y = tl.full(m.exists.shape, 2147483647, tl.int32)
    best_x = tl.zeros(m.exists.shape, tl.int32)
    for tile in range(tiles(m, WHOLE)):
        i, x, mask = pixels_of(m, tile, WHOLE)
        is_top = (values_of(m, tile, WHOLE) == top) & mask
        found = smallest(tl.where(is_top, index, NOWHERE))
        y_here = smallest(i) + found // COLUMNS
        x_here = smallest(x) + found % COLUMNS
        # Tiles lie side by side: a later one may hold an earlier row's pixel.
        take = (found < NOWHERE) & (y_here < best_y)
        best_y = tl.where(take, y_here, best_y)
        best_x = tl.where(take, x_here, best_x)
    return tl.where(best_y == 2147483647, 0, best_y), best_x


@triton.jit
def norm_of(m, least, KIND: tl.constexpr, FLOORED: tl.constexpr, WHOLE: tl.constexpr):
    """The divisor of l1, l2 and l1_positive before eps, [G]; FLOORED: of the values not below
    `least`, [G]."""
    norm = tl.zeros(m.exists.shape, m.pixels.dtype)
    for tile in range(tiles(m, WHOLE)):
        _, _, mask = pixels_of(m, tile, WHOLE)
        v = tl.where(mask, values_of(m, tile, WHOLE), 0.0)
        if FLOORED:
            v = tl.where(v < least, 0.0, v)
        if KIND == L2:
            norm += total(v * v)
        elif KIND == L1:
            norm += total(tl.abs(v))
        else:
            norm += total(positive_part(v))
    return tl.sqrt(norm) if KIND == L2 else norm


@triton.jit
def norm_slope(v, inverse_norm, KIND: tl.constexpr):
    """The derivative of the norm at a pixel; NaN stays NaN for l1."""
    if KIND == L2:
        return v * inverse_norm
    elif KIND == L1:
        return tl.where(v > 0, 1.0, tl.where(v < 0, -1.0, v))
    else:
        return tl.where(v > 0, 1.0, 0.0)


@triton.jit
def exp_of(m, tile, top, beta, WHOLE: tl.constexpr):
    """e = exp(beta (S - max)) of a tile, 0 beyond the map."""
    return tl.exp((values_of(m, tile, WHOLE) - top) * beta)


@triton.jit
def in_box(i, x, first_y, last_y, first_x, last_x):
    """Which pixels lie in rows [first_y, last_y) and columns [first_x, last_x)."""
    return ((i >= first_y) & (i < last_y)) & ((x >= first_x) & (x < last_x))


@triton.jit
def softmax_of(
    m, top, beta, first_y, last_y, first_x, last_x, BOXED: tl.constexpr, WHOLE: tl.constexpr
):
    """The sum of e and its expectation (x, y): over the map, or over a box where BOXED."""
    mass = tl.zeros(m.exists.shape, m.pixels.dtype)
    x_moment = tl.zeros(m.exists.shape, m.pixels.dtype)
    y_moment = tl.zeros(m.exists.shape, m.pixels.dtype)
    for tile in range(tiles(m, WHOLE)):
        i, x, _ = pixels_of(m, tile, WHOLE)
        e = exp_of(m, tile, top, beta, WHOLE)
        if BOXED:
            e = tl.where(in_box(i, x, first_y, last_y, first_x, last_x), e, 0.0)
        mass += total(e)
        x_moment += total(e * x.to(e.dtype))
        y_moment += total(e * i.to(e.dtype))
    return mass, x_moment / mass, y_moment / mass


@triton.jit
def mass_outside(m, top, beta, first_y, last_y, first_x, last_x, WHOLE: tl.constexpr):
    """The sum of e outside a box: added up, since 1 - (mass inside) would lose a small rest."""
    mass = tl.zeros(m.exists.shape, m.pixels.dtype)
    for tile in range(tiles(m, WHOLE)):
        i, x, _ = pixels_of(m, tile, WHOLE)
        e = exp_of(m, tile, top, beta, WHOLE)
        mass += total(tl.where(in_box(i, x, first_y, last_y, first_x, last_x), 0.0, e))
    return mass


@triton.jit
def confidence_of(m, top, beta, mass, x, y):
    """The share of the softmax in the 5 x 5 box around the rounded (x, y); NaN where that is."""
    known = (x == x) & (y == y)
    top_row = tl.floor(tl.where(known, y, 0.0) + 0.5).to(tl.int32) - 2
    left_column = tl.floor(tl.where(known, x, 0.0) + 0.5).to(tl.int32) - 2
    row = top_row + tl.arange(0, 8)[None, :, None]
    column = left_column + tl.arange(0, 8)[None, None, :]
    near = in_box(row, column, top_row, top_row + 5, left_column, left_column + 5)
    near &= in_box(row, column, 0, m.height, 0, m.width)
    e = tl.exp((read(m, row, column, near) - top) * beta)
    share = total(tl.where(near, e, 0.0)) / mass
    return tl.where(known, share, x + y)
