"""Calls of the launchers on `memory.Array`s: in every thread order, with equal bits.

A call runs forward, in reverse and in a random order, into outputs full of different bytes, and
writes nothing between the elements and nothing into the inputs.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from executor.library import LIMIT, ORDERS, Library, LossReduction, Memory
from sanitize import calls
from sanitize.calls import LossArgs, LossInputs, Result, loss_arrays
from sanitize.memory import Array, Strides, accumulate

SMALL = 4 << 10
"""A shared memory of so few bytes that maps of more than a few pixels do not fit."""
REDUCTIONS = ["mean", "official"]
POISONS = (0x5A, 0xA5, 0xFF)


class Losses(NamedTuple):
    """What the loss's launcher writes; None for what was not asked for."""

    loss: float
    coordinate_loss: float
    hhd_loss: float
    grad: Result | None
    coords: Result | None
    confidence: Result | None


class Kernels(calls.Kernels):
    """The launchers of the sanitised library, some calls with much and some with little memory."""

    def __init__(self, path: Path, *, watch: bool = False) -> None:
        self.library = Library(path, watch=watch)
        self.capability = "executor"
        self.calls = 0
        self._limits = itertools.cycle([LIMIT, LIMIT, SMALL])

    def units(self, maps: Array) -> int:
        """The launchers take all maps at once."""
        return 0

    def _run(
        self,
        op: str,
        units: int,
        inputs: list[Array],
        outputs: list[Array],
        args: list[Any],
        scratch: Sequence[Array] = (),
    ) -> list[Result]:
        self.calls += 1
        self.library.limit = next(self._limits)
        before = [array.memory.copy() for array in inputs]
        memories = [Memory.of(f"input {i}", array, False) for i, array in enumerate(inputs)]
        memories += [
            Memory.of(f"output {i}", array, True) for i, array in enumerate([*outputs, *scratch])
        ]
        passed, runs = [calls.c_value(arg) for arg in args], []
        for byte, order in zip(POISONS, ORDERS, strict=True):
            for array in [*outputs, *scratch]:
                array.poison(byte)
            self.library.order(*order)
            self.library.call(op, memories, *passed)
            runs.append([array.stored.tobytes() for array in outputs])
            for array in outputs:
                assert (array.gaps() == byte).all(), f"{op} wrote between the elements"
        assert runs[0] == runs[1] == runs[2], f"{op} left output unwritten or depends on the order"
        for array, memory in zip(inputs, before, strict=True):
            assert (array.memory == memory).all(), f"{op} wrote into an input"
        return [array.values() for array in outputs]

    def joint_loss(  # type: ignore[override]
        self,
        inputs: LossInputs,
        args: LossArgs,
        *,
        with_grad: bool = True,
        with_coords: bool = True,
        strides: Strides | None = None,
        reduction: str = "official",
        grad_scale: Array | None = None,
        teacher: tuple[Array, str, float] | None = None,
    ) -> Losses:
        """`teacher`: maps, their normalisation and floor, by which the inputs' targets are made."""
        views, given, outputs = loss_arrays(inputs, with_grad, with_coords, strides)
        op, before = "joint_loss", []
        if teacher is not None:
            maps, kind, floor = teacher
            op = "joint_loss_from_maps"
            before = [maps, args.window, calls.KINDS.index(kind), args.eps, floor]
            targets = {"centers": inputs.centers, "windows": inputs.windows}
            given = [maps, *(a for a in given if all(a is not t for t in targets.values()))]
            outputs |= targets
        del outputs["coordinate_terms"], outputs["hhd_terms"]
        joints = inputs.centers.stored.shape[0] * inputs.centers.stored.shape[1]
        # In units of 8 bytes; 16-byte aligned as numpy's memory is.
        scratch = Array((-(-self.library.loss_scratch(joints) // 8),), "float64")
        number = accumulate(inputs.logits.dtype)
        wanted = ["loss", "coordinate_loss", "hhd_loss"] if with_coords else ["loss"]
        outputs |= {name: Array((1,), number) for name in wanted}
        how = LossReduction(
            kind=REDUCTIONS.index(reduction),
            scratch=scratch.view.data,
            **{name: outputs[name].view for name in wanted},
        )
        if grad_scale is not None:
            how.grad_scale = grad_scale.view
            given.append(grad_scale)
        results = self._run(
            op, 0, given, list(outputs.values()), [*before, views, args, how], [scratch]
        )
        found: dict[str, Any] = dict(zip(outputs, results, strict=True))
        numbers = [
            float(found[name][0]) if name in found else np.nan for name in Losses._fields[:3]
        ]
        return Losses(*numbers, *(found.get(name) for name in Losses._fields[3:]))

    def scale(
        self, x: Array, factor: float, strides: Strides | None = None, out: Array | None = None
    ) -> Result:
        out, by = out or calls.like(x, strides), Array.of([factor], accumulate(x.dtype))
        return self._run("loss_backward", 0, [x, by], [out], [x, by, out])[0]

    def scale_in_place(self, x: Array, factor: float) -> Result:
        """`x` times `factor`, in `x`'s memory."""
        self.calls += 1
        before, by, runs = x.memory.copy(), Array.of([factor], accumulate(x.dtype)), []
        memories = [Memory.of("grad", x, True), Memory.of("factor", by, False)]
        for order in ORDERS:
            x.memory[:] = before
            self.library.order(*order)
            self.library.call("loss_backward", memories, *map(calls.c_value, (x, by, x)))
            runs.append(x.memory.tobytes())
        assert runs[0] == runs[1] == runs[2], "loss_backward depends on the order"
        return x.values()
