"""How many kernels an op starts: one over the maps, and the losses' sums over the weights.

CUDA finds those sums in the launch that makes live teacher maps' targets.
"""

import pytest
import torch

import hhd_kernels as hk
from gpu.machine import MACHINE, Run
from kernels.calls import targets_of
from kernels.samples import loss_setup

SETUP = loss_setup(2, (3, 17, 64, 48))
X, TARGETS = SETUP.logits, targets_of(SETUP)
COORDS = SETUP.target_coords
TEACHER = X.abs()
INTEGRAL = hk.IntegralHHDLoss()
AT_MOST: dict[str, tuple[int, Run]] = {
    "teacher_targets": (1, lambda: hk.teacher_targets(X)),
    "locate_teacher": (1, lambda: [hk.locate_teacher(X)]),
    "locate_student": (1, lambda: [hk.locate_student(X, SETUP.centers, "debiased")]),
    "crop": (1, lambda: [hk.crop(X, SETUP.centers)]),
    "normalize": (1, lambda: [hk.normalize(X, "softmax")]),
    "soft_argmax": (1, lambda: hk.soft_argmax(X, 10.0)),
    "hhd_loss": (2, lambda: [hk.hhd_loss(X, TARGETS, SETUP.weight)]),
    "joint_loss_and_grad": (
        2,
        lambda: [hk.joint_loss_and_grad(X, TARGETS, COORDS, SETUP.weight)[1]],
    ),
    "joint_loss_and_grad from maps": (
        2,
        lambda: [INTEGRAL.loss_and_grad(X, TEACHER, COORDS, SETUP.weight)[1]],
    ),
}


@pytest.mark.parametrize("name", AT_MOST)
def test_launches(backend: str, name: str) -> None:
    most, run = AT_MOST[name]
    with torch.no_grad():
        found = MACHINE.launches(run)
    assert 1 <= len(found) <= most, found
