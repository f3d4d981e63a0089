"""Soft-argmax, coordinate loss and distillation loss with the gradient, in one pass over the maps.

One launch over the maps writes each joint's terms to their own place, a second adds them up in
order. See hhd_kernels/joint_loss.py.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from hhd_kernels.normalize import accumulator
from hhd_kernels.options import CoordinateLoss, Reduction
from hhd_kernels.triton import launch
from hhd_kernels.triton.divergence import KL, Gradient, kl_of, kl_teacher, sse_of, write_gradient
from hhd_kernels.triton.locate import DEBIASED, load_point, store_point, student_center
from hhd_kernels.triton.maps import (
    SOFTMAX,
    at,
    confidence_of,
    finite_or_nan,
    joints_of_program,
    maximum_of,
    number,
    open_map,
    softmax_of,
)
from hhd_kernels.triton.teacher_targets import teacher_targets
from hhd_kernels.triton.window import axis_at, emptied

NO_COORDINATES = tl.constexpr(int(CoordinateLoss.NONE))
L1_LOSS = tl.constexpr(int(CoordinateLoss.L1))
SMOOTH_L1 = tl.constexpr(int(CoordinateLoss.SMOOTH_L1))


@triton.jit
def load_weight(view, b, k, exists, A: tl.constexpr):
    """The weight of each joint, 1 where none was given."""
    if view is None:
        return exists.to(A)
    else:
        return tl.load(at(view, b, k), mask=exists, other=0.0).to(A)


@triton.jit
def load_scale(term_weight, weight_sum, grad_scale, like):
    """What a joint's loss is multiplied by in the gradient; 0 where the weights sum to 0."""
    scale = number(term_weight, like)
    if weight_sum is not None:
        by = tl.load(weight_sum).to(like.dtype)
        scale = tl.where(by == 0, 0.0, scale / by)
    if grad_scale is not None:
        scale = scale * tl.load(grad_scale).to(like.dtype)
    return scale


@triton.jit
def coordinate_loss_1d(d, transition, COORDINATES: tl.constexpr):
    """Loss and slope of one axis; NaN stays NaN in both."""
    size = tl.abs(d)
    sign = tl.where(d > 0, 1.0, tl.where(d < 0, -1.0, d))
    if COORDINATES == L1_LOSS:
        return size, sign
    elif COORDINATES == SMOOTH_L1:
        near = size < transition
        loss = tl.where(near, d * d / (2 * transition), size - transition / 2)
        return loss, tl.where(near, d / transition, sign)
    else:
        return d * d, 2 * d


@triton.jit
def joint_loss_kernel(
    logits,
    centers,
    windows,
    target_coords,
    weight,
    teacher_weight,
    weight_sum,
    teacher_weight_sum,
    grad_scale,
    coords,
    confidence,
    coordinate_terms,
    hhd_terms,
    grad,
    instances,
    joints,
    height,
    width,
    beta: tl.float64,
    eps: tl.float64,
    unit_x: tl.float64,
    unit_y: tl.float64,
    transition: tl.float64,
    coordinate_weight: tl.float64,
    hhd_weight: tl.float64,
    KIND: tl.constexpr,
    DIVERGENCE: tl.constexpr,
    LOCATE: tl.constexpr,
    COORDINATES: tl.constexpr,
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
    n = b * joints + k
    w_hhd = load_weight(teacher_weight, b, k, exists, A)
    # Without coordinates, a joint of weight 0 is not even read.
    wanted = exists & ((w_hhd != 0) if coords is None else exists)
    m = open_map(logits, b, k, wanted, height, width, ROWS, COLUMNS, WHOLE, A)
    rate = number(beta, m.pixels)
    top = maximum_of(m, WHOLE)
    zero = tl.zeros(exists.shape, A)
    USES_SOFTMAX: tl.constexpr = (
        coords is not None or DIVERGENCE == KL or KIND == SOFTMAX or LOCATE == DEBIASED
    )
    mass, x, y = zero + 1, zero, zero
    if USES_SOFTMAX:
        mass, x, y = softmax_of(m, top, rate, 0, 0, 0, 0, False, WHOLE)

    slope_x, slope_y, coordinate_term = zero, zero, zero
    labelled = tl.zeros(exists.shape, tl.int1)
    if COORDINATES != NO_COORDINATES:
        w = load_weight(weight, b, k, exists, A)
        labelled = w != 0
        target_x, target_y = load_point(target_coords, b, k, labelled, A)
        per_x, per_y = 1 / number(unit_x, rate), 1 / number(unit_y, rate)
        change = number(transition, rate)
        d_x, d_y = x - finite_or_nan(target_x), y - finite_or_nan(target_y)
        loss_x, d_x = coordinate_loss_1d(d_x * per_x, change, COORDINATES)
        loss_y, d_y = coordinate_loss_1d(d_y * per_y, change, COORDINATES)
        coordinate_term = tl.where(labelled, w * ((loss_x + loss_y) / 2), 0.0)
        factor = load_scale(coordinate_weight, weight_sum, grad_scale, rate) * w * rate / mass
        slope_x = tl.where(labelled, factor * (d_x * per_x / 2), 0.0)
        slope_y = tl.where(labelled, factor * (d_y * per_y / 2), 0.0)

    t_x, t_y = load_point(centers, b, k, exists, A)
    s_x, s_y = student_center(m, top, rate, mass, t_x, t_y, CELLS_Y, CELLS_X, LOCATE, WHOLE)
    rows, columns = axis_at(s_y, CELLS_Y, height, SAMPLING), axis_at(s_x, CELLS_X, width, SAMPLING)
    active = exists & (w_hhd != 0)
    # NaN for a centre that is not finite.
    w_hhd += tl.where(active, (t_x - t_x) + (t_y - t_y), 0.0)
    scale = load_scale(hhd_weight, teacher_weight_sum, grad_scale, rate) * w_hhd
    origin = at(windows, b, k)
    if DIVERGENCE == KL:
        t_rows = axis_at(t_y, CELLS_Y, height, SAMPLING)
        t_columns = axis_at(t_x, CELLS_X, width, SAMPLING)
        held, rest = kl_teacher(
            windows, origin, t_rows, t_columns, active, CELLS_Y, CELLS_X, P, Q, A
        )
        # A teacher's window that holds nothing teaches nothing.
        active &= (held != 0) | (w_hhd != w_hhd)
        rows, columns = emptied(rows, active), emptied(columns, active)
        loss, g = kl_of(
            m,
            windows,
            origin,
            rows,
            columns,
            active,
            top,
            rate,
            mass,
            held,
            rest,
            scale,
            CELLS_Y,
            CELLS_X,
            P,
            Q,
            SAMPLING,
            BORDER,
            WHOLE,
        )
    else:
        rows, columns = emptied(rows, active), emptied(columns, active)
        loss, g = sse_of(
            m,
            windows,
            origin,
            rows,
            columns,
            active,
            top,
            rate,
            number(eps, rate),
            scale,
            KIND,
            CELLS_Y,
            CELLS_X,
            P,
            Q,
            SAMPLING,
            BORDER,
            WHOLE,
        )
    hhd_term = tl.where(active, w_hhd * loss, 0.0)
    if grad is not None:
        constant = tl.where(active, g.constant, 0.0)
        constant -= tl.where(labelled, slope_x * x + slope_y * y, 0.0)
        both = coordinate_term + hhd_term
        g = Gradient(
            # Of a loss that is NaN, the whole map's gradient is.
            tl.where(both == both, constant, both),
            slope_x,
            slope_y,
            tl.where(active, g.uncovered, 0.0),
            tl.where(active, g.by_cells, 0.0),
            tl.where(active, g.patch, 0.0),
            tl.where(active, g.linear, 0.0),
            g.inverse_divisor,
            tl.where(active, g.rest, 0.0),
            g.rest_top,
        )
        write_gradient(
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
            labelled | active,
            top,
            rate,
            USES_SOFTMAX,
            DIVERGENCE,
            KIND,
            CELLS_Y,
            CELLS_X,
            P,
            Q,
            SAMPLING,
            BORDER,
            WHOLE,
        )
    tl.store(hhd_terms + n, hhd_term, mask=exists)
    if coords is not None:
        share = confidence_of(m, top, rate, mass, x, y)
        store_point(coords, b, k, x, y, exists)
        tl.store(at(confidence, b, k), share, mask=exists)
        tl.store(coordinate_terms + n, coordinate_term, mask=exists)


@triton.jit
def reduced(terms, count, divisor, weight_sum, BLOCK: tl.constexpr):
    """The terms' sum in float64, in order, over a number or the weights' sum."""
    result = tl.zeros([], tl.float64)
    for first in range(0, count, BLOCK):
        n = first + tl.arange(0, BLOCK).to(tl.int64)
        part = tl.load(terms + n, mask=n < count, other=0.0).to(tl.float64)
        result += tl.sum(part, 0)
    by = divisor
    if weight_sum is not None:
        by = tl.load(weight_sum).to(tl.float64)
    return tl.where(by == 0, 0.0, result / by)


@triton.jit
def finish_kernel(
    coordinate_terms,
    hhd_terms,
    weight_sum,
    teacher_weight_sum,
    loss,
    coordinate_loss,
    hhd_loss,
    count: tl.int64,
    coordinate_divisor: tl.float64,
    hhd_divisor: tl.float64,
    coordinate_weight: tl.float64,
    hhd_weight: tl.float64,
    BLOCK: tl.constexpr,
):
    hhd = reduced(hhd_terms, count, hhd_divisor, teacher_weight_sum, BLOCK)
    whole = hhd * hhd_weight
    if coordinate_terms is not None:
        coordinate = reduced(coordinate_terms, count, coordinate_divisor, weight_sum, BLOCK)
        whole += coordinate * coordinate_weight
        tl.store(coordinate_loss, coordinate)
        tl.store(hhd_loss, hhd)
    tl.store(loss, whole)


def joint_loss(
    logits: Tensor,
    centers: Tensor,
    windows: Tensor,
    target_coords: Tensor | None,
    weight: Tensor | None,
    teacher_weight: Tensor | None,
    grad_scale: Tensor | None,
    beta: float,
    normalize: int,
    divergence: int,
    locate: int,
    sampling: int,
    border: int,
    reduction: int,
    eps: float,
    coordinate_loss: int,
    unit_x: float,
    unit_y: float,
    transition: float,
    coordinate_weight: float,
    hhd_weight: float,
    with_grad: bool,
    *,
    with_coords: bool = True,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See `hhd_kernels.joint_loss`."""
    b, k = logits.shape[:2]
    if target_coords is None:
        coordinate_loss = int(CoordinateLoss.NONE)
    teacher_weight = weight if teacher_weight is None else teacher_weight
    by_coordinate, weight_sum = _divisor(reduction, weight, b * k, b * k)
    if teacher_weight is weight and reduction != Reduction.OFFICIAL:
        by_hhd, teacher_weight_sum = by_coordinate, weight_sum
    else:
        by_hhd, teacher_weight_sum = _divisor(reduction, teacher_weight, b * k, b)

    def made(*shape: int) -> Tensor:
        return logits.new_empty(shape, dtype=accumulator(logits))

    coords, confidence = (made(b, k, 2), made(b, k)) if with_coords else (None, None)
    terms = made(2, b * k)
    grad = torch.empty_like(logits) if with_grad else logits.new_empty(0)
    block = launch.tile(logits)
    launch.run(
        joint_loss_kernel,
        launch.programs(logits, block),
        logits,
        launch.view(logits),
        launch.view(centers),
        launch.view(windows),
        launch.view(target_coords),
        launch.view(weight),
        launch.view(teacher_weight),
        weight_sum,
        teacher_weight_sum,
        grad_scale,
        launch.view(coords),
        launch.view(confidence),
        terms[0],
        terms[1],
        launch.view(grad) if with_grad else None,
        *logits.shape,
        beta,
        eps,
        unit_x,
        unit_y,
        transition,
        coordinate_weight / max(by_coordinate, 1),
        hhd_weight / max(by_hhd, 1),
        KIND=normalize,
        DIVERGENCE=divergence,
        LOCATE=locate,
        COORDINATES=coordinate_loss,
        **launch.cells(*windows.shape[2:]),
        SAMPLING=sampling,
        BORDER=border,
        **block,
        **launch.registers(logits, block),
    )
    loss, coordinate, hhd = made(), made(), made()
    launch.run(
        finish_kernel,
        1,
        logits,
        terms[0] if with_coords else None,
        terms[1],
        weight_sum,
        teacher_weight_sum,
        loss,
        coordinate,
        hhd,
        b * k,
        float(by_coordinate),
        float(by_hhd),
        coordinate_weight,
        hhd_weight,
        BLOCK=1024,
        num_warps=4,
    )
    empty = made(0)
    return (
        loss,
        coordinate,
        hhd,
        empty if coords is None else coords,
        empty if confidence is None else confidence,
        grad,
    )


def joint_loss_from_maps(
    logits: Tensor,
    heatmaps: Tensor,
    window_h: int,
    window_w: int,
    teacher_normalize: int,
    floor: float,
    target_coords: Tensor | None,
    weight: Tensor | None,
    teacher_weight: Tensor | None,
    grad_scale: Tensor | None,
    *options: Any,
) -> tuple[Tensor, ...]:
    """`teacher_targets` and `joint_loss`; `options` are the latter's after its tensors."""
    _, _, _, _, sampling, border, _, eps, *_ = options
    centers, windows, _ = teacher_targets(
        heatmaps, window_h, window_w, teacher_normalize, sampling, border, eps, floor
    )
    labels = (target_coords, weight, teacher_weight, grad_scale)
    *results, grad = joint_loss(logits, centers, windows, *labels, *options)
    return *results, centers, windows, grad


def _divisor(
    reduction: int, weight: Tensor | None, joints: int, official: int
) -> tuple[int, Tensor | None]:
    """What a term's sum is divided by: a number, or the sum of the weights on their device."""
    if reduction == Reduction.OFFICIAL:
        return official, None
    if weight is None:
        return joints, None
    return 1, weight.sum(dtype=torch.float64)
