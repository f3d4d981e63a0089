"""The correctness lock: what is not right is not timed.

Every check compares in the session that times, so a number never outlives the build it is about.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import hhd_kernels as hk
from benchmarks.contestants import Run
from benchmarks.inputs import Maps
from benchmarks.ops import Op
from benchmarks.presets import Preset

INSTANCES = 2
"""How many instances the oracle sees: it is a plain loop over maps."""
# Relative L2 distance of a result, by its dtype: rounding for bfloat16, sums for float32.
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 2.0**-8}
EDGE = 1e-3
"""Pixels from the edge between two boxes, where rounding decides which one holds a coordinate."""


def check_op(op: Op, preset: Preset, maps: Maps) -> None:
    """Fail unless the op runs its kernels and agrees with the oracle and the reference."""
    runs_on = hk.explain("joint_loss", maps.student)
    if runs_on.backend == "reference":
        pytest.fail(f"nothing to time: {runs_on}")
    few = maps.first(INSTANCES)
    agree(f"{op.name} and the oracle", op.build(preset, few)(), op.exact(preset, few), op.box)
    got = op.build(preset, maps)()
    with hk.use_backend("reference"):
        expected = op.build(preset, maps)()
    agree(f"{op.name} and the reference", got, expected, op.box)


def check_loop(preset: Preset, maps: Maps) -> None:
    """Fail unless the looped contestant computes the preset's distillation term."""
    few = maps.first(INSTANCES)
    loop = value_and_gradient(lambda m: preset.loop(m.student.float(), m.teacher.float()), few)
    fused = value_and_gradient(lambda m: preset.hhd(m.student, m.teacher), few)
    agree("the loop and hhd_loss", loop, fused)


def check_run(what: str, run: Run, expected: Run, maps: Maps) -> None:
    """Fail unless two contestants leave the same gradient."""
    agree(what, _gradient(run, maps), _gradient(expected, maps))


def value_and_gradient(loss: Callable[[Maps], Tensor], maps: Maps) -> tuple[Tensor, ...]:
    """The loss of the maps, detached, and its gradient at the student's."""
    value = loss(maps)
    return value.detach(), *torch.autograd.grad(value, maps.student)


def _gradient(run: Run, maps: Maps) -> tuple[Tensor, ...]:
    """What a contestant leaves in the student's maps, taken out of them."""
    run(maps)
    grad = maps.student.grad
    maps.forget_gradient()
    assert grad is not None
    return (grad,)


def agree(
    what: str, results: tuple[Tensor, ...], expected: tuple[Any, ...], box: int | None = None
) -> None:
    """Fail unless every result is as near to what is expected as its dtype allows.

    Result `box` is compared where no coordinate, of the result before, is on an edge.
    """
    assert len(results) == len(expected)
    for number, (result, exact) in enumerate(zip(results, expected, strict=True)):
        got, wanted = _array(result), _array(exact)
        if number == box:
            shifted = _array(expected[number - 1]) + 0.5
            inside = (np.abs(shifted - np.round(shifted)) > EDGE).all(-1)
            got, wanted = got[inside], wanted[inside]
        distance = float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
        # A NaN fails as well.
        if not distance <= LIMITS[result.dtype]:
            pytest.fail(f"{what} disagree: result {number} by {distance:.2e}; nothing is timed")


def _array(values: Any) -> NDArray[np.float64]:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double()
    return np.asarray(values, dtype=np.float64)
