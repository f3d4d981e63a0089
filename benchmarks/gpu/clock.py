"""Times calls on a GPU as graphs, and on the CPU, in a rehearsal, as they are."""

import random
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], Sequence[Tensor]]


class Cost(NamedTuple):
    """What one call takes besides time."""

    launches: int
    peak_bytes: int
    """Memory beyond that held before, outputs included; 0 on the CPU."""


class Gpu:
    """One stream, since a graph's backward pass runs where its forward pass was built."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def prepare(self, build: Callable[[], list[Call]]) -> list[Call]:
        """Builds calls, and runs each once: kernels load, compilers compile."""
        with torch.cuda.stream(self.stream):
            calls = build()
            for call in calls:
                call()
        torch.cuda.synchronize()
        return calls

    def replay(self, calls: list[Call]) -> Callable[[], float]:
        """A function that runs all calls as one graph and returns its seconds."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            # Kept, so that no call writes where the one before has just written.
            kept = [call() for call in calls]
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

        def run() -> float:
            with torch.cuda.stream(self.stream):
                start.record()
                graph.replay()
                end.record()
            end.synchronize()
            assert kept
            return start.elapsed_time(end) / 1e3

        return run

    def once(self, call: Call) -> float:
        """Seconds of a call that waits for the host in between, which no graph holds."""
        torch.cuda.synchronize()
        start = perf_counter()
        call()
        torch.cuda.synchronize()
        return perf_counter() - start

    def cost(self, call: Call) -> Cost:
        with torch.cuda.stream(self.stream):
            call()
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            call()
            peak = torch.cuda.max_memory_allocated() - before
            torch.cuda.synchronize()
            with profile(activities=[ProfilerActivity.CUDA]) as found:
                call()
                torch.cuda.synchronize()
        on_device = torch.autograd.DeviceType.CUDA
        return Cost(sum(e.device_type == on_device for e in found.events()), peak)


class Rehearsal:
    """The CPU: no graph, no stream; ATen's and our ops count as launches."""

    def prepare(self, build: Callable[[], list[Call]]) -> list[Call]:
        calls = build()
        for call in calls:
            call()
        return calls

    def replay(self, calls: list[Call]) -> Callable[[], float]:
        return lambda: sum(self.once(call) for call in calls)

    def once(self, call: Call) -> float:
        start = perf_counter()
        call()
        return perf_counter() - start

    def cost(self, call: Call) -> Cost:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            call()
        ours = sum(e.name.startswith(("hhd::", "aten::")) for e in found.events())
        return Cost(ours, 0)


def medians(replays: dict[str, Callable[[], float]], calls: int, rounds: int) -> dict[str, float]:
    """Seconds of one call of each contestant, in turns; every replay makes so many calls."""
    seconds: dict[str, list[float]] = {name: [] for name in replays}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(replays), len(replays)):
            seconds[name].append(replays[name]() / calls)
    return {name: median(found) for name, found in seconds.items()}
