"""The divergence of a map's window from the teacher's, and its gradient.

With e = exp(beta (S - max)), the gradient in the logits S outside the window is
    e (constant + slope_x x + slope_y y + uncovered) + linear f(S),
f the derivative of the norm; a pixel of the window has `uncovered` for its uncovered part only,
and what the cells that read it give back.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from hhd_kernels.hhd_loss import LOG_TINY as LOG_TINY_NUMBER
from hhd_kernels.options import Divergence
from hhd_kernels.triton.maps import (
    INFINITY,
    L1,
    L1_POSITIVE,
    L2,
    NONE,
    SOFTMAX,
    any_map,
    exp_of,
    finite_or_nan,
    largest,
    norm_slope,
    pixels_of,
    pixels_of_strip,
    positive_part,
    read,
    strips,
    tiles,
    total,
    values_of,
    write,
)
from hhd_kernels.triton.teacher_targets import divisor_of, normalized_cell
from hhd_kernels.triton.window import (
    NEAREST,
    cell_tile,
    folded,
    in_window,
    is_inside,
    load_cells,
    pixel_of,
    reader_of,
    readings_of,
    source_of,
    tap_weight,
    uncovered_of,
)

KL = tl.constexpr(int(Divergence.KL))
LOG_TINY = tl.constexpr(LOG_TINY_NUMBER)
TINY = tl.constexpr(1.1754943508222875e-38)


class Gradient(NamedTuple):
    """The terms of the gradient, all [G]."""

    constant: Any
    """Without a softmax 0, or NaN in all of a gradient that is."""
    slope_x: Any
    slope_y: Any
    uncovered: Any
    by_cells: Any
    """Times e, for every cell that reads a pixel."""
    patch: Any
    """What multiplies the window's own part, see `window_part`."""
    linear: Any
    inverse_divisor: Any
    """Of the student's normalisation (sse)."""
    rest: Any
    """Times exp(beta (S - rest_top)): the rest bin's part where its e would underflow."""
    rest_top: Any


@triton.jit
def kl_teacher(
    windows,
    origin,
    rows,
    columns,
    exists,
    N: tl.constexpr,
    M: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    A: tl.constexpr,
):
    """The sum of the teacher's window, and the mass that its map has left for the rest bin."""
    held, inside = tl.zeros(exists.shape, A), tl.zeros(exists.shape, A)
    for tile in range(((N + P - 1) // P) * ((M + Q - 1) // Q)):
        n, c = cell_tile(tile, N, M, P, Q)
        cell = load_cells(windows, origin, n, c, exists & (n < N) & (c < M), A)
        cell = positive_part(finite_or_nan(cell))
        held += total(cell)
        inside += total(tl.where(is_inside(rows, n) & is_inside(columns, c), cell, 0.0))
    return held, positive_part(1 - inside)


@triton.jit
def kl_cell(m, rows, columns, n, c, filled, beta, SAMPLING: tl.constexpr):
    """A cell's mass as sum x exp(beta (cell_top - max)), cell_top its largest logit: no underflow.

    The sum is 0 for a cell without mass.
    """
    cell_top = tl.full(filled.shape, -INFINITY, m.pixels.dtype)
    for TAP_Y in tl.static_range(1 if SAMPLING == NEAREST else 2):
        for TAP_X in tl.static_range(1 if SAMPLING == NEAREST else 2):
            _, s = pixel_of(m, rows, columns, n, c, TAP_Y, TAP_X, filled)
            cell_top = tl.maximum(cell_top, s)
    mass = tl.zeros(filled.shape, m.pixels.dtype)
    for TAP_Y in tl.static_range(1 if SAMPLING == NEAREST else 2):
        for TAP_X in tl.static_range(1 if SAMPLING == NEAREST else 2):
            weight, s = pixel_of(m, rows, columns, n, c, TAP_Y, TAP_X, filled)
            share = weight * tl.exp((s - cell_top) * beta)
            mass += tl.where(s == -INFINITY, 0.0, share)
    return cell_top, mass


@triton.jit
def kl_of(
    m,
    windows,
    origin,
    rows,
    columns,
    exists,
    top,
    beta,
    p_mass,
    held,
    rest,
    scale,
    N: tl.constexpr,
    M: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    SAMPLING: tl.constexpr,
    BORDER: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """KL(teacher || student) over cells and rest, and its gradient times `scale`."""
    A: tl.constexpr = m.pixels.dtype
    # What a share of exactly zero counts as; masses here are in units of exp(beta max).
    log_zero = LOG_TINY + tl.log(p_mass)
    inverse_teacher = 1 / (held + rest)
    student, kl = tl.zeros(exists.shape, A), tl.zeros(exists.shape, A)
    on_zero = tl.zeros(exists.shape, A)
    for tile in range(((N + P - 1) // P) * ((M + Q - 1) // Q)):
        n, c = cell_tile(tile, N, M, P, Q)
        from_y, in_y = source_of(rows, n, N, SAMPLING, BORDER)
        from_x, in_x = source_of(columns, c, M, SAMPLING, BORDER)
        filled = in_y & in_x & exists
        cell_top, share = kl_cell(m, rows, columns, from_y, from_x, filled, beta, SAMPLING)
        log_mass = (cell_top - top) * beta + tl.log(share)
        log_mass = tl.where(share == 0, log_zero, log_mass)
        student += total(tl.where(share == 0, 0.0, tl.exp((cell_top - top) * beta) * share))
        cell = load_cells(windows, origin, n, c, exists & (n < N) & (c < M), A)
        target = positive_part(cell) * inverse_teacher
        term = target * (tl.log(tl.maximum(target, TINY)) - log_mass)
        kl += total(tl.where(target <= 0, 0.0, term))
        on_zero += total(tl.where(share == 0, target, 0.0))

    rest_mass = tl.zeros(exists.shape, A)
    for tile in range(tiles(m, WHOLE)):
        i, x, _ = pixels_of(m, tile, WHOLE)
        free = uncovered_of(rows, columns, i, x, SAMPLING)
        rest_mass += total(exp_of(m, tile, top, beta, WHOLE) * free)
    # Terms that exp flushed to 0 would be missed: such a sum is formed anew, see `scaled_rest`.
    UNDERFLOW: tl.constexpr = 1e-290 if m.pixels.dtype == tl.float64 else 1e-25
    small = rest_mass < UNDERFLOW
    rest_top, rest_sum = top, rest_mass
    if any_map(small & exists):
        other_top, other_sum = scaled_rest(m, rows, columns, beta, SAMPLING)
        rest_top = tl.where(small, other_top, rest_top)
        rest_sum = tl.where(small, other_sum, rest_sum)
    none = rest_sum == 0
    rest_mass = tl.where(none, 0.0, tl.exp((rest_top - top) * beta) * rest_sum)
    log_rest = tl.where(none, log_zero, (rest_top - top) * beta + tl.log(rest_sum))
    student += rest_mass
    rest_target = rest * inverse_teacher
    on_zero += tl.where(none, rest_target, 0.0)
    term = rest_target * (tl.log(rest_target) - log_rest)
    kl += tl.where(rest_target <= 0, 0.0, term)
    kl += (held + rest) * inverse_teacher * tl.log(student)
    # Rounding may leave a hair below 0, where KL cannot be.
    kl = tl.where(kl < 0, 0.0, kl)

    factor = scale * beta
    zero = tl.zeros(exists.shape, A)
    by_rest = tl.where(none, 0.0, factor * rest_target / rest_sum)
    g = Gradient(
        # The other masses' log p holds the softmax's own sum, which then does not cancel.
        -factor * on_zero / p_mass,
        zero,
        zero,
        factor / student - tl.where(small, 0.0, by_rest),
        factor / student,
        -factor * inverse_teacher,
        zero,
        zero,
        tl.where(small, by_rest, 0.0),
        rest_top,
    )
    return kl, g


@triton.jit
def scaled_rest(m, rows, columns, beta, SAMPLING: tl.constexpr):
    """The rest bin's largest logit, and its mass in units of that logit's e.

    Rare, and so the map is read again in strips: kept, it would cost registers in every call.
    """
    rest_top = tl.full(m.exists.shape, -INFINITY, m.pixels.dtype)
    for strip in range(strips(m)):
        i, x = pixels_of_strip(m, strip)
        free = uncovered_of(rows, columns, i, x, SAMPLING) > 0
        on_map = (i < m.height) & (x < m.width)
        rest_top = tl.maximum(rest_top, largest(read(m, i, x, free & on_map)))
    mass = tl.zeros(m.exists.shape, m.pixels.dtype)
    for strip in range(strips(m)):
        i, x = pixels_of_strip(m, strip)
        free = uncovered_of(rows, columns, i, x, SAMPLING)
        v = read(m, i, x, (free > 0) & (i < m.height) & (x < m.width))
        share = free * tl.exp((v - rest_top) * beta)
        mass += total(tl.where(v == -INFINITY, 0.0, share))
    return rest_top, mass


@triton.jit
def sse_of(
    m,
    windows,
    origin,
    rows,
    columns,
    exists,
    top,
    beta,
    eps,
    scale,
    KIND: tl.constexpr,
    N: tl.constexpr,
    M: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    SAMPLING: tl.constexpr,
    BORDER: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """The sum of squared differences of the normalised windows, and its gradient."""
    A: tl.constexpr = m.pixels.dtype
    divisor, floored = divisor_of(m, top, beta, eps, 0.0, KIND, False, WHOLE)
    loss, dot = tl.zeros(exists.shape, A), tl.zeros(exists.shape, A)
    for tile in range(((N + P - 1) // P) * ((M + Q - 1) // Q)):
        n, c = cell_tile(tile, N, M, P, Q)
        from_y, in_y = source_of(rows, n, N, SAMPLING, BORDER)
        from_x, in_x = source_of(columns, c, M, SAMPLING, BORDER)
        filled = in_y & in_x & exists
        value = normalized_cell(
            m, rows, columns, from_y, from_x, filled, top, beta, 0.0, KIND, False, SAMPLING
        )
        value = tl.where(filled, value / divisor, 0.0)
        cell = load_cells(windows, origin, n, c, exists & (n < N) & (c < M), A)
        difference = value - finite_or_nan(cell)
        loss += total(difference * difference)
        dot += total(2 * difference * value)
    zero = tl.zeros(exists.shape, A)
    factor, constant, linear = scale / divisor, zero, zero
    if KIND == SOFTMAX:
        constant = -factor * beta * dot
    elif KIND != NONE:
        linear = tl.where(floored, 0.0, -factor * dot)
    return loss, Gradient(constant, zero, zero, zero, zero, factor, linear, 1 / divisor, zero, top)


@triton.jit
def window_part(
    m,
    windows,
    origin,
    rows,
    columns,
    p,
    q,
    s,
    exists,
    top,
    beta,
    inverse_divisor,
    DIVERGENCE: tl.constexpr,
    KIND: tl.constexpr,
    N: tl.constexpr,
    M: tl.constexpr,
    SAMPLING: tl.constexpr,
    BORDER: tl.constexpr,
):
    """What the cells that read a pixel of the window, of logit s, give back to it.

    kl: the teacher's cells, each by the pixel's share of the student's cell.
    sse: 2 (A - B) of the cells, by the normalised map's derivative in the pixel.
    """
    A: tl.constexpr = m.pixels.dtype
    POSITIVE: tl.constexpr = DIVERGENCE == KL
    result = tl.zeros(s.shape, A)
    for TAP_Y in tl.static_range(1 if SAMPLING == NEAREST else 2):
        for TAP_X in tl.static_range(1 if SAMPLING == NEAREST else 2):
            n, c = p - TAP_Y, q - TAP_X
            weight = tap_weight(rows, TAP_Y) * tap_weight(columns, TAP_X)
            here = is_inside(rows, n) & is_inside(columns, c) & exists
            target = folded(
                windows, origin, rows, columns, n, c, exists, N, M, SAMPLING, BORDER, POSITIVE, A
            )
            if DIVERGENCE == KL:
                cell_top, mass = kl_cell(m, rows, columns, n, c, here, beta, SAMPLING)
                share = weight * tl.exp((s - cell_top) * beta) / mass
                term = tl.where((mass > 0) & (weight > 0), target * share, 0.0)
            else:
                value = normalized_cell(
                    m, rows, columns, n, c, here, top, beta, 0.0, KIND, False, SAMPLING
                )
                readers = readers_of(rows, n, N, SAMPLING, BORDER)
                readers = readers * readers_of(columns, c, M, SAMPLING, BORDER)
                term = 2 * (readers * (value * inverse_divisor) - target) * weight
                term = tl.where(here & (weight > 0), term, 0.0)
            result += term
    if DIVERGENCE != KL:
        if KIND == SOFTMAX:
            result = result * (beta * tl.exp((s - top) * beta))
        elif KIND == L1_POSITIVE:
            result = tl.where(s > 0, result, 0.0)
    return result


@triton.jit
def readers_of(a, n, N: tl.constexpr, SAMPLING: tl.constexpr, BORDER: tl.constexpr):
    """How many cells take the value at cell n's position."""
    count = tl.zeros((n + a.start).shape, a.fraction.dtype)
    for MIRRORED in tl.static_range(2):
        _, reads = reader_of(a, n, MIRRORED, N, SAMPLING, BORDER)
        count += reads.to(a.fraction.dtype)
    return count


@triton.jit
def write_gradient(
    m,
    g,
    grad,
    b,
    k,
    windows,
    origin,
    rows,
    columns,
    exists,
    selected,
    top,
    beta,
    USES_SOFTMAX: tl.constexpr,
    DIVERGENCE: tl.constexpr,
    KIND: tl.constexpr,
    N: tl.constexpr,
    M: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    SAMPLING: tl.constexpr,
    BORDER: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """The whole gradient of each map, 0 where it is not `selected`: all pixels as those outside the
    window, since a mask by pixel would make every store one of a pixel, then those of the window,
    which gather what their cells give back."""
    A: tl.constexpr = m.pixels.dtype
    if any_map(g.rest != 0):
        for strip in range(strips(m)):
            i, x = pixels_of_strip(m, strip)
            on_map = (i < m.height) & (x < m.width)
            v = read(m, i, x, on_map)
            value = outside_part(v, i, x, g, top, beta, USES_SOFTMAX, KIND)
            value -= g.rest * tl.exp((v - g.rest_top) * beta)
            write(grad, b, k, i, x, tl.where(selected, value, 0.0), on_map & exists)
    else:
        for tile in range(tiles(m, WHOLE)):
            i, x, mask = pixels_of(m, tile, WHOLE)
            v = values_of(m, tile, WHOLE)
            value = outside_part(v, i, x, g, top, beta, USES_SOFTMAX, KIND)
            write(grad, b, k, i, x, tl.where(selected, value, 0.0), mask & exists)
    tl.debug_barrier()  # the window's pixels are written anew, by other threads
    for tile in range(((N + P) // P) * ((M + Q) // Q)):
        p, q = cell_tile(tile, N + 1, M + 1, P, Q)
        i, x = rows.start + p, columns.start + q
        inside = in_window(rows, columns, i, x, SAMPLING) & exists
        s = read(m, i, x, inside)
        value = linear_part(s, g, KIND)
        if not USES_SOFTMAX:
            value += g.constant
        else:
            free = uncovered_of(rows, columns, i, x, SAMPLING)
            readings = readings_of(rows, p, N, SAMPLING, BORDER)
            readings = readings * readings_of(columns, q, M, SAMPLING, BORDER)
            slope = (g.constant + g.slope_y * i.to(A)) + g.slope_x * x.to(A)
            slope += g.uncovered * free + g.by_cells * readings
            value += tl.exp((s - top) * beta) * slope
            rest = g.rest * free * tl.exp((s - g.rest_top) * beta)
            value -= tl.where((g.rest != 0) & (free > 0), rest, 0.0)
        value += g.patch * window_part(
            m,
            windows,
            origin,
            rows,
            columns,
            p,
            q,
            s,
            exists,
            top,
            beta,
            g.inverse_divisor,
            DIVERGENCE,
            KIND,
            N,
            M,
            SAMPLING,
            BORDER,
        )
        write(grad, b, k, i, x, value, inside)


@triton.jit
def outside_part(v, i, x, g, top, beta, USES_SOFTMAX: tl.constexpr, KIND: tl.constexpr):
    """The gradient of pixels outside the window."""
    value = linear_part(v, g, KIND)
    if USES_SOFTMAX:
        slope = (g.constant + g.uncovered + g.slope_y * i.to(v.dtype)) + g.slope_x * x.to(v.dtype)
        value += tl.exp((v - top) * beta) * slope
    else:
        value += g.constant
    return value


@triton.jit
def linear_part(v, g, KIND: tl.constexpr):
    """What comes through the norm; one that does not enter must not meet an infinite logit."""
    if KIND == L1 or KIND == L2 or KIND == L1_POSITIVE:  # noqa: SIM109
        return tl.where(g.linear == 0, 0.0, g.linear * norm_slope(v, g.inverse_divisor, KIND))
    else:
        return tl.zeros(v.shape, v.dtype)
