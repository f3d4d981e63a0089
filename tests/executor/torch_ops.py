"""The launchers in the place of the CPU ops of `torch.ops.hhd`, so that the package's own tests of
values and gradients judge the CUDA kernels.
"""

import ctypes
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from executor.library import Library, LossReduction, Memory
from sanitize.calls import LOSS_VIEWS, LossArgs, LossViews, Window
from sanitize.memory import View

# In the order of the C++ enumeration.
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
NO_COORDINATE_LOSS = 0


def view_of(tensor: Tensor) -> View:
    missing = 4 - tensor.dim()
    return View(
        tensor.data_ptr() if tensor.numel() else None,
        DTYPES.index(tensor.dtype),
        (ctypes.c_int64 * 4)(*tensor.shape, *[1] * missing),
        (ctypes.c_int64 * 4)(*tensor.stride(), *[0] * missing),
    )


def memory_of(name: str, tensor: Tensor, writable: bool) -> Memory:
    """The bytes that the tensor's elements span."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    span = sum((size - 1) * step for size, step in steps) + 1 if tensor.numel() else 0
    return Memory(name, tensor.data_ptr(), span * tensor.element_size(), writable)


def _sum_type(maps: Tensor) -> torch.dtype:
    return torch.float64 if maps.dtype == torch.float64 else torch.float32


def _poisoned(like: Tensor, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
    return like.new_full(shape, torch.nan, dtype=dtype or _sum_type(like))


class _Form(NamedTuple):
    """What the joint losses take after their tensors."""

    beta: float
    normalize: int
    divergence: int
    locate: int
    sampling: int
    border: int
    reduction: int
    eps: float
    coordinate_loss: int
    unit_x: float
    unit_y: float
    transition: float
    coordinate_weight: float
    hhd_weight: float
    with_grad: bool

    def window(self, rows: int, columns: int) -> Window:
        return Window(rows, columns, self.sampling, self.border)

    def args(self, window: Window) -> LossArgs:
        return LossArgs(
            window=window,
            normalize=self.normalize,
            divergence=self.divergence,
            locate=self.locate,
            beta=self.beta,
            eps=self.eps,
            coordinate_loss=self.coordinate_loss,
            unit=(self.unit_x, self.unit_y),
            transition=self.transition,
            coordinate_scale=self.coordinate_weight,
            hhd_scale=self.hhd_weight,
        )


class Ops:
    """A method an op, as `csrc/schema.cpp` declares it."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def _call(self, op: str, inputs: dict[str, Tensor], out: dict[str, Tensor], *args: Any) -> None:
        tensors = [(inputs, False), (out, True)]
        memories = [memory_of(*item, w) for group, w in tensors for item in group.items()]
        self._library.call(op, memories, *args)

    def _maps(
        self, op: str, inputs: dict[str, Tensor], out: dict[str, Tensor], *args: float | Window
    ) -> None:
        """A call that takes its tensors as views, in order, and then numbers."""
        views = [ctypes.byref(view_of(tensor)) for tensor in (inputs | out).values()]
        self._call(op, inputs, out, *views, *map(_number, args))

    def normalize(self, x: Tensor, kind: int, beta: float, eps: float) -> Tensor:
        out = torch.full_like(x, torch.nan)
        self._maps("normalize", {"x": x}, {"out": out}, kind, beta, eps)
        return out

    def normalize_backward(
        self, grad: Tensor, x: Tensor, kind: int, beta: float, eps: float
    ) -> Tensor:
        out = torch.full_like(x, torch.nan)
        inputs = {"grad": grad, "x": x}
        self._maps("normalize_backward", inputs, {"out": out}, kind, beta, eps)
        return out

    def soft_argmax(self, logits: Tensor, beta: float, window: int) -> tuple[Tensor, Tensor]:
        coords = _poisoned(logits, *logits.shape[:2], 2)
        confidence = _poisoned(logits, *logits.shape[:2])
        out = {"coords": coords, "confidence": confidence}
        self._maps("soft_argmax", {"logits": logits}, out, beta, window)
        return coords, confidence

    def soft_argmax_backward(
        self, grad_coords: Tensor, logits: Tensor, beta: float, window: int
    ) -> Tensor:
        out = torch.full_like(logits, torch.nan)
        inputs = {"grad_coords": grad_coords, "logits": logits}
        self._maps("soft_argmax_backward", inputs, {"out": out}, beta, window)
        return out

    def locate_teacher(self, heatmaps: Tensor, refine: int, blur_kernel: int) -> Tensor:
        out = _poisoned(heatmaps, *heatmaps.shape[:2], 2)
        self._maps("locate_teacher", {"heatmaps": heatmaps}, {"out": out}, refine, blur_kernel)
        return out

    def locate_student(
        self, logits: Tensor, centers: Tensor, mode: int, beta: float, rows: int, columns: int
    ) -> Tensor:
        out = _poisoned(logits, *logits.shape[:2], 2)
        inputs = {"logits": logits, "centers": centers}
        self._maps("locate_student", inputs, {"out": out}, mode, beta, rows, columns)
        return out

    def crop(
        self, maps: Tensor, centers: Tensor, rows: int, columns: int, sampling: int, border: int
    ) -> Tensor:
        out = _poisoned(maps, *maps.shape[:2], rows, columns, dtype=maps.dtype)
        window = Window(rows, columns, sampling, border)
        self._maps("crop", {"maps": maps, "centers": centers}, {"out": out}, window)
        return out

    def crop_backward(
        self, grad: Tensor, maps: Tensor, centers: Tensor, sampling: int, border: int
    ) -> Tensor:
        out = torch.full_like(maps, torch.nan)
        window = Window(*grad.shape[2:], sampling, border)
        self._maps("crop_backward", {"grad": grad, "centers": centers}, {"out": out}, window)
        return out

    def teacher_targets(
        self,
        heatmaps: Tensor,
        rows: int,
        columns: int,
        normalize: int,
        sampling: int,
        border: int,
        eps: float,
        floor: float,
    ) -> tuple[Tensor, ...]:
        joints = heatmaps.shape[:2]
        out = {
            "centers": _poisoned(heatmaps, *joints, 2),
            "windows": _poisoned(heatmaps, *joints, rows, columns),
            "confidence": _poisoned(heatmaps, *joints),
        }
        window = Window(rows, columns, sampling, border)
        self._maps("teacher_targets", {"heatmaps": heatmaps}, out, window, normalize, eps, floor)
        return tuple(out.values())

    def hhd_loss(
        self,
        logits: Tensor,
        centers: Tensor,
        windows: Tensor,
        weight: Tensor | None,
        grad_scale: Tensor | None,
        beta: float,
        normalize: int,
        divergence: int,
        locate: int,
        sampling: int,
        border: int,
        reduction: int,
        eps: float,
        hhd_weight: float,
        with_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        inputs = {"logits": logits, "centers": centers, "windows": windows}
        inputs |= {} if weight is None else {"teacher_weight": weight}
        args = LossArgs(
            window=Window(*windows.shape[2:], sampling, border),
            normalize=normalize,
            divergence=divergence,
            locate=locate,
            beta=beta,
            eps=eps,
            coordinate_loss=NO_COORDINATE_LOSS,
            unit=(1, 1),
            transition=1,
            hhd_scale=hhd_weight,
        )
        out = self._loss(inputs, {}, args, reduction, grad_scale, with_grad, ["loss"])
        return out["loss"], out["grad"]

    def joint_loss(
        self,
        logits: Tensor,
        centers: Tensor,
        windows: Tensor,
        target_coords: Tensor | None,
        weight: Tensor | None,
        teacher_weight: Tensor | None,
        grad_scale: Tensor | None,
        *options: Any,
    ) -> tuple[Tensor, ...]:
        form = _Form(*options)
        inputs = {"logits": logits, "centers": centers, "windows": windows}
        labels = (target_coords, weight, teacher_weight)
        window = form.window(*windows.shape[2:])
        return self._joint(inputs, {}, window, labels, grad_scale, form)

    def joint_loss_from_maps(
        self,
        logits: Tensor,
        heatmaps: Tensor,
        rows: int,
        columns: int,
        teacher_normalize: int,
        floor: float,
        target_coords: Tensor | None,
        weight: Tensor | None,
        teacher_weight: Tensor | None,
        grad_scale: Tensor | None,
        *options: Any,
    ) -> tuple[Tensor, ...]:
        form = _Form(*options)
        window = form.window(rows, columns)
        targets = {
            "centers": _poisoned(heatmaps, *heatmaps.shape[:2], 2),
            "windows": _poisoned(heatmaps, *heatmaps.shape[:2], rows, columns),
        }
        labels = (target_coords, weight, teacher_weight)
        how = (heatmaps, window, teacher_normalize, form.eps, floor)
        *found, grad = self._joint(
            {"logits": logits}, targets, window, labels, grad_scale, form, how
        )
        return *found, *targets.values(), grad

    def _joint(
        self,
        inputs: dict[str, Tensor],
        targets: dict[str, Tensor],
        window: Window,
        labels: tuple[Tensor | None, ...],
        grad_scale: Tensor | None,
        form: "_Form",
        how: tuple[Any, ...] | None = None,
    ) -> tuple[Tensor, ...]:
        """`targets` are outputs, where `how` has the teacher's maps and what is made of them."""
        logits = inputs["logits"]
        target_coords, weight, teacher_weight = labels
        optional = {
            "target_coords": target_coords if form.coordinate_loss else None,
            "weight": weight,
            "teacher_weight": weight if teacher_weight is None else teacher_weight,
        }
        inputs |= {name: tensor for name, tensor in optional.items() if tensor is not None}
        out = targets | {
            "coords": _poisoned(logits, *logits.shape[:2], 2),
            "confidence": _poisoned(logits, *logits.shape[:2]),
        }
        numbers = ["loss", "coordinate_loss", "hhd_loss"]
        found = self._loss(
            inputs, out, form.args(window), form.reduction, grad_scale, form.with_grad, numbers, how
        )
        return tuple(found[name] for name in (*numbers, "coords", "confidence", "grad"))

    def _loss(
        self,
        inputs: dict[str, Tensor],
        out: dict[str, Tensor],
        args: LossArgs,
        reduction: int,
        grad_scale: Tensor | None,
        with_grad: bool,
        numbers: list[str],
        targets: tuple[Any, ...] | None = None,
    ) -> dict[str, Tensor]:
        logits = inputs["logits"]
        joints = logits.shape[:2]
        size = self._library.loss_scratch(joints.numel())
        scratch = {"scratch": torch.full((size,), 0xFF, dtype=torch.uint8)}
        grad = torch.full_like(logits, torch.nan) if with_grad else logits.new_empty(0)
        maps = out | ({"grad": grad} if with_grad else {})
        given = {name: view_of(tensor) for name, tensor in (inputs | maps).items()}
        assert given.keys() <= set(LOSS_VIEWS)
        losses = {name: _poisoned(logits) for name in numbers}
        how = LossReduction(
            kind=reduction,
            scratch=scratch["scratch"].data_ptr(),
            **{name: view_of(tensor) for name, tensor in losses.items()},
        )
        if grad_scale is not None:
            inputs = inputs | {"grad_scale": grad_scale}
            how.grad_scale = view_of(grad_scale)
        structures = [ctypes.byref(s) for s in (LossViews(**given), args, how)]
        written = maps | losses | scratch
        if targets is None:
            self._call("joint_loss", inputs, written, *structures)
        else:
            heatmaps, *made = targets
            before = [ctypes.byref(view_of(heatmaps)), *map(_number, made)]
            inputs = inputs | {"heatmaps": heatmaps}
            self._call("joint_loss_from_maps", inputs, written, *before, *structures)
        return maps | losses | {"grad": grad}

    def loss_backward(self, grad: Tensor, factor: Tensor, logits: Tensor) -> Tensor:
        out = torch.full_like(logits, torch.nan)
        self._maps("loss_backward", {"grad": grad, "factor": factor}, {"out": out})
        return out

    def loss_backward_(self, grad: Tensor, factor: Tensor) -> None:
        views = [ctypes.byref(view_of(tensor)) for tensor in (grad, factor, grad)]
        self._call("loss_backward", {"factor": factor}, {"grad": grad}, *views)


def _number(value: Any) -> Any:
    if isinstance(value, Window):
        return ctypes.byref(value)
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int64(value)


OPS = [name for name in vars(Ops) if not name.startswith("_")]


@contextmanager
def installed(library: Library) -> Iterator[None]:
    """While this lasts, `torch.ops.hhd` on CPU tensors runs the executor."""
    ours = torch.library.Library("hhd", "IMPL")
    ops = Ops(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a kernel is overridden
        for name in OPS:
            ours.impl(name, getattr(ops, name), "CPU", allow_override=True)
    try:
        yield
    finally:
        ours._destroy()
