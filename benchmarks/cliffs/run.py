"""Times the contestants of a point, each in a process of its own."""

import json
import os
import random
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.cliffs.points import Point, Work

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1e-4
"""Relative L2 distance of a contestant's results from the first one's."""


class Worker:
    """One contestant's process, see `worker.py`."""

    def __init__(self, work: Work, threads: int) -> None:
        self.work = work
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads),
            # torch.compile would keep a pool of processes.
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
        }
        environment |= {"HHD_CPU_CAPABILITY": work.capability} if work.capability else {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.cliffs.worker", json.dumps(asdict(work))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def results(self, folder: Path) -> list[torch.Tensor]:
        """Those of its first call."""
        path = folder / "results.pt"
        self._order(str(path))
        return torch.load(path)

    def turn(self) -> dict[str, float]:
        """Seconds of a call: "cpu" and "wall"."""
        return self._order("")

    def _order(self, text: str) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(text, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"no answer from {self.work}")
        return json.loads(line)


def measure(point: Point, rounds: int, threads: int) -> dict[str, Any]:
    """Section, name, and each contestant's work and quartiles of seconds."""
    workers, results = {}, {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        for name, work in point.works.items():
            workers[name] = stack.enter_context(Worker(work, threads))
            results[name] = workers[name].results(folder)
        if point.alike:
            agree(point, results)
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
        order = random.Random(0)
        for _ in range(rounds):
            for name in order.sample(list(workers), len(workers)):
                turns[name].append(workers[name].turn())
    return {
        "section": point.section,
        "name": point.name,
        "contestants": {
            name: {
                "work": asdict(point.works[name]),
                **{clock: quartiles([turn[clock] for turn in found]) for clock in ("cpu", "wall")},
            }
            for name, found in turns.items()
        },
    }


def agree(point: Point, results: dict[str, list[torch.Tensor]]) -> None:
    """Raise unless all have the results of the first; some packages' soft-argmax has fewer."""
    (first, expected), *others = results.items()
    for name, found in others:
        if name in ("dsntnn", "kornia"):
            wanted = [expected[0], *expected[2:]]
        else:
            wanted = [] if name == "copy" else expected
        if len(found) != len(wanted):
            raise RuntimeError(f"{point.name}: {name} has {len(found)} results, not {len(wanted)}")
        for number, (got, exact) in enumerate(zip(found, wanted, strict=True)):
            distance = float((got - exact).norm() / exact.norm())
            # A NaN fails as well.
            if not distance <= LIMIT:
                raise RuntimeError(
                    f"{point.name}: {name} and {first} differ: result {number} by {distance:.2e}"
                )


def quartiles(seconds: list[float]) -> list[float]:
    return quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3


def middle(entry: dict[str, Any], clock: str) -> float:
    """The median, in seconds."""
    return float(entry[clock][1])
