"""The main paths of the CPU kernels, as calls of the counting library."""

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sanitize.calls import (
    COORDINATE_LOSSES,
    DIVERGENCES,
    KINDS,
    LOCATES,
    LossArgs,
    LossInputs,
    Window,
    c_value,
    like,
    loss_arrays,
    per_joint,
)
from sanitize.memory import LAYOUTS, Array


class Call(NamedTuple):
    """One call: its op, the maps whose units it counts by, the arguments before those."""

    op: str
    maps: Array
    arguments: list[Any]
    keep: Any = None
    """What the arguments point into."""


def _peak(height: int, width: int) -> tuple[int, int]:
    """Column and row, away from the map's middle and borders."""
    return int(0.4 * width), int(0.6 * height)


def _gaussian(height: int, width: int) -> NDArray[np.float64]:
    x, y = _peak(height, width)
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 1.5**2))


def _maps(values: NDArray[np.float64], joints: int, dtype: str, layout: str) -> Array:
    shape = (1, joints, *values.shape)
    return Array.of(np.broadcast_to(values, shape), dtype, LAYOUTS[layout](shape))


def _logits(
    height: int,
    width: int,
    joints: int = 1,
    dtype: str = "float32",
    layout: str = "contiguous",
    contrast: float = 1.0,
) -> Array:
    noise = 0.02 * np.random.default_rng(0).standard_normal((height, width))
    return _maps(contrast * _gaussian(height, width) + noise, joints, dtype, layout)


def _per_joint(values: Any, joints: int) -> Array:
    values = np.asarray(values, np.float64)
    return Array.of(np.broadcast_to(values, (1, joints, *values.shape)), "float32")


def joint_loss(preset: str, height: int, width: int, **maps: Any) -> Call:
    """The loss and its gradient from stored targets, as the two presets call them."""
    kl = preset == "kl"
    logits = _logits(height, width, **maps)
    joints, (x, y) = logits.stored.shape[1], _peak(height, width)
    size = (7, 7) if kl else (8, 8)
    window = np.random.default_rng(1).random(size) / 100
    weight = _per_joint(1.0, joints)
    inputs = LossInputs(
        logits=logits,
        centers=_per_joint([x, y], joints),
        windows=_per_joint(window, joints),
        target_coords=_per_joint([x + 0.3, y - 0.4], joints),
        weight=weight,
        teacher_weight=weight,
    )
    args = LossArgs(
        window=Window.of(size, "nearest", "mirror" if kl else "mirror_published"),
        normalize=KINDS.index("softmax" if kl else "l2"),
        divergence=DIVERGENCES.index("kl" if kl else "sse"),
        locate=LOCATES.index("peak" if kl else "published"),
        beta=10.0,
        eps=1e-6,
        coordinate_loss=COORDINATE_LOSSES.index("l1" if kl else "smooth_l1"),
        unit=(2.0, 2.0) if kl else (width, height),
        transition=1.0,
        coordinate_scale=0.01,
        hhd_scale=0.01,
    )
    strides = LAYOUTS[maps.get("layout", "contiguous")](logits.stored.shape)
    views, _, outputs = loss_arrays(inputs, True, True, strides)
    return Call("joint_loss", logits, [views, args], (inputs, outputs))


def teacher_targets(height: int, width: int, dtype: str = "float32", floor: float = 0.0) -> Call:
    maps = _maps(_gaussian(height, width), 1, dtype, "contiguous")
    out = [per_joint(maps, 2), per_joint(maps, 7, 7), per_joint(maps)]
    window = Window.of((7, 7), "nearest", "mirror")
    return Call(
        "teacher_targets", maps, [maps, *out, window, KINDS.index("l1_positive"), 1e-6, floor]
    )


def soft_argmax() -> Call:
    maps = _logits(64, 48)
    return Call("soft_argmax", maps, [maps, per_joint(maps, 2), per_joint(maps), 10.0, 0])


def soft_argmax_backward() -> Call:
    maps = _logits(64, 48)
    slope = _per_joint([0.3, -0.2], 1)
    return Call("soft_argmax_backward", maps, [slope, maps, like(maps), 10.0, 0])


def normalize(kind: str) -> Call:
    maps = _logits(64, 48)
    return Call("normalize", maps, [maps, like(maps), KINDS.index(kind), 1.0, 1e-6])


def crop() -> Call:
    maps = _logits(64, 48)
    out = Array((*maps.stored.shape[:2], 7, 7))
    centers = _per_joint(_peak(64, 48), 1)
    return Call("crop", maps, [maps, centers, out, Window.of((7, 7), "nearest", "mirror")])


def crop_backward() -> Call:
    maps = _logits(64, 48)
    grad = _per_joint(np.ones((7, 7)), 1)
    centers, window = _per_joint(_peak(64, 48), 1), Window.of((7, 7), "nearest", "mirror")
    return Call("crop_backward", maps, [grad, centers, like(maps), window])


PATHS: dict[str, Callable[[], Call]] = {
    **{
        f"joint_loss {preset} {height}x{width}": partial(joint_loss, preset, height, width)
        for preset in ("kl", "published")
        for height, width in ((64, 48), (96, 72), (56, 56), (24, 24))
    },
    **{
        f"joint_loss kl 64x48 {dtype}": partial(joint_loss, "kl", 64, 48, dtype=dtype)
        for dtype in ("float16", "bfloat16")
    },
    "joint_loss kl 64x48 channels_last": partial(
        joint_loss, "kl", 64, 48, joints=9, layout="channels_last"
    ),
    "joint_loss kl 64x48 underflowing rest": partial(joint_loss, "kl", 64, 48, contrast=20.0),
    "teacher_targets 64x48": partial(teacher_targets, 64, 48),
    "teacher_targets 64x48 floor": partial(teacher_targets, 64, 48, floor=0.2),
    "teacher_targets 96x72": partial(teacher_targets, 96, 72),
    "teacher_targets 64x48 bfloat16": partial(teacher_targets, 64, 48, "bfloat16"),
    "soft_argmax 64x48": soft_argmax,
    "soft_argmax_backward 64x48": soft_argmax_backward,
    "normalize l2 64x48": partial(normalize, "l2"),
    "normalize softmax 64x48": partial(normalize, "softmax"),
    "crop 64x48": crop,
    "crop_backward 64x48": crop_backward,
}


def instructions(library: ctypes.CDLL, call: Call) -> int:
    """The kernels' own in a call on one map, or on nine that lie in memory together."""
    function, passed = (
        getattr(library, f"hhd_{call.op}"),
        [c_value(value) for value in call.arguments],
    )
    units = (
        call.maps.stored.shape[1] if call.op == "crop" else library.hhd_units(c_value(call.maps))
    )
    function(*passed, ctypes.c_int64(0), ctypes.c_int64(units))
    return int(library.hhd_instructions())
