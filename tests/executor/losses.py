"""The loss's launcher against the oracle, at one setting and for one choice of options."""

import numpy as np

from executor.calls import REDUCTIONS, Kernels
from sanitize import cases
from sanitize.cases import Setting
from sanitize.losses import COORDINATE_WEIGHT, HHD_WEIGHT, Form, expectation, setup
from sanitize.memory import LAYOUTS, Array, accumulate
from sanitize.ops import check


def in_place(kernels: Kernels, at: Setting) -> None:
    """A kept gradient is scaled where it lies; a layout whose elements overlap is none."""
    layout = at.layout if at.layout in LAYOUTS else "contiguous"
    x = at._replace(layout=layout).maps(cases.maps(at))
    for factor in (1.0, -0.5):
        before = x.values()
        check("in place", kernels.scale_in_place(x, factor), factor * before, at.dtype)


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
