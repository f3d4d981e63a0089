"""Any layout of the maps gives the same answer, gradients keep it, and nothing is copied."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import hhd_kernels as hk
from kernels.calls import differentiable, every, value_and_gradient
from kernels.samples import DEVICE, FUSED, LAYOUTS, loss_setup

SETUP = loss_setup(2)
NAMES = sorted(every(SETUP))


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("name", NAMES)
def test_same_bits_from_any_layout(backend: str, name: str, layout: str) -> None:
    call = every(SETUP)[name]
    logits = SETUP.logits[:1].expand_as(SETUP.logits) if layout == "expanded" else SETUP.logits
    expected = value_and_gradient(call, logits.contiguous())
    got = value_and_gradient(call, LAYOUTS[layout](logits))
    for one, other in zip(got, expected, strict=True):
        # A GPU adds a map up in another order where another order reads it faster.
        if backend == "cpu":
            assert torch.equal(one, other)
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("name", sorted(differentiable(SETUP)))
@pytest.mark.parametrize("fused", FUSED)
def test_gradient_has_the_logits_strides(fused: str, name: str, layout: str) -> None:
    logits = LAYOUTS[layout](SETUP.logits)
    with hk.use_backend(fused):
        _, grad = value_and_gradient(differentiable(SETUP)[name], logits)
    assert grad.stride() == torch.empty_like(logits).stride()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fused", FUSED)
def test_agrees_with_the_reference(fused: str, name: str) -> None:
    answers = []
    for backend in ("reference", fused):
        with hk.use_backend(backend):
            answers.append(value_and_gradient(every(SETUP)[name], SETUP.logits))
    for one, two in zip(*answers, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
on_linux = pytest.mark.skipif(
    DEVICE == "cpu" and not CLEAR.exists(), reason="peak memory is read from Linux's /proc"
)
SLACK = 8 * 2**20
# One map tensor of 48 MiB: above 32 MiB what is freed goes back to the system, so that no peak
# hides in memory freed before.
LARGE = (96, 16, 96, 86)


def peak_growth(run: Callable[[], object]) -> int:
    """Bytes that the process, or the GPU, holds at its peak in `run()` beyond those before it."""
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    # What others freed and the heap still holds would take a copy without growing.
    ctypes.CDLL(None).malloc_trim(0)
    try:
        CLEAR.write_text("5")
    except OSError as error:
        pytest.skip(f"peak memory cannot be reset here: {error}")
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return int(found.group(1)) * 1024


@on_linux
@pytest.mark.parametrize("heap", ["tight", "holes"])
def test_peak_growth_sees_a_copy(heap: str) -> None:
    logits = large_logits("contiguous", torch.float32).add_(1.0)
    size = logits.numel() * logits.element_size()
    blocks = [torch.ones(8000) for _ in range(4 * size // 32000)] if heap == "holes" else []
    del blocks[:-1]
    assert size - SLACK <= peak_growth(lambda: logits.clone().sum()) <= size + SLACK
    assert peak_growth(lambda: logits.sum()) <= SLACK


def large_logits(layout: str, dtype: torch.dtype) -> torch.Tensor:
    b, k, h, w = LARGE
    if layout == "sliced":
        return torch.zeros(b, k, h, 2 * w, dtype=dtype)[..., ::2]
    logits = torch.zeros(LARGE, dtype=dtype)
    if layout == "channels_last":
        return logits.contiguous(memory_format=torch.channels_last)
    return logits[:1].expand(LARGE) if layout == "expanded" else logits


@on_linux
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "expanded"])
@pytest.mark.parametrize("fused", FUSED)
def test_no_hidden_copy(fused: str, layout: str, dtype: torch.dtype) -> None:
    """Peak memory is the declared outputs: none of a map's size forward, one gradient with it."""
    logits = large_logits(layout, dtype)
    logits.add_(0.0) if layout != "expanded" else None
    b, k, h, w = LARGE
    targets = hk.TeacherTargets(torch.ones(b, k, 2), torch.ones(b, k, 7, 7) / 49, torch.ones(b, k))
    target_coords = torch.ones(b, k, 2)
    # An expanded map's gradient is a full map although the map itself is one instance.
    one_map = b * k * h * w * logits.element_size()
    calls = {
        "soft_argmax": (lambda: hk.soft_argmax(logits, 10.0), 0),
        "soft_argmax local": (lambda: hk.soft_argmax(logits, 10.0, 9), 0),
        "locate_teacher": (lambda: hk.locate_teacher(logits), 0),
        "teacher_targets": (lambda: hk.teacher_targets(logits), 0),
        "debiased": (lambda: hk.locate_student(logits, targets.centers, "debiased"), 0),
        "crop": (lambda: hk.crop(logits, targets.centers), 0),
        "hhd_loss": (lambda: hk.hhd_loss(logits, targets), 0),
        "joint_loss": (lambda: hk.joint_loss(logits, targets, target_coords), 0),
        "normalize": (lambda: hk.normalize(logits, "softmax"), one_map),
        "one pass": (lambda: hk.joint_loss_and_grad(logits, targets, target_coords), one_map),
    }
    with hk.use_backend(fused), torch.no_grad():
        for name, (run, declared) in calls.items():
            growth = peak_growth(run)
            assert growth <= declared + SLACK, f"{name}: {growth / 2**20:.0f} MiB"


@on_linux
@pytest.mark.parametrize("fused", FUSED)
def test_training_step_holds_two_gradients_at_most(fused: str) -> None:
    """The gradient saved in forward, and, where the upstream factor is not 1, its product."""
    logits = large_logits("contiguous", torch.float32).requires_grad_()
    b, k = LARGE[:2]
    targets = hk.TeacherTargets(torch.ones(b, k, 2), torch.ones(b, k, 7, 7) / 49, torch.ones(b, k))
    one_map = logits.numel() * logits.element_size()
    with hk.use_backend(fused):
        growth = peak_growth(
            lambda: torch.autograd.grad(hk.hhd_loss(logits, targets) * 2.0, logits)
        )
    assert growth <= 2 * one_map + SLACK
