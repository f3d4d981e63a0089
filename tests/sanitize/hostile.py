"""Every op on values without a right answer: only the sanitizers and determinism judge."""

import numpy as np

from sanitize import cases
from sanitize.calls import (
    BORDERS,
    DIVERGENCES,
    KINDS,
    LOCATES,
    REFINES,
    SAMPLINGS,
    Kernels,
    LossArgs,
    LossInputs,
    Window,
)
from sanitize.cases import Setting
from sanitize.memory import Array

EPS = 1e-6


def hostile(kernels: Kernels, at: Setting) -> None:
    """Maps, centres, windows and weights of infinities, NaN and extremes."""
    x, t = cases.hostile_maps(at), Array.of(cases.centers(at, hostile=True), "float64")
    size, beta = at.pick("window", cases.WINDOWS), at.pick("beta", [1.0, 10.0, 1e30, 1e-30])
    sampling, border, kind = (
        at.pick("sampling", SAMPLINGS),
        at.pick("border", BORDERS),
        at.pick("kind", KINDS),
    )
    window = Window.of(size, sampling, border)
    kernels.normalize(x, kind, beta, EPS, at.output)
    kernels.normalize_backward(x, x, kind, beta, EPS, at.output)
    kernels.soft_argmax(x, beta, at.pick("box", [0, 3]))
    slope = Array.of(at.rng().standard_normal((*at.shape[:2], 2)), "float32")
    kernels.soft_argmax_backward(slope, x, beta, at.pick("box", [0, 3]), at.output)
    kernels.teacher_targets(x, window, kind)
    for refine in REFINES:
        kernels.locate_teacher(x, refine, at.pick("taps", [1, 11, 100_001]))
    for mode in LOCATES:
        kernels.locate_student(x, t, mode, beta, size)
    kernels.crop(x, t, window)
    kernels.crop_backward(x, t, Array(at.shape, at.dtype, at.output), sampling, border)
    kernels.scale(x, 3e38, at.output)
    weight = Array.of(at.rng().choice([0.0, 1.0, 3e38, np.nan], at.shape[:2]), "float32")
    cells = Array.of(
        at.rng().choice(at.pick("cells", cases.HOSTILE), (*at.shape[:2], *size)), "float64"
    )
    divergence = at.pick("divergence", DIVERGENCES)
    args = LossArgs(
        window=window,
        normalize=KINDS.index(kind if divergence == "sse" else "softmax"),
        divergence=DIVERGENCES.index(divergence),
        locate=at.pick("locate", range(3)),
        beta=beta,
        eps=EPS,
        coordinate_loss=at.pick("coordinate", range(4)),
        unit=(2, 2),
        transition=1,
        coordinate_scale=1,
        hhd_scale=1,
    )
    kernels.joint_loss(LossInputs(x, t, cells, t, weight, weight), args, strides=at.output)
