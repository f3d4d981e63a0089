"""What is timed on the maps of one size, dtype and layout, as rows."""

import argparse
import gc
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

import pytest
from torch import Tensor

import hhd_kernels as hk
from benchmarks import contestants, lock
from benchmarks.gpu.clock import Call, Gpu, Rehearsal, take_turns
from benchmarks.inputs import Maps, cold_sets, make_maps, map_bytes
from benchmarks.ops import JOINT_LIVE, Op
from benchmarks.presets import Preset
from benchmarks.report import Row

BACKENDS = {"cuda": ("cuda", "triton"), "cpu": ("cpu",)}
COPY = "Tensor.copy_"
LOOP = "official loop (HHD only)"
CALLS = 10
"""Calls issued in a row, and fewer of those that launch much: a full queue holds the host up."""
QUEUE = 900
"""Launches that a device's queue takes for certain."""


def _loss_and_grad(weighted: bool) -> Callable[[Preset, Maps], Call]:
    def build(preset: Preset, maps: Maps) -> Call:
        student = maps.student.detach()
        weight = maps.weight if weighted else None

        def call() -> tuple[Tensor, ...]:
            terms, grad = preset.joint.loss_and_grad(student, maps.teacher, maps.coords, weight)
            return *terms, grad

        return call

    return build


# The maps' weights are ones, so both have the same exact results.
LOSS_AND_GRAD = JOINT_LIVE._replace(name="loss_and_grad", build=_loss_and_grad(True))
NO_WEIGHT = JOINT_LIVE._replace(name="loss_and_grad, no weight", build=_loss_and_grad(False))


class Bench:
    """The sets of maps of one size, dtype and layout."""

    def __init__(
        self, options: argparse.Namespace, size: tuple[int, ...], variant: tuple[str, str]
    ) -> None:
        batch, height, width = size
        self.options = options
        self.clock = Gpu() if options.device == "cuda" else Rehearsal()
        self.maps = make_maps(height, width, *variant, batch, options.joints).to(options.device)
        count = cold_sets([self.maps], options.cold_mib)
        self.sets = [self.maps, *(self.maps.first(batch) for _ in range(count - 1))]
        self.copy = self.times({COPY: self.calls(contestants.copy)})[COPY]

    def calls(self, run: Callable[[Maps], None]) -> Callable[[], list[Call]]:
        """One call for each set; what it leaves in the student's gradient is its result."""

        def call(maps: Maps) -> tuple[Tensor, ...]:
            maps.forget_gradient()
            run(maps)
            return () if maps.student.grad is None else (maps.student.grad,)

        return lambda: [lambda maps=maps: call(maps) for maps in self.sets]  # type: ignore[misc]

    def times(self, builders: dict[str, Callable[[], list[Call]]]) -> dict[str, Row]:
        """What a call of each contestant takes: median microseconds, launches, memory."""
        clock, rounds = self.clock, self.options.rounds
        calls = {name: clock.prepare(build) for name, build in builders.items()}
        costs = {name: clock.cost(many[0]) for name, many in calls.items()}
        some = {}
        for name, many in calls.items():
            count = max(1, min(CALLS, QUEUE // max(1, costs[name].launches)))
            some[name] = partial(clock.issue, (many * CALLS)[:count])
        issued = take_turns(some, rounds)
        replays = {name: clock.replay(many) for name, many in calls.items()}
        replayed = take_turns(replays, rounds)
        # The graphs' memory goes with them.
        replays.clear()
        gc.collect()
        return {
            name: {
                "host us": 1e6 * median(each.host for each in issued[name]),
                "step us": 1e6 * median(each.step for each in issued[name]),
                "graph us": 1e6 * median(replayed[name]) / len(calls[name]),
                "launches": costs[name].launches,
                "peak MiB": costs[name].peak_bytes / 2**20,
            }
            for name in calls
        }

    def row(self, op: Op, by: str, times: Row) -> Row:
        """Times with the traffic that follows from them."""
        per_second = op.traffic * map_bytes(self.maps) / times["graph us"] * 1e6
        copied = 2 * map_bytes(self.maps) / self.copy["graph us"] * 1e6
        share = {"GB/s": per_second / 1e9, "copy share": per_second / copied}
        return {"op": op.name, "by": by, **times, **share}


def check(op: Op, preset: Preset, maps: Maps, backend: str) -> str | None:
    """Why the op must not be timed; None where it is right."""
    try:
        with hk.use_backend(backend):
            lock.check_op(op, preset, maps)
    except (pytest.fail.Exception, AssertionError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return None


def copy_row(bench: Bench, preset: Preset) -> Iterator[Row]:
    copied = 2 * map_bytes(bench.maps) / bench.copy["graph us"] / 1e3
    yield {"op": "copy", "by": COPY, **bench.copy, "GB/s": copied, "copy share": 1.0}


def op_rows(bench: Bench, op: Op, preset: Preset, backend: str) -> Iterator[Row]:
    """The op by one backend."""
    if refusal := check(op, preset, bench.maps, backend):
        yield {"op": op.name, "by": f"{backend}: not timed: {refusal}"}
        return
    with hk.use_backend(backend):
        build = lambda: [op.build(preset, maps) for maps in bench.sets]  # noqa: E731
        yield bench.row(op, backend, bench.times({backend: build})[backend])


def joint_rows(bench: Bench, preset: Preset, compiled: bool = False) -> Iterator[Row]:
    """The joint loss from live maps under autograd, by the first backend and by plain PyTorch."""
    backend = BACKENDS[bench.options.device][0]

    def fused(maps: Maps) -> None:
        with hk.use_backend(backend):
            contestants.fused(preset)(maps)

    if refusal := check(JOINT_LIVE, preset, bench.maps, backend):
        yield {"op": JOINT_LIVE.name, "by": f"{backend}: not timed: {refusal}"}
        return
    runs = {backend: fused, "eager": contestants.eager(preset)}
    if compiled:
        runs["torch.compile"] = contestants.compiled(preset)
    times = bench.times({name: bench.calls(run) for name, run in runs.items()})
    for name in runs:
        yield bench.row(JOINT_LIVE, name, times[name]) | {
            "x fused": times[name]["graph us"] / times[backend]["graph us"]
        }


def compiled_rows(bench: Bench, preset: Preset) -> Iterator[Row]:
    """The same beside `torch.compile`, which takes a minute to compile."""
    return joint_rows(bench, preset, compiled=True)


def loop_rows(bench: Bench, preset: Preset) -> Iterator[Row]:
    """The official double loop, which waits for the device: no graph holds it."""
    call = bench.calls(contestants.looped(preset))()[0]
    call()
    seconds = bench.clock.once(call)
    yield {"op": JOINT_LIVE.name, "by": LOOP, "step us": 1e6 * seconds}
