"""Normalise each map: by its L1 or L2 norm, by a softmax, or not at all."""

from typing import Any

import torch
from torch import Tensor

from hhd_kernels import _library, backend, checks
from hhd_kernels.options import Normalize


def normalize(x: Tensor, kind: str, *, beta: float = 1.0, eps: float = 1e-6) -> Tensor:
    """Normalise every map of `x`, [B, K, H, W]; norms and sums run over the whole map.

    kind:
        "none": X.
        "l1": X / max(sum |X|, eps).
        "l2": X / max(sqrt(sum X^2), eps).
        "softmax": softmax(beta X).
        "l1_positive": relu(X) / max(sum relu(X), eps).

    Returns maps of x's shape and dtype. Differentiable once in `x`.
    """
    checks.maps("x", x)
    code = checks.choice("kind", kind, Normalize)
    beta, eps = checks.positive("beta", beta), checks.positive("eps", eps)
    ops = backend.ops("normalize", x)
    if ops is None:
        return reference(x, code, beta, eps)
    return backend.straight(ops, "normalize", x, code, beta, eps)


def reference(x: Tensor, kind: int, beta: float, eps: float) -> Tensor:
    """`normalize` in plain PyTorch."""
    return normalized(x.to(accumulator(x)), kind, beta, eps).to(x.dtype)


def accumulator(x: Tensor) -> torch.dtype:
    """The dtype the ops compute in: float64 for float64, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def normalized(x: Tensor, kind: int, beta: float, eps: float) -> Tensor:
    """`normalize` of maps that already have the accumulator's dtype."""
    if kind == Normalize.NONE:
        return x.clone()
    if kind == Normalize.SOFTMAX:
        return log_softmax(x, beta).exp()
    if kind == Normalize.L1_POSITIVE:
        x = x.relu()
    order = 2 if kind == Normalize.L2 else 1
    norm = torch.linalg.vector_norm(x, order, dim=(2, 3), keepdim=True)
    return x / norm.clamp_min(eps)


def log_softmax(x: Tensor, beta: float) -> Tensor:
    """log softmax(beta X) over each map.

    The maximum goes before beta multiplies, so that large logits keep their differences.
    """
    z = beta * (x - x.detach().amax(dim=(2, 3), keepdim=True))
    return z.flatten(2).log_softmax(-1).view(x.shape)


@_library.fake("normalize")
def _fake(x: Tensor, kind: int, beta: float, eps: float) -> Tensor:
    return torch.empty_like(x)


@_library.fake("normalize_backward")
def _backward_fake(grad: Tensor, x: Tensor, kind: int, beta: float, eps: float) -> Tensor:
    return torch.empty_like(x)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *ctx.options = inputs
    ctx.save_for_backward(x)


def _backward(ops: Any, ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    return ops.normalize_backward(grad, x, *ctx.options), None, None, None


_library.autograd("normalize", _backward, _setup)
_library.first_derivative_only("normalize")
