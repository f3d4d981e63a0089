"""Soft-argmax: the expected coordinate under a softmax over the map, and its confidence."""

from typing import Any

import torch
from torch import Tensor

from hhd_kernels import _library, backend, checks
from hhd_kernels.normalize import accumulator, log_softmax

CONFIDENCE_BOX = (5, 5)


def soft_argmax(
    logits: Tensor, beta: float = 1.0, window: int | None = None
) -> tuple[Tensor, Tensor]:
    """Decode maps by expectation: p = softmax(beta S), x = sum p j, y = sum p i.

    Args:
        logits: S, [B, K, H, W].
        beta: the softmax's inverse temperature.
        window: None for the whole map; an odd n for the expectation over the pixels within n//2
            rows and columns of the peak, which removes the background's pull at test time.

    Returns:
        coords: (x, y) in heatmap pixels, [B, K, 2], float32 (float64 for float64 logits).
            Differentiable once in `logits`; the peak carries no gradient.
        confidence: the whole-map mass of p in the 5 x 5 box around the rounded (x, y), [B, K], of
            the same dtype. Not differentiable. Both are NaN for a map that has NaN.
    """
    checks.maps("logits", logits)
    beta = checks.positive("beta", beta)
    size = 0 if window is None else checks.odd("window", window)
    ops = backend.ops("soft_argmax", logits)
    if ops is None:
        return reference(logits, beta, size)
    return backend.straight(ops, "soft_argmax", logits, beta, size)


def reference(logits: Tensor, beta: float, window: int) -> tuple[Tensor, Tensor]:
    """`soft_argmax` in plain PyTorch; a window of 0 is the whole map."""
    logits = logits.to(accumulator(logits))
    p = log_softmax(logits, beta).exp()
    if window == 0:
        coords = expectation(p)
    else:
        near = box(peak(logits.detach()), (window, window), logits)
        coords = expectation(log_softmax(logits.masked_fill(~near, -torch.inf), beta).exp())
    return coords, confidence(p.detach(), coords.detach())


def expectation(p: Tensor) -> Tensor:
    """The mean (x, y) of distributions p [B, K, H, W], as [B, K, 2]."""
    rows = torch.arange(p.shape[2], dtype=p.dtype, device=p.device)
    columns = torch.arange(p.shape[3], dtype=p.dtype, device=p.device)
    return torch.stack(((p.sum(2) * columns).sum(-1), (p.sum(3) * rows).sum(-1)), dim=-1)


def confidence(p: Tensor, coords: Tensor) -> Tensor:
    """The mass of p [B, K, H, W] in the box around the pixel that holds `coords`, as [B, K]."""
    near = box((coords + 0.5).floor(), CONFIDENCE_BOX, p)
    mass = torch.where(near, p, 0).sum(dim=(2, 3))
    return torch.where(coords.isnan().any(-1), torch.nan, mass)


def peak(x: Tensor) -> Tensor:
    """The argmax of every map as (x, y) in x's dtype, [B, K, 2]; the lowest index on ties."""
    index = x.flatten(2).argmax(-1)
    row = torch.div(index, x.shape[3], rounding_mode="floor")
    return torch.stack((index - row * x.shape[3], row), dim=-1).to(x.dtype)


def box(centers: Tensor, size: tuple[int, int], like: Tensor) -> Tensor:
    """Which pixels of maps `like` a box of (rows, columns) around integer centers [B, K, 2] covers.

    It starts size // 2 before its centre, as a nearest-sampled window does.
    """
    rows = torch.arange(like.shape[2], dtype=centers.dtype, device=centers.device)
    columns = torch.arange(like.shape[3], dtype=centers.dtype, device=centers.device)
    row = rows - centers[..., 1:] + size[0] // 2
    column = columns - centers[..., :1] + size[1] // 2
    in_rows = (row >= 0) & (row < size[0])
    in_columns = (column >= 0) & (column < size[1])
    return in_rows[..., :, None] & in_columns[..., None, :]


@_library.fake("soft_argmax")
def _fake(logits: Tensor, beta: float, window: int) -> tuple[Tensor, Tensor]:
    shape, dtype = logits.shape[:2], accumulator(logits)
    return logits.new_empty((*shape, 2), dtype=dtype), logits.new_empty(shape, dtype=dtype)


@_library.fake("soft_argmax_backward")
def _backward_fake(grad_coords: Tensor, logits: Tensor, beta: float, window: int) -> Tensor:
    return torch.empty_like(logits)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, ctx.beta, ctx.window = inputs
    ctx.save_for_backward(logits)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(
    ops: Any, ctx: Any, grad_coords: Tensor | None, grad_confidence: None
) -> tuple[Tensor | None, ...]:
    if grad_coords is None:
        return None, None, None
    (logits,) = ctx.saved_tensors
    grad = ops.soft_argmax_backward(grad_coords, logits, ctx.beta, ctx.window)
    return grad, None, None


_library.autograd("soft_argmax", _backward, _setup)
_library.first_derivative_only("soft_argmax")
