"""What the tests ask of a GPU, and of the CPU that stands for one in a rehearsal."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from kernels.samples import DEVICE, FUSED

BACKENDS = FUSED
Run = Callable[[], Sequence[Tensor]]


class Gpu:
    """The current CUDA device."""

    @property
    def devices(self) -> list[torch.device]:
        return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]

    def current(self) -> int:
        return torch.cuda.current_device()

    def free_bytes(self) -> int:
        return torch.cuda.mem_get_info()[0]

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def side_stream(self) -> AbstractContextManager[Any]:
        """Makes a stream other than the default the current one."""
        return torch.cuda.stream(torch.cuda.Stream())

    def delay(self) -> None:
        """Keeps the current stream busy for some milliseconds."""
        torch.cuda._sleep(20_000_000)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Raises where torch waits for the device."""
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def capture(self, run: Run) -> tuple[Sequence[Tensor], Callable[[], None]]:
        """The results of `run` as a CUDA graph, and what computes them again in place."""
        with self.side_stream():
            run()
        self.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = run()
        return results, graph.replay

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compiled, and replayed as CUDA graphs."""
        return torch.compile(function, fullgraph=True, mode="reduce-overhead")

    def launches(self, run: Run) -> list[str]:
        """The names of the kernels that `run` starts."""
        run()
        self.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            run()
            self.synchronize()
        return [e.name for e in found.events() if e.device_type == torch.autograd.DeviceType.CUDA]


class Rehearsal:
    """The CPU: its stream is the thread, its graphs run the function again."""

    devices = (torch.device("cpu"), torch.device("cpu", 0))

    def current(self) -> int:
        return 0

    def free_bytes(self) -> int:
        return 0

    def synchronize(self) -> None:
        pass

    def side_stream(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def delay(self) -> None:
        pass

    def no_sync(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def capture(self, run: Run) -> tuple[Sequence[Tensor], Callable[[], None]]:
        results = run()

        def replay() -> None:
            for result, again in zip(results, run(), strict=True):
                result.copy_(again)

        return results, replay

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return torch.compile(function, fullgraph=True, backend="aot_eager")

    def launches(self, run: Run) -> list[str]:
        """The names of our ops that `run` calls."""
        with profile(activities=[ProfilerActivity.CPU]) as found:
            run()
        return [e.name for e in found.events() if e.name.startswith("hhd::")]


MACHINE: Gpu | Rehearsal = Gpu() if DEVICE == "cuda" else Rehearsal()
