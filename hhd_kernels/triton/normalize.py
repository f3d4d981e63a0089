"""Normalisation of whole maps and its gradient; see hhd_kernels/normalize.py."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hhd_kernels.triton import launch
from hhd_kernels.triton.maps import (
    L1_POSITIVE,
    NONE,
    SOFTMAX,
    exp_of,
    joints_of_program,
    maximum_of,
    norm_of,
    norm_slope,
    number,
    open_map,
    pixels_of,
    positive_part,
    softmax_of,
    tiles,
    total,
    values_of,
    write,
)


@triton.jit
def normalize_kernel(
    x,
    out,
    instances,
    joints,
    height,
    width,
    beta: tl.float64,
    eps: tl.float64,
    KIND: tl.constexpr,
    G: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
):
    b, k, exists = joints_of_program(instances, joints, G)
    m = open_map(x, b, k, exists, height, width, ROWS, COLUMNS, WHOLE, A)
    rate, least = number(beta, m.pixels), number(eps, m.pixels)
    top, divisor = number(0.0, m.pixels), number(1.0, m.pixels)
    if KIND == SOFTMAX:
        top = maximum_of(m, WHOLE)
        divisor = softmax_of(m, top, rate, 0, 0, 0, 0, False, WHOLE)[0]
    elif KIND != NONE:
        divisor = norm_of(m, 0.0, KIND, False, WHOLE)
        divisor = tl.where(divisor < least, least, divisor)
    for tile in range(tiles(m, WHOLE)):
        i, c, mask = pixels_of(m, tile, WHOLE)
        if KIND == SOFTMAX:
            value = exp_of(m, tile, top, rate, WHOLE)
        elif KIND == L1_POSITIVE:
            value = positive_part(values_of(m, tile, WHOLE))
        else:
            value = values_of(m, tile, WHOLE)
        write(out, b, k, i, c, value / divisor, mask & exists)


@triton.jit
def normalize_backward_kernel(
    grad,
    x,
    out,
    instances,
    joints,
    height,
    width,
    beta: tl.float64,
    eps: tl.float64,
    KIND: tl.constexpr,
    G: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
):
    b, k, exists = joints_of_program(instances, joints, G)
    m = open_map(x, b, k, exists, height, width, ROWS, COLUMNS, WHOLE, A)
    upstream = open_map(grad, b, k, exists, height, width, ROWS, COLUMNS, WHOLE, A)
    rate, least = number(beta, m.pixels), number(eps, m.pixels)
    top, mass = number(0.0, m.pixels), number(1.0, m.pixels)
    if KIND == SOFTMAX:
        top = maximum_of(m, WHOLE)
        mass = softmax_of(m, top, rate, 0, 0, 0, 0, False, WHOLE)[0]
    dot = tl.zeros(m.exists.shape, A)
    for tile in range(tiles(m, WHOLE)):
        _, _, mask = pixels_of(m, tile, WHOLE)
        if KIND == SOFTMAX:
            value = exp_of(m, tile, top, rate, WHOLE)
        elif KIND == L1_POSITIVE:
            value = positive_part(values_of(m, tile, WHOLE))
        else:
            value = values_of(m, tile, WHOLE)
        dot += total(tl.where(mask, value * values_of(upstream, tile, WHOLE), 0.0))
    # Where eps stands in for the norm, or there is none, nothing comes through it.
    divisor, along = number(1.0, m.pixels), number(0.0, m.pixels)
    if KIND != NONE and KIND != SOFTMAX:
        norm = norm_of(m, 0.0, KIND, False, WHOLE)
        divisor = tl.where(norm < least, least, norm)
        along = tl.where(norm < least, 0.0, dot / divisor)
    for tile in range(tiles(m, WHOLE)):
        i, c, mask = pixels_of(m, tile, WHOLE)
        v, g = values_of(m, tile, WHOLE), values_of(upstream, tile, WHOLE)
        if KIND == SOFTMAX:
            value = exp_of(m, tile, top, rate, WHOLE) * (rate / mass) * (g - dot / mass)
        elif KIND == NONE:
            value = g
        else:
            # A norm that does not enter must not meet the values: 0 times infinity is NaN.
            # The divisions come one by one: float32 may not hold the norm's square.
            pull = tl.where(along == 0, 0.0, along * norm_slope(v, 1 / divisor, KIND))
            value = (g - pull) / divisor
            if KIND == L1_POSITIVE:
                value = tl.where(v > 0, value, 0.0)
        write(out, b, k, i, c, value, mask & exists)


def normalize(x: Tensor, kind: int, beta: float, eps: float) -> Tensor:
    """See `hhd_kernels.normalize`."""
    out = torch.empty_like(x)
    block = launch.tile(x)
    launch.run(
        normalize_kernel,
        launch.programs(x, block),
        x,
        launch.view(x),
        launch.view(out),
        *x.shape,
        beta,
        eps,
        KIND=kind,
        **block,
    )
    return out


def normalize_backward(grad: Tensor, x: Tensor, kind: int, beta: float, eps: float) -> Tensor:
    """The gradient in x, of its dtype and strides."""
    out = torch.empty_like(x)
    block = launch.tile(x)
    launch.run(
        normalize_backward_kernel,
        launch.programs(x, block),
        x,
        launch.view(grad),
        launch.view(x),
        launch.view(out),
        *x.shape,
        beta,
        eps,
        KIND=kind,
        **block,
    )
    return out
