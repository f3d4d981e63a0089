"""Maps of more than 2^31 elements: the last instances answer as they do alone."""

from math import ceil

import pytest
import torch

import hhd_kernels as hk
from gpu.machine import MACHINE
from kernels.samples import DEVICE

JOINTS, HEIGHT, WIDTH = 17, 64, 48
ELEMENTS = 2**31 if DEVICE == "cuda" else 2**16
BATCH = ceil(ELEMENTS / (JOINTS * HEIGHT * WIDTH)) + 2
LAST = 2


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_large_maps(backend: str, layout: torch.memory_format) -> None:
    shape = (BATCH, JOINTS, HEIGHT, WIDTH)
    if DEVICE == "cuda" and MACHINE.free_bytes() < 6 * ELEMENTS:
        pytest.skip("this needs 12 GiB of GPU memory: maps and their gradient in bfloat16")
    maps = torch.zeros(shape, dtype=torch.bfloat16).contiguous(memory_format=layout)
    few = torch.randn(LAST, *shape[1:]).bfloat16().contiguous(memory_format=layout)
    maps[-LAST:] = few
    weight = torch.zeros(shape[:2])
    weight[-LAST:] = 1.0
    targets = hk.teacher_targets(maps)
    own = hk.teacher_targets(few)
    for one, two in zip(targets, own, strict=True):
        assert torch.equal(one[-LAST:], two)
    terms, grad = hk.joint_loss_and_grad(maps, targets, None, weight)
    expected, own_grad = hk.joint_loss_and_grad(few, own)
    assert torch.equal(terms.coords[-LAST:], expected.coords)
    torch.testing.assert_close(terms.loss, expected.loss)
    torch.testing.assert_close(grad[-LAST:], own_grad)
    assert not grad[:-LAST].any()
