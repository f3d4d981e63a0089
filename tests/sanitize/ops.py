"""Every op but the loss against the oracle, at one setting.

Results are compared loosely, since accuracy has tests of its own.
"""

import numpy as np
from numpy.typing import ArrayLike

import oracle
from sanitize import cases
from sanitize.calls import BORDERS, KINDS, LOCATES, REFINES, SAMPLINGS, Kernels, Result, Window
from sanitize.cases import Setting
from sanitize.memory import LAYOUTS, Array, accumulate

TOLERANCE = {"float32": 1e-4, "float64": 1e-9, "float16": 4e-3, "bfloat16": 2e-2}
EPS = 1e-6


def check(what: str, found: Result | float, expected: ArrayLike, dtype: str) -> None:
    """Raise unless the two agree, as far as the dtype goes, relative to the largest value."""
    expected = np.asarray(expected, dtype=np.float64)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            expected = expected.astype(np.float16).astype(np.float64)
    finite = np.abs(expected[np.isfinite(expected)])
    atol = TOLERANCE[dtype] * float(finite.max(initial=1e-2))
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=what)


def normalize(kernels: Kernels, at: Setting) -> None:
    x, kind, beta = at.maps(cases.maps(at)), at.pick("kind", KINDS), at.pick("beta", [1.0, 10.0])
    found = kernels.normalize(x, kind, beta, EPS, at.output)
    check("normalize", found, oracle.normalize(x.values(), kind, beta=beta, eps=EPS), at.dtype)
    upstream = at._replace(layout=at.pick("layout", list(LAYOUTS))).maps(at.rng().random(at.shape))
    found = kernels.normalize_backward(upstream, x, kind, beta, EPS, at.output)
    expected = oracle.normalize_backward(upstream.values(), x.values(), kind, beta=beta, eps=EPS)
    check("normalize_backward", found, expected, at.dtype)


def soft_argmax(kernels: Kernels, at: Setting) -> None:
    x, window, beta = (
        at.maps(cases.maps(at)),
        at.pick("box", [0, 1, 3, 5, 99]),
        at.pick("beta", [1.0, 10.0]),
    )
    acc = accumulate(at.dtype)
    coords, confidence = kernels.soft_argmax(x, beta, window)
    expected, mass = oracle.soft_argmax(x.values(), beta, window or None)
    check("coords", coords, expected, acc)
    # At a half the box may lie on either side.
    clear = (np.abs(expected % 1 - 0.5) > 1e-3).all(axis=-1)
    check("confidence", confidence[clear], mass[clear], acc)
    slope = Array.of(at.rng().standard_normal(expected.shape), acc)
    found = kernels.soft_argmax_backward(slope, x, beta, window, at.output)
    wanted = oracle.soft_argmax_backward(slope.values(), x.values(), beta, window or None)
    check("soft_argmax_backward", found, wanted, at.dtype)


def locate(kernels: Kernels, at: Setting) -> None:
    x, acc, window = at.maps(cases.maps(at)), accumulate(at.dtype), at.pick("window", cases.WINDOWS)
    refine, taps = at.pick("refine", REFINES), at.pick("taps", [1, 3, 11, 17, 35])
    found = kernels.locate_teacher(x, refine, taps)
    check("locate_teacher", found, oracle.locate_teacher(x.values(), refine, blur_kernel=taps), acc)
    mode, t = (
        at.pick("mode", LOCATES),
        Array.of(cases.centers(at), at.pick("centres", ["float64", "float32"])),
    )
    found = kernels.locate_student(x, t, mode, 2.0, window)
    expected = oracle.locate_student(
        x.values(), t.values(), mode, beta=2.0, window=window, accumulate=acc
    )
    check(f"locate_student {mode}", found, expected, acc)


def crop(kernels: Kernels, at: Setting) -> None:
    x, size = at.maps(cases.maps(at)), at.pick("window", cases.WINDOWS)
    t = Array.of(cases.centers(at), accumulate(at.dtype))
    sampling, border = at.pick("sampling", SAMPLINGS), at.pick("border", BORDERS)
    how = {"sampling": sampling, "border": border}
    found = kernels.crop(x, t, Window.of(size, sampling, border))
    check(f"crop {how}", found, oracle.crop(x.values(), t.values(), size, **how), at.dtype)
    slope = np.broadcast_to(at.rng().standard_normal(size), (*at.shape[:2], *size))
    upstream = at._replace(layout=at.pick("layout", list(cases.ALL_LAYOUTS))).maps(slope)
    out = Array(at.shape, at.dtype, at.output)
    found = kernels.crop_backward(upstream, t, out, sampling, border)
    expected = oracle.crop_backward(upstream.values(), at.shape, t.values(), **how)
    check(f"crop_backward {how}", found, expected, at.dtype)


def teacher_targets(kernels: Kernels, at: Setting, form: tuple[str, str] | None = None) -> None:
    """`form`: kind and sampling, where the seed is not to pick them."""
    x, size, acc = at.maps(cases.maps(at)), at.pick("window", cases.WINDOWS), accumulate(at.dtype)
    border = at.pick("border", BORDERS)
    kind, sampling = form or (at.pick("kind", KINDS), at.pick("sampling", SAMPLINGS))
    window = Window.of(size, sampling, border)
    floor = 0.0 if kind == "softmax" else at.pick("floor", [0.0, 0.2])
    centers, windows, confidence = kernels.teacher_targets(x, window, kind, EPS, floor)
    expected = oracle.teacher_targets(
        x.values(),
        size,
        normalize=kind,
        sampling=sampling,
        border=border,
        eps=EPS,
        floor=floor,
        accumulate=acc,
        centers=centers,
    )
    check("centers", centers, oracle.locate_teacher(x.values()), acc)
    check(f"windows {kind} {sampling} {border}", windows, expected[1], acc)
    check("confidence", confidence, expected[2], acc)


def scale(kernels: Kernels, at: Setting) -> None:
    x = at.maps(cases.maps(at))
    check("scale", kernels.scale(x, -0.5, at.output), -0.5 * x.values(), at.dtype)


def weight_sum(kernels: Kernels, at: Setting) -> None:
    weights = Array.of(at.rng().random(at.shape[:2]), at.dtype)
    check("sum", kernels.sum(weights), weights.values().sum(), "float64")
