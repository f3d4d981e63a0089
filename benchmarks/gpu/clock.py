"""Times calls on a GPU as graphs, and on the CPU, in a rehearsal, as they are."""

import random
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], Sequence[Tensor]]
T = TypeVar("T")


class Cost(NamedTuple):
    """What one call takes besides time."""

    launches: int
    peak_bytes: int
    """Memory beyond that held before, outputs included; 0 on the CPU."""


class Issue(NamedTuple):
    """Seconds of one call among several, without a graph."""

    host: float
    """Until the next could be issued."""
    step: float
    """With the device's work."""


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

    def issue(self, calls: list[Call]) -> Issue:
        """Calls one after the other; all their launches must fit in the device's queue."""
        with torch.cuda.stream(self.stream):
            torch.cuda.synchronize()
            start = perf_counter()
            for call in calls:
                call()
            issued = perf_counter() - start
            torch.cuda.synchronize()
            done = perf_counter() - start
        return Issue(issued / len(calls), done / len(calls))

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

    def issue(self, calls: list[Call]) -> Issue:
        seconds = sum(self.once(call) for call in calls) / len(calls)
        return Issue(seconds, seconds)

    def once(self, call: Call) -> float:
        start = perf_counter()
        call()
        return perf_counter() - start

    def cost(self, call: Call) -> Cost:
        with profile(activities=[ProfilerActivity.CPU]) as found:
            call()
        ours = sum(e.name.startswith(("hhd::", "aten::")) for e in found.events())
        return Cost(ours, 0)


def take_turns(turns: dict[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each contestant's turns give, in a new order every round."""
    found: dict[str, list[T]] = {name: [] for name in turns}
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(turns), len(turns)):
            found[name].append(turns[name]())
    return found
