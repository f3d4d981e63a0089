"""The ops that are timed one by one, with their traffic budgets and what the oracle says of them.

`traffic` counts map tensors that must be read or written; what is O(B K window) is not counted.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import hhd_kernels as hk
import oracle
from benchmarks.inputs import Maps
from benchmarks.presets import Preset

Call = Callable[[], tuple[Tensor, ...]]
BETA = 10.0


class Op(NamedTuple):
    """`build` prepares, untimed, a call without arguments; `exact` is its result in float64."""

    name: str
    traffic: int
    build: Callable[[Preset, Maps], Call]
    exact: Callable[[Preset, Maps], tuple[Any, ...]]
    by_preset: bool = True
    box: int | None = None
    """Which result is a mass in the box at rounded coordinates, those of the result before."""


def _targets(preset: Preset, maps: Maps) -> Call:
    return lambda: preset.joint.targets(maps.teacher)


def _exact_targets(preset: Preset, maps: Maps) -> tuple[Any, ...]:
    return oracle.teacher_targets(_array(maps.teacher), **preset.target_options)


def _soft_argmax(preset: Preset, maps: Maps) -> Call:
    student = maps.student.detach()
    return lambda: hk.soft_argmax(student, BETA)


def _exact_soft_argmax(preset: Preset, maps: Maps) -> tuple[Any, ...]:
    return oracle.soft_argmax(_array(maps.student), BETA)


def _soft_argmax_backward(preset: Preset, maps: Maps) -> Call:
    coords, _ = hk.soft_argmax(maps.student, BETA)
    return lambda: torch.autograd.grad(coords, maps.student, maps.coords, retain_graph=True)


def _exact_soft_argmax_backward(preset: Preset, maps: Maps) -> tuple[Any, ...]:
    return (oracle.soft_argmax_backward(_array(maps.coords), _array(maps.student), BETA),)


def _hhd_forward(preset: Preset, maps: Maps) -> Call:
    student, targets = maps.student.detach(), preset.joint.targets(maps.teacher)
    return lambda: (hk.hhd_loss(student, targets, maps.weight, **preset.hhd_options),)


def _hhd_with_gradient(preset: Preset, maps: Maps) -> Call:
    targets = preset.joint.targets(maps.teacher)

    def call() -> tuple[Tensor, ...]:
        loss = hk.hhd_loss(maps.student, targets, maps.weight, **preset.hhd_options)
        return loss.detach(), *torch.autograd.grad(loss, maps.student)

    return call


def _exact_hhd(preset: Preset, maps: Maps) -> tuple[Any, ...]:
    centers, windows, _ = _exact_targets(preset, maps)
    student, weight = _array(maps.student), _array(maps.weight)
    return oracle.hhd_loss(student, centers, windows, weight, **preset.hhd_options)


def _joint_forward(preset: Preset, maps: Maps) -> Call:
    student, targets = maps.student.detach(), preset.joint.targets(maps.teacher)
    options = preset.hhd_options | preset.joint_options
    return lambda: hk.joint_loss(student, targets, maps.coords, maps.weight, **options)


def _joint_with_gradient(preset: Preset, maps: Maps) -> Call:
    student, targets = maps.student.detach(), preset.joint.targets(maps.teacher)
    options = preset.hhd_options | preset.joint_options

    def call() -> tuple[Tensor, ...]:
        terms, grad = hk.joint_loss_and_grad(student, targets, maps.coords, maps.weight, **options)
        return *terms, grad

    return call


def _joint_live(preset: Preset, maps: Maps) -> Call:
    def call() -> tuple[Tensor, ...]:
        terms = preset.joint(maps.student, maps.teacher, maps.coords, maps.weight)
        return *(term.detach() for term in terms), *torch.autograd.grad(terms.loss, maps.student)

    return call


def _exact_joint(preset: Preset, maps: Maps) -> tuple[Any, ...]:
    """Loss, both terms, coordinates, confidence and gradient."""
    centers, windows, _ = _exact_targets(preset, maps)
    return oracle.joint_loss(
        _array(maps.student),
        centers,
        windows,
        _array(maps.coords),
        _array(maps.weight),
        **preset.hhd_options,
        **preset.joint_options,
    )


def _without_gradient(
    exact: Callable[[Preset, Maps], tuple[Any, ...]],
) -> Callable[[Preset, Maps], tuple[Any, ...]]:
    return lambda preset, maps: exact(preset, maps)[:-1]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


TEACHER_TARGETS = Op("teacher_targets", 1, _targets, _exact_targets)
SOFT_ARGMAX = Op("soft_argmax", 1, _soft_argmax, _exact_soft_argmax, False, box=1)
SOFT_ARGMAX_BACKWARD = Op(
    "soft_argmax backward", 2, _soft_argmax_backward, _exact_soft_argmax_backward, False
)
HHD_LOSS = Op("hhd_loss", 1, _hhd_forward, _without_gradient(_exact_hhd))
HHD_LOSS_GRADIENT = Op("hhd_loss + backward", 2, _hhd_with_gradient, _exact_hhd)
JOINT_LOSS = Op("joint_loss", 1, _joint_forward, _without_gradient(_exact_joint), box=4)
JOINT_LOSS_AND_GRAD = Op("joint_loss_and_grad", 2, _joint_with_gradient, _exact_joint, box=4)
JOINT_LIVE = Op("joint loss of live maps + backward", 3, _joint_live, _exact_joint, box=4)

OPS = (
    TEACHER_TARGETS,
    SOFT_ARGMAX,
    SOFT_ARGMAX_BACKWARD,
    HHD_LOSS,
    HHD_LOSS_GRADIENT,
    JOINT_LOSS,
    JOINT_LOSS_AND_GRAD,
    JOINT_LIVE,
)
