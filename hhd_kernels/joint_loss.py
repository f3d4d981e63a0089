"""Soft-argmax, coordinate loss and distillation loss in one pass over the student's maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hhd_kernels import _library, backend, checks
from hhd_kernels._targets import rebuilds_from_fields
from hhd_kernels.hhd_loss import (
    HHDOptions,
    Pair,
    check_pair,
    fake_gradient,
    hhd_options,
    ordinary_targets,
    reduce,
    select,
    spread_nan,
)
from hhd_kernels.loss_autograd import call, loss_autograd
from hhd_kernels.normalize import accumulator, log_softmax
from hhd_kernels.option_names import HHDLossOptions, JointLossOptions, shows_options
from hhd_kernels.options import CoordinateLoss
from hhd_kernels.soft_argmax import confidence, expectation
from hhd_kernels.teacher_targets import TeacherMaps, TeacherTargets

if TYPE_CHECKING:
    from typing_extensions import Unpack


class JointLoss(NamedTuple):
    """What `joint_loss` returns; only `loss` is differentiable."""

    loss: Tensor
    """coordinate_weight * coordinate_loss + hhd_weight * hhd_loss, a scalar."""
    coordinate_loss: Tensor
    """The coordinate term before its weight, detached."""
    hhd_loss: Tensor
    """The distillation term before its weight, detached."""
    coords: Tensor
    """The student's whole-map soft-argmax, (x, y) in heatmap pixels, [B, K, 2], detached."""
    confidence: Tensor
    """As `soft_argmax` returns it, [B, K]."""


rebuilds_from_fields(JointLoss)


class JointOptions(NamedTuple):
    """How coordinates are compared and the two terms weighed."""

    coordinate_loss: int
    unit: float | None
    """Heatmap pixels per unit of the loss; None: the map's width for x, its height for y."""
    transition: float
    coordinate_weight: float
    hhd_weight: float


def joint_options(
    coordinate_loss: str = "l1",
    coordinate_unit: float | str = 2.0,
    transition: float = 1.0,
    coordinate_weight: float = 1.0,
    hhd_weight: float = 1.0,
) -> JointOptions:
    """Check the coordinate options of `joint_loss` and turn them into what the op takes."""
    if isinstance(coordinate_unit, str) and coordinate_unit != "map":
        raise ValueError(
            f"coordinate_unit is {coordinate_unit!r}; it takes 'map' or a number of heatmap pixels"
        )
    return JointOptions(
        checks.choice("coordinate_loss", coordinate_loss, CoordinateLoss),
        None if coordinate_unit == "map" else checks.positive("coordinate_unit", coordinate_unit),
        checks.positive("transition", transition),
        checks.non_negative("coordinate_weight", coordinate_weight),
        checks.non_negative("hhd_weight", hhd_weight),
    )


COORDINATE_OPTIONS = JointLossOptions.__annotations__.keys() - HHDLossOptions.__annotations__.keys()


@checks.remembered
def joined_options(**options: Unpack[JointLossOptions]) -> tuple[HHDOptions, JointOptions]:
    """Check the options of `joint_loss`: the window's and the coordinates'."""
    mine = {name: value for name, value in options.items() if name in COORDINATE_OPTIONS}
    others = {name: value for name, value in options.items() if name not in COORDINATE_OPTIONS}
    return hhd_options(**others), joint_options(**mine)  # type: ignore[arg-type]


@shows_options(hhd_options, joint_options)
def joint_loss(
    student_logits: Tensor,
    targets: TeacherTargets,
    target_coords: Tensor | None = None,
    weight: Tensor | None = None,
    teacher_weight: Tensor | None = None,
    **options: Unpack[JointLossOptions],
) -> JointLoss:
    """Coordinate loss of the student's soft-argmax plus `hhd_loss`, fused.

    Args:
        student_logits: S, [B, K, H, W].
        targets: see `hhd_loss`.
        target_coords: (x, y) in heatmap pixels, [B, K, 2]; None leaves the coordinate term 0. Where
            the weight is not 0, one that is not finite makes the loss and its map's gradient NaN.
        weight: of the coordinate term, [B, K], non-negative; None is ones. Weights select, see
            `hhd_loss`.
        teacher_weight: of the distillation term, [B, K]; None takes `weight`.
        beta, normalize, divergence, locate, sampling, border, eps: see `hhd_loss`.
        reduction: "mean": the weighted mean over joints of either term. "official": sum / (B K) of
            the coordinate term, sum / B of the distillation term.
        coordinate_loss: of d = (coords - target_coords) / unit, the mean over the two axes of
            "l1": |d|; "smooth_l1": d^2 / (2 t) if |d| < t, else |d| - t/2; "l2": d^2. Or "none".
        coordinate_unit: heatmap pixels per unit, usually the sigma of the labels' Gaussians; or
            "map": the map's width for x and height for y.
        transition: t, in units.
        coordinate_weight, hhd_weight: of the two terms in `.loss`.

    Returns:
        JointLoss; all float32 (float64 for float64 logits). Differentiable once, in
        `student_logits` only.
    """
    inputs = joint_inputs(
        student_logits,
        targets,
        target_coords,
        weight,
        teacher_weight,
        *joined_options(**options),
    )
    return joint_of(inputs)


@shows_options(hhd_options, joint_options)
def joint_loss_and_grad(
    student_logits: Tensor,
    targets: TeacherTargets,
    target_coords: Tensor | None = None,
    weight: Tensor | None = None,
    teacher_weight: Tensor | None = None,
    *,
    grad_scale: Tensor | None = None,
    **options: Unpack[JointLossOptions],
) -> tuple[JointLoss, Tensor]:
    """`joint_loss` and its gradient in one pass, without autograd; nothing returned requires grad.

    Args:
        grad_scale: multiplied into the gradient (not the loss), for instance a loss scaler's
            factor; a scalar tensor on the logits' device.

    Returns:
        The JointLoss, and the gradient of its loss with the logits' shape, dtype and strides.
    """
    inputs = joint_inputs(
        student_logits,
        targets,
        target_coords,
        weight,
        teacher_weight,
        *joined_options(**options),
    )
    return joint_and_grad_of(inputs, grad_scale)


class JointInputs(NamedTuple):
    """The checked inputs of one call."""

    logits: Tensor
    targets: TeacherTargets | TeacherMaps
    target_coords: Tensor | None
    weight: Tensor | None
    teacher_weight: Tensor | None
    hhd: HHDOptions
    joint: JointOptions

    @property
    def op(self) -> str:
        """The op that takes them."""
        return "joint_loss_from_maps" if isinstance(self.targets, TeacherMaps) else "joint_loss"

    @property
    def units(self) -> tuple[float, float]:
        """Heatmap pixels per unit of the coordinate loss, for x and for y."""
        unit = self.joint.unit
        if unit is None:
            return float(self.logits.shape[3]), float(self.logits.shape[2])
        return unit, unit

    def arguments(self, grad_scale: Tensor | None) -> tuple[Any, ...]:
        """What the op takes between the logits and `with_grad`."""
        kind, _, *weights = self.joint
        teacher: tuple[Any, ...]
        if isinstance(self.targets, TeacherMaps):
            maps, (rows, columns, normalize, _, _, _, floor) = self.targets
            teacher = (maps, rows, columns, normalize, floor)
        else:
            teacher = self.targets.centers, self.targets.windows
        return (
            *teacher,
            self.target_coords,
            self.weight,
            self.teacher_weight,
            grad_scale,
            *self.hhd,
            kind,
            *self.units,
            *weights,
        )


def joint_inputs(
    logits: Tensor,
    targets: TeacherTargets | TeacherMaps,
    target_coords: Tensor | None,
    weight: Tensor | None,
    teacher_weight: Tensor | None,
    hhd: HHDOptions,
    joint: JointOptions,
) -> JointInputs:
    """Check the tensors of `joint_loss`; teacher maps, which share the windows' options, have been.

    In eager mode one op makes the targets and takes them.
    """
    if isinstance(targets, TeacherMaps) and not _takes_maps(logits, targets.maps):
        targets = targets.targets()
    if isinstance(targets, TeacherTargets):
        check_pair(logits, targets)
        targets = ordinary_targets(targets)
    if target_coords is not None:
        checks.like("target_coords", target_coords, "student_logits", logits, 2)
        target_coords = checks.ordinary(target_coords)
    if weight is not None:
        weight = checks.weight("weight", weight, "student_logits", logits)
    if teacher_weight is not None:
        teacher_weight = checks.weight("teacher_weight", teacher_weight, "student_logits", logits)
    if joint.coordinate_loss == CoordinateLoss.NONE:
        target_coords = None
    return JointInputs(logits, targets, target_coords, weight, teacher_weight, hhd, joint)


def _takes_maps(logits: Tensor, maps: Tensor) -> bool:
    if not (backend.is_plain_eager(logits) and backend.is_plain_eager(maps)):
        return False
    return backend.resolve("teacher_targets", maps) != "reference"


def joint_of(inputs: JointInputs) -> JointLoss:
    """`joint_loss` of checked inputs."""
    logits = inputs.logits
    ops = backend.ops("joint_loss", logits)
    if ops is None:
        return reference(inputs)
    return JointLoss(*call(ops, inputs.op, logits, *inputs.arguments(None)))


def joint_and_grad_of(inputs: JointInputs, grad_scale: Tensor | None) -> tuple[JointLoss, Tensor]:
    """`joint_loss_and_grad` of checked inputs."""
    logits = inputs.logits.detach()
    if grad_scale is not None:
        checks.scalar("grad_scale", grad_scale, "student_logits", logits)
    ops = backend.ops("joint_loss", logits)
    if ops is None:
        return _reference_and_grad(inputs._replace(logits=logits), grad_scale)
    arguments = (*inputs.arguments(grad_scale), True)
    output = backend.straight(ops, inputs.op, logits, *arguments)
    return JointLoss(*output[:5]), output[-1]


def reference(inputs: JointInputs) -> JointLoss:
    """`joint_loss` in plain PyTorch."""
    logits, targets, target_coords, weight, teacher_weight, hhd, joint = inputs
    if isinstance(targets, TeacherMaps):
        targets = targets.targets()
    maps = logits.to(accumulator(logits))
    pair = Pair(maps, targets, weight if teacher_weight is None else teacher_weight, hhd)
    ones = torch.ones_like(pair.weight)
    coordinate_weight = ones if weight is None else weight.detach().to(maps.dtype)
    labelled = coordinate_weight != 0

    labelled_maps = maps if weight is None else select(maps, labelled)
    p = log_softmax(labelled_maps, hhd.beta).exp()
    coords = expectation(p)
    coordinate_term = maps.new_zeros(())
    if target_coords is not None:
        losses = _coordinate_losses(coords, target_coords, labelled, inputs)
        losses = spread_nan(losses, labelled_maps)
        count = losses.numel()
        coordinate_term = reduce(losses, coordinate_weight, labelled, hhd.reduction, count)
    hhd_term = pair.loss(maps)
    loss = joint.coordinate_weight * coordinate_term + joint.hhd_weight * hhd_term
    coords = coords.detach()
    return JointLoss(
        loss, coordinate_term.detach(), hhd_term.detach(), coords, confidence(p.detach(), coords)
    )


def _ordinary(value: Any) -> Any:
    """A tensor made under inference_mode as one that autograd may save."""
    if isinstance(value, TeacherTargets):
        return TeacherTargets(*map(_ordinary, value))
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value


def _reference_and_grad(inputs: JointInputs, grad_scale: Tensor | None) -> tuple[JointLoss, Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        inputs = JointInputs(*map(_ordinary, inputs))
        leaf = inputs.logits.requires_grad_()
        result = reference(inputs)
        (grad,) = torch.autograd.grad(result.loss, leaf)
    if grad_scale is not None:
        grad = (grad * grad_scale).to(grad.dtype)
    return result._replace(loss=result.loss.detach()), grad


def _coordinate_losses(
    coords: Tensor, target: Tensor, selected: Tensor, inputs: JointInputs
) -> Tensor:
    """The coordinate loss per joint, [B, K]."""
    # An unselected target may be NaN: its difference is a plain 0 instead.
    target = torch.where(selected[..., None], target.detach().to(coords.dtype), coords.detach())
    target = torch.where(target.isfinite(), target, torch.nan)
    x, y = (coords - target).unbind(-1)
    unit_x, unit_y = inputs.units
    d = torch.stack((x * (1 / unit_x), y * (1 / unit_y)), dim=-1)
    kind = inputs.joint.coordinate_loss
    if kind == CoordinateLoss.L1:
        return d.abs().mean(-1)
    if kind == CoordinateLoss.L2:
        return d.square().mean(-1)
    transition = inputs.joint.transition
    return F.smooth_l1_loss(d, torch.zeros_like(d), reduction="none", beta=transition).mean(-1)


@_library.fake("joint_loss")
def _fake(
    logits: Tensor,
    centers: Tensor,
    windows: Tensor,
    target_coords: Tensor | None,
    weight: Tensor | None,
    teacher_weight: Tensor | None,
    grad_scale: Tensor | None,
    beta: float,
    normalize: int,
    divergence: int,
    locate: int,
    sampling: int,
    border: int,
    reduction: int,
    eps: float,
    coordinate_loss: int,
    unit_x: float,
    unit_y: float,
    transition: float,
    coordinate_weight: float,
    hhd_weight: float,
    with_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return *_fake_results(logits), fake_gradient(logits, with_grad)


def _fake_results(logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    shape, dtype = logits.shape[:2], accumulator(logits)
    return (
        logits.new_empty((), dtype=dtype),
        logits.new_empty((), dtype=dtype),
        logits.new_empty((), dtype=dtype),
        logits.new_empty((*shape, 2), dtype=dtype),
        logits.new_empty(shape, dtype=dtype),
    )


@_library.fake("joint_loss_from_maps")
def _from_maps_fake(
    logits: Tensor,
    heatmaps: Tensor,
    window_h: int,
    window_w: int,
    teacher_normalize: int,
    floor: float,
    target_coords: Tensor | None,
    weight: Tensor | None,
    teacher_weight: Tensor | None,
    grad_scale: Tensor | None,
    beta: float,
    normalize: int,
    divergence: int,
    locate: int,
    sampling: int,
    border: int,
    reduction: int,
    eps: float,
    coordinate_loss: int,
    unit_x: float,
    unit_y: float,
    transition: float,
    coordinate_weight: float,
    hhd_weight: float,
    with_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    shape, dtype = heatmaps.shape[:2], accumulator(heatmaps)
    return (
        *_fake_results(logits),
        heatmaps.new_empty((*shape, 2), dtype=dtype),
        heatmaps.new_empty((*shape, window_h, window_w), dtype=dtype),
        fake_gradient(logits, with_grad),
    )


loss_autograd("joint_loss")
