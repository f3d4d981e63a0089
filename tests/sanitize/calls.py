"""Calls of the sanitised kernels: every op on `memory.Array`s, each call checked for determinism.

A call runs twice, over all units at once and in two parts, into outputs full of different bytes:
they must come out equal bit by bit, with nothing written between the elements or into the inputs.
"""

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sanitize.memory import Array, Strides, View, accumulate

Result = NDArray[np.float64]

# In the order of the C++ enumerations.
KINDS = ["none", "l1", "l2", "softmax", "l1_positive"]
DIVERGENCES = ["sse", "kl"]
LOCATES = ["peak", "published", "debiased"]
REFINES = ["none", "dark"]
SAMPLINGS = ["nearest", "bilinear"]
BORDERS = ["mirror", "mirror_published"]
COORDINATE_LOSSES = ["none", "l1", "smooth_l1", "l2"]


class Window(ctypes.Structure):
    """`hhd::Window`."""

    _fields_ = (
        ("height", ctypes.c_int64),
        ("width", ctypes.c_int64),
        ("sampling", ctypes.c_int32),
        ("border", ctypes.c_int32),
    )

    @classmethod
    def of(cls, size: Sequence[int], sampling: str, border: str) -> "Window":
        return cls(*size, SAMPLINGS.index(sampling), BORDERS.index(border))


class LossArgs(ctypes.Structure):
    """`hhd::LossArgs`."""

    _fields_ = (
        ("window", Window),
        ("normalize", ctypes.c_int32),
        ("divergence", ctypes.c_int32),
        ("locate", ctypes.c_int32),
        ("beta", ctypes.c_double),
        ("eps", ctypes.c_double),
        ("coordinate_loss", ctypes.c_int32),
        ("unit", ctypes.c_double * 2),
        ("transition", ctypes.c_double),
        ("coordinate_scale", ctypes.c_double),
        ("hhd_scale", ctypes.c_double),
    )


LOSS_VIEWS = [
    *("logits", "centers", "windows", "target_coords", "weight", "teacher_weight"),
    *("grad", "coords", "confidence"),
]


class LossViews(ctypes.Structure):
    """`hhd::LossViews`."""

    _fields_ = (
        *((name, View) for name in LOSS_VIEWS),
        ("coordinate_terms", ctypes.c_void_p),
        ("hhd_terms", ctypes.c_void_p),
    )


class LossInputs(NamedTuple):
    """What the loss reads."""

    logits: Array
    centers: Array
    windows: Array
    target_coords: Array | None = None
    weight: Array | None = None
    teacher_weight: Array | None = None


class LossOutputs(NamedTuple):
    """Terms per joint `[B, K]`, weighted; `grad` and the coordinates as far as asked for."""

    coordinate_terms: Result
    hhd_terms: Result
    grad: Result | None
    coords: Result | None
    confidence: Result | None


def c_value(value: Any) -> Any:
    if isinstance(value, Array):
        return ctypes.byref(value.view)
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int64(int(value))


def like(maps: Array, strides: Strides | None = None) -> Array:
    """An output with the maps' shape and dtype."""
    return Array(maps.stored.shape, maps.dtype, strides)


def per_joint(maps: Array, *size: int) -> Array:
    """An output `[B, K, *size]` in the maps' accumulation dtype."""
    return Array((*maps.stored.shape[:2], *size), accumulate(maps.dtype))


def loss_arrays(
    inputs: LossInputs, with_grad: bool, with_coords: bool, strides: Strides | None
) -> tuple[LossViews, list[Array], dict[str, Array]]:
    """The views of a loss call, what it reads and what it writes; `strides` are the gradient's."""
    logits = inputs.logits
    terms = {
        name: Array(logits.stored.shape[:2], "float64")
        for name in ("coordinate_terms", "hhd_terms")
    }
    asked: dict[str, Array] = {}
    if with_grad:
        asked["grad"] = like(logits, strides)
    if with_coords:
        asked |= {"coords": per_joint(logits, 2), "confidence": per_joint(logits)}
    given = {name: a for name, a in inputs._asdict().items() if a is not None}
    views = LossViews(
        **{name: array.view for name, array in (given | asked).items()},
        **{name: array.view.data for name, array in terms.items()},
    )
    return views, list(given.values()), terms | asked


class Kernels:
    """The ops of a sanitised library; results are float64 copies of what was stored."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.hhd_capability.restype = ctypes.c_char_p
        self._library.hhd_sum.restype = ctypes.c_double
        self.capability: str = self._library.hhd_capability().decode()
        self.calls = 0
        mirrors = {"view": View, "loss_views": LossViews, "loss_args": LossArgs}
        for name, mirror in mirrors.items():
            size = getattr(self._library, f"hhd_{name}_bytes")
            size.restype = ctypes.c_int64
            assert size() == ctypes.sizeof(mirror), f"{mirror.__name__} differs from the C++ one"
        self._library.hhd_units.restype = ctypes.c_int64

    def units(self, maps: Array) -> int:
        return int(self._library.hhd_units(c_value(maps)))

    def _run(
        self, op: str, units: int, inputs: list[Array], outputs: list[Array], args: list[Any]
    ) -> list[Result]:
        self.calls += 1
        before = [array.memory.copy() for array in inputs]
        function, passed = getattr(self._library, f"hhd_{op}"), [c_value(arg) for arg in args]
        runs = []
        for byte, bounds in ((0x5A, [0, units]), (0xA5, [0, units // 2, units])):
            for array in outputs:
                array.poison(byte)
            for begin, end in pairwise(bounds):
                function(*passed, ctypes.c_int64(begin), ctypes.c_int64(end))
            runs.append([array.stored.tobytes() for array in outputs])
            for array in outputs:
                assert (array.gaps() == byte).all(), f"{op} wrote between the elements"
        assert runs[0] == runs[1], f"{op} left output unwritten, or is not deterministic"
        for array, memory in zip(inputs, before, strict=True):
            assert (array.memory == memory).all(), f"{op} wrote into an input"
        return [array.values() for array in outputs]

    def normalize(
        self, x: Array, kind: str, beta: float, eps: float, strides: Strides | None = None
    ) -> Result:
        out = like(x, strides)
        args = [x, out, KINDS.index(kind), beta, eps]
        return self._run("normalize", self.units(x), [x], [out], args)[0]

    def normalize_backward(
        self,
        grad: Array,
        x: Array,
        kind: str,
        beta: float,
        eps: float,
        strides: Strides | None = None,
    ) -> Result:
        out = like(x, strides)
        args = [grad, x, out, KINDS.index(kind), beta, eps]
        return self._run("normalize_backward", self.units(x), [grad, x], [out], args)[0]

    def soft_argmax(self, logits: Array, beta: float, window: int) -> list[Result]:
        out = [per_joint(logits, 2), per_joint(logits)]
        args = [logits, *out, beta, window]
        return self._run("soft_argmax", self.units(logits), [logits], out, args)

    def soft_argmax_backward(
        self, grad: Array, logits: Array, beta: float, window: int, strides: Strides | None = None
    ) -> Result:
        out = like(logits, strides)
        args = [grad, logits, out, beta, window]
        return self._run("soft_argmax_backward", self.units(logits), [grad, logits], [out], args)[0]

    def locate_teacher(self, maps: Array, refine: str, blur_kernel: int) -> Result:
        out = per_joint(maps, 2)
        args = [maps, out, REFINES.index(refine), blur_kernel]
        return self._run("locate_teacher", self.units(maps), [maps], [out], args)[0]

    def locate_student(
        self, logits: Array, teacher: Array, mode: str, beta: float, window: Sequence[int]
    ) -> Result:
        out = per_joint(logits, 2)
        args = [logits, teacher, out, LOCATES.index(mode), beta, *window]
        return self._run("locate_student", self.units(logits), [logits, teacher], [out], args)[0]

    def crop(self, maps: Array, centers: Array, window: Window) -> Result:
        b, k = maps.stored.shape[:2]
        out = Array((b, k, window.height, window.width), maps.dtype)
        return self._run("crop", b * k, [maps, centers], [out], [maps, centers, out, window])[0]

    def crop_backward(
        self, grad: Array, centers: Array, out: Array, sampling: str, border: str
    ) -> Result:
        window = Window.of(grad.stored.shape[2:], sampling, border)
        args = [grad, centers, out, window]
        return self._run("crop_backward", self.units(out), [grad, centers], [out], args)[0]

    def teacher_targets(
        self,
        maps: Array,
        window: Window,
        kind: str = "l1_positive",
        eps: float = 1e-6,
        floor: float = 0.0,
    ) -> list[Result]:
        out = [
            per_joint(maps, 2),
            per_joint(maps, window.height, window.width),
            per_joint(maps),
        ]
        args = [maps, *out, window, KINDS.index(kind), eps, floor]
        return self._run("teacher_targets", self.units(maps), [maps], out, args)

    def joint_loss(
        self,
        inputs: LossInputs,
        args: LossArgs,
        *,
        with_grad: bool = True,
        with_coords: bool = True,
        strides: Strides | None = None,
    ) -> LossOutputs:
        views, given, outputs = loss_arrays(inputs, with_grad, with_coords, strides)
        units = self.units(inputs.logits)
        results = self._run("joint_loss", units, given, list(outputs.values()), [views, args])
        found = dict(zip(outputs, results, strict=True))
        return LossOutputs(
            found["coordinate_terms"],
            found["hhd_terms"],
            *(found.get(name) for name in ("grad", "coords", "confidence")),
        )

    def scale(self, x: Array, factor: float, strides: Strides | None = None) -> Result:
        out = like(x, strides)
        return self._run("scale", self.units(x), [x], [out], [x, out, factor])[0]

    def sum(self, weights: Array) -> float:
        self.calls += 1
        return float(self._library.hhd_sum(c_value(weights)))
