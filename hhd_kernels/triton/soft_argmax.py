"""Soft-argmax over the map or over a window around its peak; see hhd_kernels/soft_argmax.py."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hhd_kernels.normalize import accumulator
from hhd_kernels.triton import launch
from hhd_kernels.triton.locate import load_point, store_point
from hhd_kernels.triton.maps import (
    at,
    confidence_of,
    exp_of,
    in_box,
    joints_of_program,
    maximum_of,
    number,
    open_map,
    peak_of,
    pixels_of,
    softmax_of,
    tiles,
    write,
)


@triton.jit
def box_around_peak(m, top, window, WHOLE: tl.constexpr):
    """First and last + 1 rows and columns of the window around each map's peak."""
    y, x = peak_of(m, top, WHOLE)
    return y - window // 2, y + window // 2 + 1, x - window // 2, x + window // 2 + 1


@triton.jit
def soft_argmax_kernel(
    logits,
    coords,
    confidence,
    instances,
    joints,
    height,
    width,
    beta: tl.float64,
    window,
    WINDOWED: tl.constexpr,
    G: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
):
    b, k, exists = joints_of_program(instances, joints, G)
    m = open_map(logits, b, k, exists, height, width, ROWS, COLUMNS, WHOLE, A)
    rate = number(beta, m.pixels)
    top = maximum_of(m, WHOLE)
    mass, x, y = softmax_of(m, top, rate, 0, 0, 0, 0, False, WHOLE)
    if WINDOWED:
        first_y, last_y, first_x, last_x = box_around_peak(m, top, window, WHOLE)
        _, x_near, y_near = softmax_of(m, top, rate, first_y, last_y, first_x, last_x, True, WHOLE)
        # A map with NaN has none in its window, perhaps, but no expectation either.
        x, y = tl.where(mass == mass, x_near, x), tl.where(mass == mass, y_near, y)
    store_point(coords, b, k, x, y, exists)
    share = confidence_of(m, top, rate, mass, x, y)
    tl.store(at(confidence, b, k), share, mask=exists)


@triton.jit
def soft_argmax_backward_kernel(
    grad_coords,
    logits,
    grad,
    instances,
    joints,
    height,
    width,
    beta: tl.float64,
    window,
    WINDOWED: tl.constexpr,
    G: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
):
    b, k, exists = joints_of_program(instances, joints, G)
    m = open_map(logits, b, k, exists, height, width, ROWS, COLUMNS, WHOLE, A)
    rate = number(beta, m.pixels)
    top = maximum_of(m, WHOLE)
    mass, x_mean, y_mean = softmax_of(m, top, rate, 0, 0, 0, 0, False, WHOLE)
    if WINDOWED:
        first_y, last_y, first_x, last_x = box_around_peak(m, top, window, WHOLE)
        known = mass == mass
        near, x_near, y_near = softmax_of(
            m, top, rate, first_y, last_y, first_x, last_x, True, WHOLE
        )
        mass, x_mean, y_mean = (
            tl.where(known, near, mass),
            tl.where(known, x_near, x_mean),
            tl.where(known, y_near, y_mean),
        )
    g_x, g_y = load_point(grad_coords, b, k, exists, A)
    g_x, g_y = g_x * rate / mass, g_y * rate / mass
    for tile in range(tiles(m, WHOLE)):
        i, x, mask = pixels_of(m, tile, WHOLE)
        slope = g_x * (x.to(A) - x_mean) + g_y * (i.to(A) - y_mean)
        value = exp_of(m, tile, top, rate, WHOLE) * slope
        if WINDOWED:
            outside = in_box(i, x, first_y, last_y, first_x, last_x) == 0
            value = tl.where(outside & known, 0.0, value)
        write(grad, b, k, i, x, value, mask & exists)


def soft_argmax(logits: Tensor, beta: float, window: int) -> tuple[Tensor, Tensor]:
    """See `hhd_kernels.soft_argmax`; a window of 0 is the whole map."""
    shape, dtype = logits.shape[:2], accumulator(logits)
    coords = logits.new_empty((*shape, 2), dtype=dtype)
    confidence = logits.new_empty(shape, dtype=dtype)
    block = launch.tile(logits)
    launch.run(
        soft_argmax_kernel,
        launch.programs(logits, block),
        logits,
        launch.view(logits),
        launch.view(coords),
        launch.view(confidence),
        *logits.shape,
        beta,
        window,
        WINDOWED=window > 0,
        **block,
    )
    return coords, confidence


def soft_argmax_backward(grad_coords: Tensor, logits: Tensor, beta: float, window: int) -> Tensor:
    """The gradient in the logits, of their dtype and strides."""
    grad = torch.empty_like(logits)
    block = launch.tile(logits)
    launch.run(
        soft_argmax_backward_kernel,
        launch.programs(logits, block),
        logits,
        launch.view(grad_coords),
        launch.view(logits),
        launch.view(grad),
        *logits.shape,
        beta,
        window,
        WINDOWED=window > 0,
        **block,
    )
    return grad
