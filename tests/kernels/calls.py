"""Every op as one call on logits, for the contracts that hold for all of them alike."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import hhd_kernels as hk
from kernels.samples import Setup

Call = Callable[[Tensor], Tensor]


def targets_of(setup: Setup) -> hk.TeacherTargets:
    """The setup's targets as the package's tuple."""
    return hk.TeacherTargets(setup.centers, setup.windows, setup.confidence)


def differentiable(setup: Setup) -> dict[str, Call]:
    """Calls from logits to one tensor that has a gradient."""
    window = (setup.windows.shape[2], setup.windows.shape[3])
    targets = targets_of(setup)
    calls: dict[str, Call] = {
        f"normalize {kind}": partial(hk.normalize, kind=kind)
        for kind in ("none", "l1", "l2", "softmax", "l1_positive")
    }
    calls["soft_argmax"] = lambda x: hk.soft_argmax(x, 5.0)[0]
    calls["soft_argmax local"] = lambda x: hk.soft_argmax(x, 5.0, 5)[0]
    for sampling in ("nearest", "bilinear"):
        calls[f"crop {sampling}"] = partial(
            hk.crop, centers=setup.centers, window=window, sampling=sampling
        )
    calls["hhd_loss kl"] = lambda x: hk.hhd_loss(x, targets, setup.weight)
    calls["hhd_loss kl debiased"] = lambda x: hk.hhd_loss(
        x, targets, setup.weight, locate="debiased", sampling="bilinear"
    )
    calls["hhd_loss published"] = lambda x: hk.hhd_loss(
        x, targets, setup.weight, normalize="l2", divergence="sse", locate="published"
    )
    calls["joint_loss"] = lambda x: (
        hk.joint_loss(x, targets, setup.target_coords, setup.weight).loss
    )
    calls["joint loss from maps"] = lambda x: (
        hk.IntegralHHDLoss()(x, x.detach().relu(), setup.target_coords, setup.weight).loss
    )
    return calls


def without_gradient(setup: Setup) -> dict[str, Call]:
    """Calls from maps to one tensor that never has a gradient."""
    return {
        "confidence": lambda x: hk.soft_argmax(x)[1],
        "locate_teacher": hk.locate_teacher,
        "locate_teacher dark": partial(hk.locate_teacher, refine="dark"),
        "locate_student published": lambda x: hk.locate_student(x, setup.centers, "published"),
        "locate_student debiased": lambda x: hk.locate_student(x, setup.centers, "debiased"),
        "target windows": lambda x: hk.teacher_targets(x).windows,
        "target centers": lambda x: hk.teacher_targets(x).centers,
        "one-pass gradient": lambda x: hk.joint_loss_and_grad(
            x.detach(), targets_of(setup), setup.target_coords, setup.weight
        )[1],
    }


def every(setup: Setup) -> dict[str, Call]:
    """Both kinds of calls."""
    return differentiable(setup) | without_gradient(setup)


def value_and_gradient(call: Call, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The call's value and the gradient of a weighted sum of it, `[0]` where it has none."""
    x = logits.detach().requires_grad_()
    value = call(x)
    if not value.requires_grad:
        return value, torch.empty(0)
    upstream = torch.linspace(-1.0, 2.0, value.numel(), dtype=value.dtype, device=value.device)
    return value.detach(), torch.autograd.grad(value, x, upstream.view(value.shape))[0]
