"""The derivative of the loss ops: the gradient that the forward pass makes, kept or made again."""

from typing import Any

import torch
from torch import Tensor

from hhd_kernels import _library, backend


def call(ops: Any, op: str, logits: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """Call a loss op of a family so that autograd can have its gradient: all outputs but that one.

    Normally the forward pass makes the gradient and keeps it. float16 could not hold it before a
    loss scaler's factor is in it, so there the backward pass makes it, factor included.
    """
    wants_grad = torch.is_grad_enabled() and logits.requires_grad
    keeps_grad = wants_grad and logits.dtype != torch.float16
    if wants_grad and backend.is_plain_eager(logits):
        return _EagerLoss.apply(logits, ops, op, arguments, keeps_grad)
    output = backend.straight(ops, op, logits, *arguments, keeps_grad)
    _, _, output = _of_targets(op, arguments, output)
    return output[:-1]


class _EagerLoss(torch.autograd.Function):
    """The registered autograd of the loss ops, entered without torch.library's own entry.

    That one reads the whole schema again for every argument, on every call: far longer than
    everything else in Python together. And here the first backward pass can hand out the kept
    gradient itself, where it is the answer: no pass over memory. Whoever has it may change it, so
    later passes make their own.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, ops: Any, op: str, arguments: tuple[Any, ...], keeps_grad: bool
    ) -> tuple[Tensor, ...]:
        # Not by way of that entry either.
        with torch._C._AutoDispatchBelowAutograd():
            output = getattr(ops, op)(logits, *arguments, keeps_grad)
        op, arguments, output = _of_targets(op, arguments, output)
        ctx.ops, ctx.op = ops, op
        _save_inputs(ctx, op, logits, arguments)
        ctx.grad = output[-1] if keeps_grad else None
        results = output[:-1]
        _only_loss_is_differentiable(ctx, results)
        return results

    @staticmethod
    def backward(ctx: Any, factor: Tensor | None, *others: None) -> Any:
        nothing = (None,) * 4
        if factor is None:
            return None, *nothing
        grad, ctx.grad = ctx.grad, None
        if grad is not None and not torch.is_grad_enabled() and backend.is_plain_eager(factor):
            # Nobody else has it; where the factor is 1, a kernel sees that and moves nothing.
            ctx.ops.loss_backward_(grad, factor)
            return grad, *nothing
        logits, arguments = _saved_inputs(ctx)
        if torch.is_grad_enabled():  # create_graph=True
            grad = _remade_gradient(ctx.ops, ctx.op, logits.detach(), arguments, None)
            grad = ctx.ops.loss_backward(grad, factor, logits.detach())
            return grad + _NoDerivative.apply(logits), *nothing
        if grad is None:
            return _remade_gradient(ctx.ops, ctx.op, logits, arguments, factor), *nothing
        return ctx.ops.loss_backward(grad, factor, logits), *nothing


def _of_targets(
    op: str, arguments: tuple[Any, ...], output: tuple[Tensor, ...]
) -> tuple[str, tuple[Any, ...], tuple[Tensor, ...]]:
    """A call of a loss op and its output, as if the targets had been there: for what comes later
    they are enough, and the teacher's maps need not be kept."""
    if op != "joint_loss_from_maps":
        return op, arguments, output
    *results, centers, windows, grad = output
    return "joint_loss", (centers, windows, *arguments[TEACHER:]), (*results, grad)


TEACHER = 5
"""How many arguments of `joint_loss_from_maps` stand in the place of the targets."""
GRAD_SCALE = {"hhd_loss": 3, "joint_loss": 5}
"""Where grad_scale stands among an op's arguments after the logits: the last that is a tensor."""


def _remade_gradient(
    ops: Any, op: str, logits: Tensor, arguments: tuple[Any, ...], factor: Tensor | None
) -> Tensor:
    """The gradient times the upstream factor, from the inputs."""
    place = GRAD_SCALE[op]
    arguments = (*arguments[:place], factor, *arguments[place + 1 :])
    grad: Tensor = getattr(ops, op)(logits, *arguments, True)[-1]
    return grad


def _save_inputs(ctx: Any, op: str, logits: Tensor, arguments: tuple[Any, ...]) -> None:
    tensors = GRAD_SCALE[op] + 1
    ctx.save_for_backward(logits, *arguments[:tensors])
    ctx.plain = arguments[tensors:]


def _saved_inputs(ctx: Any) -> tuple[Tensor, tuple[Any, ...]]:
    logits, *tensors = ctx.saved_tensors
    return logits, (*tensors, *ctx.plain)


def _only_loss_is_differentiable(ctx: Any, output: tuple[Tensor, ...]) -> None:
    _, *others = output
    ctx.mark_non_differentiable(*others)
    ctx.set_materialize_grads(False)


def loss_autograd(op: str) -> None:
    """Register the derivative of a loss op, for tracing: from the kept gradient or the inputs."""

    def setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        logits, *arguments, keeps_grad = inputs
        ctx.keeps_grad, ctx.arguments = keeps_grad, len(inputs)
        if keeps_grad:
            ctx.save_for_backward(output[-1], logits)
        else:
            _save_inputs(ctx, op, logits, tuple(arguments))
        _only_loss_is_differentiable(ctx, output)

    def backward(
        ops: Any, ctx: Any, factor: Tensor | None, *others: None
    ) -> tuple[Tensor | None, ...]:
        nothing = (None,) * (ctx.arguments - 1)
        if factor is None:
            return None, *nothing
        if ctx.keeps_grad:
            grad, logits = ctx.saved_tensors
            if torch.compiler.is_compiling():
                # What a compiler can do in the kept gradient's place, and fuse with what follows.
                return (grad.to(factor.dtype) * factor).to(grad.dtype), *nothing
            return ops.loss_backward(grad, factor, logits), *nothing
        logits, arguments = _saved_inputs(ctx)
        return _remade_gradient(ops, op, logits.detach(), arguments, factor), *nothing

    _library.autograd(op, backward, setup)


class _NoDerivative(torch.autograd.Function):
    """A zero that depends on the logits, and raises where that dependence is differentiated.

    Added to a gradient, it lets the derivative with respect to the upstream factor through.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        return logits.new_zeros(())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> None:
        raise RuntimeError(_library.second_derivative("loss_backward"))


def _setup_scaling(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _scaling_backward(
    ops: Any, ctx: Any, grad_scaled: Tensor
) -> tuple[Tensor | None, Tensor | None, None]:
    grad, factor, logits = ctx.saved_tensors
    wants_grad, wants_factor, wants_logits = ctx.needs_input_grad
    if wants_logits:
        raise RuntimeError(_library.second_derivative("loss_backward"))
    by_grad = ops.loss_backward(grad_scaled, factor, logits) if wants_grad else None
    by_factor = (grad_scaled.to(factor.dtype) * grad).sum() if wants_factor else None
    return by_grad, by_factor, None


_library.autograd("loss_backward", _scaling_backward, _setup_scaling)
