"""The loss's launcher against the oracle, at one setting and for one choice of options."""

from typing import Any

import numpy as np

from executor.calls import REDUCTIONS, Kernels
from sanitize import cases
from sanitize.calls import SAMPLINGS
from sanitize.cases import Setting
from sanitize.losses import COORDINATE_WEIGHT, HHD_WEIGHT, Form, expectation, setup
from sanitize.memory import LAYOUTS, Array, accumulate
from sanitize.ops import EPS, check


def in_place(kernels: Kernels, at: Setting) -> None:
    """A kept gradient is scaled where it lies; a layout whose elements overlap is none."""
    layout = at.layout if at.layout in LAYOUTS else "contiguous"
    x = at._replace(layout=layout).maps(cases.maps(at))
    for factor in (1.0, -0.5):
        before = x.values()
        check("in place", kernels.scale_in_place(x, factor), factor * before, at.dtype)


def from_maps(kernels: Kernels, at: Setting) -> None:
    """A teacher's maps in the place of its targets: all is as with these."""
    inputs, args, _ = setup(at, ("kl", "softmax", "peak", at.pick("sampling", SAMPLINGS), "mirror"))
    maps, acc = at.maps(cases.maps(at)), accumulate(at.dtype)
    teacher = (maps, "l1_positive", at.pick("floor", [0.0, 0.2]))
    centers, windows, _ = kernels.teacher_targets(maps, args.window, teacher[1], EPS, teacher[2])
    inputs = inputs._replace(centers=Array.of(centers, acc), windows=Array.of(windows, acc))
    how: dict[str, Any] = {"strides": at.output, "reduction": at.pick("reduction", REDUCTIONS)}
    known = kernels.joint_loss(inputs, args, **how)
    found = kernels.joint_loss(inputs, args, **how, teacher=teacher)
    for name, one, other in zip(known._fields, found, known, strict=True):
        check(f"{name} from maps", np.asarray(one), np.asarray(other), acc)


def joint_loss(kernels: Kernels, at: Setting, form: Form) -> None:
    inputs, args, options = setup(at, form)
    acc, reduction = accumulate(at.dtype), at.pick("reduction", REDUCTIONS)
    with_coords = inputs.target_coords is not None or at.pick("coords", [True, False])
    scale = at.pick("grad scale", [1.0, 0.25])
    found = kernels.joint_loss(
        inputs,
        args,
        with_grad=at.pick("grad", [True, True, True, False]),
        with_coords=with_coords,
        strides=at.output,
        reduction=reduction,
        grad_scale=None if scale == 1 else Array.of([scale], "float32"),
    )
    expected = expectation(kernels, inputs, args, options, reduction)
    what = f"of {form} {options['coordinate_loss']} {reduction}"
    total = HHD_WEIGHT * expected.hhd_loss
    if with_coords:
        total += COORDINATE_WEIGHT * expected.coordinate_loss
        check(f"coordinate {what}", found.coordinate_loss, expected.coordinate_loss, acc)
        check(f"hhd {what}", found.hhd_loss, expected.hhd_loss, acc)
        check(f"coords {what}", np.asarray(found.coords), expected.coords, acc)
    check(f"loss {what}", found.loss, total, acc)
    if found.grad is not None:
        check(f"grad {what}", found.grad, scale * np.asarray(expected.grad), at.dtype)
