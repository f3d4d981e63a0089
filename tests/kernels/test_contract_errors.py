"""Arguments that make no sense raise a ValueError or TypeError that names the argument."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hhd_kernels as hk
from kernels.calls import targets_of
from kernels.samples import DEVICE, loss_setup

SETUP = loss_setup(2, (2, 3, 8, 6), (3, 3))
MAPS, CENTERS, TARGETS = SETUP.logits, SETUP.centers, targets_of(SETUP)
COORDS = SETUP.target_coords
INTEGERS, FLAT = torch.ones(2, 3, 8, 6, dtype=torch.int64), torch.ones(3, 8, 6)

Refused = tuple[Callable[[], Any], str]

CALLS: dict[str, Refused] = {
    "normalize list": (lambda: hk.normalize([1.0], "l1"), "x"),
    "normalize 3-d": (lambda: hk.normalize(FLAT, "l1"), "x"),
    "normalize integers": (lambda: hk.normalize(INTEGERS, "l1"), "x"),
    "normalize empty map": (lambda: hk.normalize(torch.ones(2, 3, 0, 6), "l1"), "x"),
    "normalize sparse": (lambda: hk.normalize(MAPS.to_sparse(), "l1"), "x"),
    "normalize kind": (lambda: hk.normalize(MAPS, "l3"), "kind"),
    "normalize complex": (lambda: hk.normalize(MAPS + 0j, "l1"), "x"),
    "normalize eps": (lambda: hk.normalize(MAPS, "l1", eps=0.0), "eps"),
    "normalize beta": (lambda: hk.normalize(MAPS, "softmax", beta=float("nan")), "beta"),
    "soft_argmax 3-d": (lambda: hk.soft_argmax(FLAT), "logits"),
    "soft_argmax empty map": (lambda: hk.soft_argmax(torch.ones(2, 3, 8, 0)), "logits"),
    "soft_argmax even window": (lambda: hk.soft_argmax(MAPS, 1.0, 4), "window"),
    "soft_argmax zero window": (lambda: hk.soft_argmax(MAPS, 1.0, 0), "window"),
    "soft_argmax negative window": (lambda: hk.soft_argmax(MAPS, 1.0, -3), "window"),
    "soft_argmax float window": (lambda: hk.soft_argmax(MAPS, 1.0, 3.0), "window"),
    "soft_argmax beta": (lambda: hk.soft_argmax(MAPS, 0.0), "beta"),
    "locate_teacher 3-d": (lambda: hk.locate_teacher(FLAT), "heatmaps"),
    "locate_teacher refine": (lambda: hk.locate_teacher(MAPS, "light"), "refine"),
    "locate_teacher even blur": (
        lambda: hk.locate_teacher(MAPS, "dark", blur_kernel=4),
        "blur_kernel",
    ),
    "locate_student mode": (lambda: hk.locate_student(MAPS, CENTERS, "best"), "mode"),
    "locate_student centers": (lambda: hk.locate_student(MAPS, CENTERS[..., :1]), "centers"),
    "locate_student batch": (lambda: hk.locate_student(MAPS, CENTERS[:1]), "centers"),
    "locate_student window": (
        lambda: hk.locate_student(MAPS, CENTERS, "debiased", window=(0, 3)),
        "window",
    ),
    "crop centers": (lambda: hk.crop(MAPS, CENTERS[:, :2]), "centers"),
    "crop integer centers": (lambda: hk.crop(MAPS, CENTERS.long()), "centers"),
    "crop window": (lambda: hk.crop(MAPS, CENTERS, (3, -1)), "window"),
    "crop window length": (lambda: hk.crop(MAPS, CENTERS, (3, 3, 3)), "window"),
    "crop sampling": (lambda: hk.crop(MAPS, CENTERS, sampling="cubic"), "sampling"),
    "crop border": (lambda: hk.crop(MAPS, CENTERS, border="reflect"), "border"),
    "targets normalize": (lambda: hk.teacher_targets(MAPS, normalize="max"), "normalize"),
    "targets window": (lambda: hk.teacher_targets(MAPS, (0, 0)), "window"),
    "targets integers": (lambda: hk.teacher_targets(INTEGERS), "heatmaps"),
    "hhd_loss logits": (lambda: hk.hhd_loss(FLAT, TARGETS), "logits"),
    "hhd_loss batch": (lambda: hk.hhd_loss(MAPS[:1], TARGETS), "centers|targets"),
    "criterion teacher": (lambda: hk.HHDLoss()(MAPS, None), "TeacherTargets"),
    "hhd_loss tensor": (lambda: hk.hhd_loss(MAPS, MAPS), "targets"),
    "hhd_loss windows": (
        lambda: hk.hhd_loss(MAPS, TARGETS._replace(windows=SETUP.windows[:, :, 0])),
        "windows",
    ),
    "hhd_loss weight shape": (lambda: hk.hhd_loss(MAPS, TARGETS, torch.ones(2)), "weight"),
    "hhd_loss weight complex": (
        lambda: hk.hhd_loss(MAPS, TARGETS, torch.ones(2, 3) + 0j),
        "weight",
    ),
    "hhd_loss divergence": (lambda: hk.hhd_loss(MAPS, TARGETS, divergence="js"), "divergence"),
    "hhd_loss kl of l2": (lambda: hk.hhd_loss(MAPS, TARGETS, normalize="l2"), "normalize"),
    "hhd_loss locate": (lambda: hk.hhd_loss(MAPS, TARGETS, locate="mean"), "locate"),
    "hhd_loss reduction": (lambda: hk.hhd_loss(MAPS, TARGETS, reduction="sum"), "reduction"),
    "hhd_loss border": (lambda: hk.hhd_loss(MAPS, TARGETS, border="wrap"), "border"),
    "hhd_loss sampling": (lambda: hk.hhd_loss(MAPS, TARGETS, sampling="area"), "sampling"),
    "joint_loss coords": (lambda: hk.joint_loss(MAPS, TARGETS, COORDS[..., :1]), "target_coords"),
    "joint_loss teacher weight": (
        lambda: hk.joint_loss(MAPS, TARGETS, COORDS, None, torch.ones(3, 2)),
        "teacher_weight",
    ),
    "joint_loss kind": (
        lambda: hk.joint_loss(MAPS, TARGETS, COORDS, coordinate_loss="huber"),
        "coordinate_loss",
    ),
    "joint_loss unit": (
        lambda: hk.joint_loss(MAPS, TARGETS, COORDS, coordinate_unit="pixel"),
        "coordinate_unit",
    ),
    "joint_loss zero unit": (
        lambda: hk.joint_loss(MAPS, TARGETS, COORDS, coordinate_unit=0.0),
        "coordinate_unit",
    ),
    "joint_loss transition": (
        lambda: hk.joint_loss(MAPS, TARGETS, COORDS, coordinate_loss="smooth_l1", transition=0.0),
        "transition",
    ),
    "one pass scale": (
        lambda: hk.joint_loss_and_grad(MAPS, TARGETS, COORDS, grad_scale=torch.ones(2)),
        "grad_scale",
    ),
    "HHDLoss normalize": (lambda: hk.HHDLoss(normalize=("softmax",)), "normalize"),
    "HHDLoss window": (lambda: hk.HHDLoss(window=(0, 7)), "window"),
    "HHDLoss maps of another size": (lambda: hk.HHDLoss()(MAPS, MAPS[..., :5]), "teacher"),
    "HHDLoss teacher list": (lambda: hk.HHDLoss()(MAPS, [1.0]), "teacher"),
    "IntegralHHDLoss kind": (lambda: hk.IntegralHHDLoss(coordinate_loss="l3"), "coordinate_loss"),
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_refused_by_name(backend: str, name: str) -> None:
    call, argument = CALLS[name]
    with pytest.raises((ValueError, TypeError), match=argument) as caught:
        call()
    assert type(caught.value) in (ValueError, TypeError)
    assert "\n" not in str(caught.value)


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="gpu"), hk.use_backend("gpu"):
        pass


def test_an_absent_backend_is_refused_rather_than_replaced() -> None:
    absent = {"cpu": "cuda", "cuda": "cpu"}[DEVICE]
    sentence = f"the backend '{absent}' cannot run: the tensor is on {DEVICE}"
    with hk.use_backend(absent), pytest.raises(RuntimeError, match=sentence):
        hk.normalize(MAPS, "l1")


def test_an_option_is_checked_beside_an_equal_one_of_another_type() -> None:
    hk.joint_loss(MAPS, TARGETS, beta=1)
    hk.hhd_loss(MAPS, TARGETS, beta=1)
    with pytest.raises(TypeError, match="beta is a bool"):
        hk.joint_loss(MAPS, TARGETS, beta=True)
    with pytest.raises(TypeError, match="beta is a bool"):
        hk.hhd_loss(MAPS, TARGETS, beta=True)
    with pytest.raises(TypeError, match="beta is a list"):
        hk.hhd_loss(MAPS, TARGETS, beta=[1.0])
    with pytest.raises(TypeError, match="bata") as raised:
        hk.joint_loss(MAPS, TARGETS, bata=1.0)
    assert raised.value.__context__ is None


def test_an_option_that_changes_is_looked_at_anew() -> None:
    class Scheduled(float):
        now = 10.0

        def __float__(self) -> float:
            return self.now

    beta = Scheduled(10.0)
    first = hk.hhd_loss(MAPS, TARGETS, beta=beta)
    beta.now = 2.0
    assert hk.hhd_loss(MAPS, TARGETS, beta=beta) != first


def test_only_the_logits_have_a_derivative(backend: str) -> None:
    def asks(value: torch.Tensor) -> torch.Tensor:
        return value.clone().requires_grad_()

    weight = torch.ones(MAPS.shape[:2])
    targets = hk.TeacherTargets(*map(asks, TARGETS))
    loss = hk.joint_loss(MAPS, targets, asks(COORDS), asks(weight)).loss
    compiled = torch.compile(hk.hhd_loss, fullgraph=True)
    assert not loss.requires_grad
    assert not compiled(MAPS, targets, asks(weight)).requires_grad


def test_explain_does_not_call_the_first_the_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    from hhd_kernels import backend

    monkeypatch.setattr(backend, "obstacle", lambda name, device: None)
    monkeypatch.setattr(backend, "_default", lambda device: "cuda")
    assert "not because it was timed" in hk.explain("soft_argmax", MAPS).reasons["triton"]
    with hk.use_backend("triton"):
        assert hk.explain("soft_argmax", MAPS).reasons["cuda"] == "can run, not chosen"


def test_explain_names_what_runs(backend: str) -> None:
    assert backend in str(hk.explain("hhd_loss", MAPS)).splitlines()[0]
