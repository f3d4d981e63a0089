"""Tensors of another device than the current one; tensors of two devices in one call."""

import pytest
import torch
from torch import Tensor

import hhd_kernels as hk
from gpu.machine import MACHINE
from kernels.calls import every, targets_of, value_and_gradient
from kernels.samples import DEVICE, Setup, loss_setup

SETUP = loss_setup(2, (3, 5, 33, 27))


def moved(setup: Setup, device: torch.device) -> Setup:
    return Setup(*(value.to(device) if isinstance(value, Tensor) else value for value in setup))


@pytest.mark.parametrize("name", sorted(every(SETUP)))
def test_another_device(backend: str, name: str) -> None:
    if len(MACHINE.devices) < 2:
        pytest.skip("this machine has one GPU")
    expected = value_and_gradient(every(SETUP)[name], SETUP.logits)
    there = moved(SETUP, MACHINE.devices[1])
    before = MACHINE.current()
    value, grad = value_and_gradient(every(there)[name], there.logits)
    assert MACHINE.current() == before
    assert value.device == there.logits.device
    for one, two in zip((value, grad), expected, strict=True):
        assert torch.equal(one.to(two.device), two)


def test_two_devices_in_one_call_are_refused(backend: str) -> None:
    elsewhere = moved(SETUP, torch.device("meta" if DEVICE == "cpu" else "cpu"))
    with pytest.raises(ValueError, match=r"targets\.centers is on (meta|cpu); it takes "):
        hk.hhd_loss(SETUP.logits, targets_of(elsewhere))


@pytest.mark.skipif(DEVICE == "cpu", reason="a CPU op gets no tensor of another device")
def test_two_devices_in_one_op_are_refused() -> None:
    centers = SETUP.centers.cpu()
    for maps, at in ((SETUP.logits, centers), (SETUP.logits.cpu(), SETUP.centers)):
        with pytest.raises(RuntimeError, match="hhd"):
            torch.ops.hhd.crop(maps, at, 3, 3, 0, 0)
