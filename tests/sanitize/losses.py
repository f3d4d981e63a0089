"""The loss and its gradient against the oracle, at one setting and for one choice of options."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

import oracle
from sanitize import cases
from sanitize.calls import (
    BORDERS,
    COORDINATE_LOSSES,
    DIVERGENCES,
    KINDS,
    LOCATES,
    SAMPLINGS,
    Kernels,
    LossArgs,
    LossInputs,
    Window,
)
from sanitize.cases import Setting
from sanitize.memory import DTYPES, LAYOUTS, Array, accumulate
from sanitize.ops import EPS, check

# Divergence, normalisation, locate, sampling, border.
Form = tuple[str, str, str, str, str]
FORMS: list[Form] = [
    (divergence, kind, locate, sampling, border)
    for border in BORDERS
    # The divergence with more branches gets more points.
    for divergence, kind in [*4 * [("kl", "softmax")], *(("sse", kind) for kind in KINDS)]
    for locate in LOCATES
    for sampling in SAMPLINGS
]
TRANSITION = 0.5
COORDINATE_WEIGHT, HHD_WEIGHT = 0.7, 1.3


def _windows(at: Setting, size: tuple[int, int]) -> NDArray[np.float64]:
    """Teacher windows `[B, K, *size]` with less than all the mass, some empty."""
    rng, joints = at.rng(), (*at.shape[:2], 1, 1)
    mass = rng.uniform(0, 1, joints) * (rng.random(joints) < 0.9)
    cells = rng.random((*at.shape[:2], *size))
    cells *= rng.random(cells.shape) < 0.8
    return mass * cells / (cells.sum(axis=(2, 3), keepdims=True) + 1e-9)


def _inputs(at: Setting, size: tuple[int, int]) -> LossInputs:
    """Logits, targets and weights; a map whose weight is 0 may hold NaN."""
    rng, (b, k, h, w) = at.rng(), at.shape
    # The largest scale makes masses underflow, in float64 too.
    logits = at.pick("scale", [1.0, 1.0, 150.0]) * cases.maps(at)
    weight = None
    if at.pick("weighted", [True, True, False]):
        chosen = rng.choice([0.0, 0.5, 1.0, 2.0], (b, k))
        weight = Array.of(chosen, at.pick("weight", list(DTYPES)))
        if at.layout in LAYOUTS and at.pick("nan", [True, False]):
            logits[chosen == 0] = np.nan
    goal = Array.of(rng.uniform(0, [w, h], (b, k, 2)), at.pick("goal", ["float32", "float64"]))
    windows = at._replace(layout=at.pick("layout", list(LAYOUTS))).maps(
        _windows(at, size), "float32"
    )
    return LossInputs(
        logits=at.maps(logits),
        centers=Array.of(cases.centers(at), at.pick("centres", [accumulate(at.dtype), "float64"])),
        windows=windows,
        target_coords=at.pick("goal given", [goal, goal, None]),
        weight=weight,
        teacher_weight=weight,
    )


def setup(at: Setting, form: Form) -> tuple[LossInputs, LossArgs, dict[str, Any]]:
    """Inputs, arguments whose scales are the terms' weights, and the same for the oracle."""
    divergence, kind, mode, sampling, border = form
    size, (_, _, h, w) = at.pick("window", cases.WINDOWS), at.shape
    coordinate, beta = at.pick("coordinate", COORDINATE_LOSSES[1:]), at.pick("beta", [1.0, 10.0])
    units: list[float | str] = [2.0, "map"]
    unit = at.pick("unit", units)
    args = LossArgs(
        window=Window.of(size, sampling, border),
        normalize=KINDS.index(kind),
        divergence=DIVERGENCES.index(divergence),
        locate=LOCATES.index(mode),
        beta=beta,
        eps=EPS,
        coordinate_loss=COORDINATE_LOSSES.index(coordinate),
        unit=(w, h) if unit == "map" else (unit, unit),
        transition=TRANSITION,
        coordinate_scale=COORDINATE_WEIGHT,
        hhd_scale=HHD_WEIGHT,
    )
    options = {
        "beta": beta,
        "coordinate_loss": coordinate,
        "coordinate_unit": unit,
        "transition": TRANSITION,
        "coordinate_weight": COORDINATE_WEIGHT,
        "hhd_weight": HHD_WEIGHT,
        "normalize": kind,
        "divergence": divergence,
        "sampling": sampling,
        "border": border,
        "eps": EPS,
    }
    return _inputs(at, size), args, options


def expectation(
    kernels: Kernels, inputs: LossInputs, args: LossArgs, options: dict[str, Any], reduction: str
) -> Any:
    """The oracle's answer."""
    size = (args.window.height, args.window.width)
    mode = LOCATES[args.locate]
    # Rounding may put a located centre on either side of a pixel's border.
    at = kernels.locate_student(inputs.logits, inputs.centers, mode, args.beta, size)
    values: list[Any] = [array and array.values() for array in inputs]
    return oracle.joint_loss(*values, reduction=reduction, student_centers=at, **options)


def joint_loss(kernels: Kernels, at: Setting, form: Form) -> None:
    inputs, args, options = setup(at, form)
    acc, (b, k, _, _) = accumulate(at.dtype), at.shape
    # Of the reduction "official".
    by_coordinate, by_hhd = max(b * k, 1), max(b, 1)
    args.coordinate_scale /= by_coordinate
    args.hhd_scale /= by_hhd
    with_coords = inputs.target_coords is not None or at.pick("coords", [True, False])
    with_grad = at.pick("grad", [True, True, True, False])
    found = kernels.joint_loss(
        inputs, args, with_grad=with_grad, with_coords=with_coords, strides=at.output
    )
    expected = expectation(kernels, inputs, args, options, "official")
    what = f"of {form} {options['coordinate_loss']}"
    check(f"hhd {what}", found.hhd_terms.sum() / by_hhd, expected.hhd_loss, acc)
    total = found.coordinate_terms.sum()
    check(f"coordinate {what}", total / by_coordinate, expected.coordinate_loss, acc)
    if found.coords is not None:
        check(f"coords {what}", found.coords, expected.coords, acc)
    if found.grad is not None:
        check(f"grad {what}", found.grad, expected.grad, at.dtype)
