"""The distillation loss, and the scaling of a loss's gradient; see hhd_kernels/hhd_loss.py."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hhd_kernels.options import CoordinateLoss
from hhd_kernels.triton import launch
from hhd_kernels.triton.joint_loss import joint_loss
from hhd_kernels.triton.maps import joints_of_program, open_map, pixels_of, tiles, values_of, write


@triton.jit
def loss_backward_kernel(
    grad,
    factor,
    out,
    instances,
    joints,
    height,
    width,
    G: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
    A: tl.constexpr,
    IN_PLACE: tl.constexpr = False,
):
    b, k, exists = joints_of_program(instances, joints, G)
    by = tl.load(factor).to(A)
    if IN_PLACE:  # where the factor is 1, nothing is loaded and nothing stored
        exists = tl.where(by == 1.0, False, exists)
    m = open_map(grad, b, k, exists, height, width, ROWS, COLUMNS, WHOLE, A)
    for tile in range(tiles(m, WHOLE)):
        i, x, mask = pixels_of(m, tile, WHOLE)
        write(out, b, k, i, x, values_of(m, tile, WHOLE) * by, mask & exists)


def hhd_loss(
    logits: Tensor,
    centers: Tensor,
    windows: Tensor,
    weight: Tensor | None,
    grad_scale: Tensor | None,
    beta: float,
    normalize: int,
    divergence: int,
    locate: int,
    sampling: int,
    border: int,
    reduction: int,
    eps: float,
    hhd_weight: float,
    with_grad: bool,
) -> tuple[Tensor, Tensor]:
    """See `hhd_kernels.hhd_loss`: the joint loss without coordinates."""
    loss, *_, grad = joint_loss(
        logits,
        centers,
        windows,
        None,
        None,
        weight,
        grad_scale,
        beta,
        normalize,
        divergence,
        locate,
        sampling,
        border,
        reduction,
        eps,
        int(CoordinateLoss.NONE),
        1.0,
        1.0,
        1.0,
        0.0,
        hhd_weight,
        with_grad,
        with_coords=False,
    )
    return loss, grad


def loss_backward(grad: Tensor, factor: Tensor, logits: Tensor) -> Tensor:
    """A loss op's gradient times the upstream factor, of the logits' dtype and strides."""
    out = torch.empty_like(logits)
    _scale(grad, factor, out)
    return out


def loss_backward_(grad: Tensor, factor: Tensor) -> None:
    """The same in place."""
    _scale(grad, factor, grad)


def _scale(grad: Tensor, factor: Tensor, out: Tensor) -> None:
    block = launch.tile(out)
    launch.run(
        loss_backward_kernel,
        launch.programs(out, block),
        out,
        launch.view(grad),
        factor,
        launch.view(out),
        *out.shape,
        IN_PLACE=out is grad,
        **block,
    )
