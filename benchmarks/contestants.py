"""Everything that computes the joint loss and its gradient, or moves as many bytes.

All take live teacher maps and leave the gradient in `maps.student.grad`, which is None before.
"""

from collections.abc import Callable

import torch

from benchmarks.inputs import Maps
from benchmarks.presets import Preset

Run = Callable[[Maps], None]


def fused(preset: Preset) -> Run:
    """The compiled ops under autograd, as a user calls them."""

    def run(maps: Maps) -> None:
        preset.joint(maps.student, maps.teacher, maps.coords, maps.weight).loss.backward()

    return run


def eager(preset: Preset) -> Run:
    """The same loss in plain PyTorch, vectorised by hand."""

    def run(maps: Maps) -> None:
        preset.vectorised(maps.student, maps.teacher, maps.coords, maps.weight).backward()

    return run


def compiled(preset: Preset, mode: str | None = None) -> Run:
    """`torch.compile` of that; its first call compiles."""
    torch.compiler.reset()
    loss_of = torch.compile(preset.vectorised, fullgraph=True, dynamic=False, mode=mode)

    def run(maps: Maps) -> None:
        loss_of(maps.student, maps.teacher, maps.coords, maps.weight).backward()

    return run


def looped(preset: Preset) -> Run:
    """The distillation term alone, without coordinates or weights, in a Python loop over maps.

    Its arithmetic is float32, as autocast would make it; the cast is one call for all maps.
    """

    def run(maps: Maps) -> None:
        preset.loop(maps.student.float(), maps.teacher.float()).backward()

    return run


def copy(maps: Maps) -> None:
    """One map tensor into another: 2 tensors moved, as fast as the machine's threads move them."""
    maps.scratch.copy_(maps.student.detach())
