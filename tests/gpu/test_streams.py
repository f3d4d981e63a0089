"""Kernels run on torch's current stream, beside other work, and wait for nothing."""

import pytest
import torch

from gpu.machine import MACHINE
from kernels.calls import every, value_and_gradient
from kernels.samples import loss_setup

SETUP = loss_setup(2, (3, 17, 33, 27))
NAMES = sorted(every(SETUP))


@pytest.mark.parametrize("name", NAMES)
def test_current_stream(backend: str, name: str) -> None:
    """The maps are written late, on a stream of their own: elsewhere a kernel reads them early."""
    call = every(SETUP)[name]
    expected = value_and_gradient(call, SETUP.logits)
    maps = torch.full_like(SETUP.logits, 7.0)
    MACHINE.synchronize()
    with MACHINE.side_stream():
        MACHINE.delay()
        maps.copy_(SETUP.logits)
        got = value_and_gradient(call, maps)
    MACHINE.synchronize()
    assert all(torch.equal(one, two) for one, two in zip(got, expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_beside_other_work(backend: str, name: str) -> None:
    call = every(SETUP)[name]
    expected = value_and_gradient(call, SETUP.logits)
    MACHINE.synchronize()
    answers = []
    for _ in range(4):
        with MACHINE.side_stream():
            answers += [value_and_gradient(call, SETUP.logits) for _ in range(2)]
    MACHINE.synchronize()
    for answer in answers:
        assert all(torch.equal(one, two) for one, two in zip(answer, expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_no_host_sync(backend: str, name: str) -> None:
    call = every(SETUP)[name]
    value_and_gradient(call, SETUP.logits)  # loads modules, which may wait
    with MACHINE.no_sync():
        value_and_gradient(call, SETUP.logits)
