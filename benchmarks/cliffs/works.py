"""The calls behind a `Work`: each returns what it computed, so that it can be compared."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import hhd_kernels as hk
from benchmarks import contestants, vectorised_ops
from benchmarks.cliffs.points import Work
from benchmarks.inputs import LAYOUTS, Maps, make_maps
from benchmarks.presets import KL

Call = Callable[[], tuple[Tensor, ...]]
Op = Callable[[Tensor], Tensor | tuple[Tensor, ...]]
"""Of maps [B, K, H, W]; only the first result is differentiated."""

BETA = 10.0
DISTINCT = 5_000
"""Maps that are drawn; more than these are copies of them."""
JOINT = {"ours": contestants.fused, "eager": contestants.eager, "compile": contestants.compiled}
# Bytes moved, in map tensors read or written: forward, and with the backward pass. The windows of a
# crop are less than a fiftieth of a map.
TRAFFIC = {"crop": (0, 1), "l2": (2, 5), "softmax": (2, 5), "soft_argmax": (1, 3), "targets": (1,)}


def call_of(work: Work) -> Call:
    """The work's call, its inputs made."""
    maps = inputs(work)
    if work.op == "joint":
        return joint(work, maps)
    if work.op == "joint of targets":
        targets = KL.joint.targets(maps.teacher)
        return gradient_left(
            maps, lambda: KL.joint(maps.student, targets, maps.coords, maps.weight).loss.backward()
        )
    if work.op == "empty":
        return gradient_left(maps, lambda: Empty.apply(maps.student).backward())
    return single(work, maps)


def inputs(work: Work) -> Maps:
    """Maps of the work's shape, dtype, layout and contrast."""
    batch = min(work.batch, max(1, DISTINCT // work.joints))
    student, teacher, scratch, coords, weight = (
        tensor.detach().repeat(-(-work.batch // batch), *[1] * (tensor.ndim - 1))[: work.batch]
        for tensor in make_maps(work.height, work.width, "float32", "NCHW", batch, work.joints)
    )

    def stored(maps: Tensor) -> Tensor:
        dtype: torch.dtype = getattr(torch, work.dtype)
        return maps.to(dtype).contiguous(memory_format=LAYOUTS[work.layout])

    student = stored(work.contrast * student).requires_grad_()
    return Maps(student, stored(teacher), stored(scratch), coords, weight)


def joint(work: Work, maps: Maps) -> Call:
    """The joint loss of live maps and its gradient."""
    if work.by == "compile, max-autotune":
        run = contestants.compiled(KL, mode="max-autotune")
    else:
        run = JOINT[work.by](KL)
    return gradient_left(maps, lambda: run(maps))


def gradient_left(maps: Maps, run: Callable[[], Any]) -> Call:
    """What a run leaves in the student's gradient, which is None before."""

    def call() -> tuple[Tensor, ...]:
        run()
        grad = maps.student.grad
        maps.forget_gradient()
        assert grad is not None
        return (grad,)

    return call


class Empty(torch.autograd.Function):
    """What autograd asks of any op: a scalar from maps, and a gradient of their shape."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.save_for_backward(maps)
        return maps.new_empty(())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.empty_like(ctx.saved_tensors[0])


def single(work: Work, maps: Maps) -> Call:
    """One op on the student's maps, with the backward pass of its first result or without."""
    if work.by == "copy":
        return copy(work, maps)
    op = op_of(work, maps)
    if not work.backward:
        student = maps.student.detach()
        return lambda: as_tuple(op(student))
    torch.manual_seed(0)
    seed = torch.randn_like(as_tuple(op(maps.student))[0])

    def call() -> tuple[Tensor, ...]:
        results = as_tuple(op(maps.student))
        grads = torch.autograd.grad(results[0], maps.student, seed)
        return *(result.detach() for result in results), *grads

    return call


def as_tuple(results: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (results,) if isinstance(results, Tensor) else tuple(results)


def op_of(work: Work, maps: Maps) -> Op:
    """The op as that contestant computes it."""
    if work.by in ("dsntnn", "kornia"):
        return {"dsntnn": dsntnn, "kornia": kornia}[work.by]()
    centers = maps.coords
    ours: dict[str, Op] = {
        "crop": lambda x: hk.crop(x, centers),
        "l2": lambda x: hk.normalize(x, "l2"),
        "softmax": lambda x: hk.normalize(x, "softmax", beta=BETA),
        "soft_argmax": lambda x: hk.soft_argmax(x, BETA),
        "targets": hk.teacher_targets,
    }
    eager: dict[str, Op] = {
        "crop": lambda x: vectorised_ops.crop(x, centers),
        "l2": vectorised_ops.l2,
        "softmax": vectorised_ops.softmax,
        "soft_argmax": vectorised_ops.soft_argmax,
        "targets": vectorised_ops.teacher_targets,
    }
    if work.by == "compile":
        return torch.compile(eager[work.op], fullgraph=True, dynamic=False)
    return {"ours": ours, "eager": eager}[work.by][work.op]


def dsntnn() -> Op:
    """Its coordinates are of (-1, 1), the map's outer edges; these are of pixels."""
    from dsntnn import dsnt, flat_softmax

    def run(logits: Tensor) -> Tensor:
        height, width = logits.shape[2:]
        size = logits.new_tensor([width, height])
        return ((dsnt(flat_softmax(BETA * logits)) + 1) * size - 1) / 2

    return run


def kornia() -> Op:
    """It divides by a temperature."""
    from kornia.geometry.subpix import spatial_expectation2d, spatial_softmax2d

    return lambda logits: spatial_expectation2d(
        spatial_softmax2d(logits, 1 / BETA), normalized_coordinates=False
    )


def copy(work: Work, maps: Maps) -> Call:
    """As many bytes as the op's traffic, half of them read and half written."""
    count = TRAFFIC[work.op][work.backward] * work.pixels // 2
    source = torch.zeros(count or work.maps * 7 * 7)
    target = torch.empty_like(source)

    def call() -> tuple[Tensor, ...]:
        target.copy_(source)
        return ()

    return call
