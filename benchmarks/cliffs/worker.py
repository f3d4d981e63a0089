"""`python -m benchmarks.cliffs.worker WORK`: one contestant, which waits for orders.

An order is a line: a file's name, for the results of a call, or nothing, for a turn, which is
answered with a line of JSON: seconds a call, of wall and of CPU time.
"""

import json
import sys
from math import ceil
from time import perf_counter, process_time
from typing import Any

import torch

from benchmarks.cliffs.points import Work
from benchmarks.cliffs.works import Call, call_of

SECONDS = 0.02
"""A turn's timed calls take at least this long."""
COMPARED = 64
"""Instances whose results are compared."""


def serve(call: Call) -> None:
    """Answer orders until there are no more."""
    calls = 0
    for order in map(str.strip, sys.stdin):
        if order:
            torch.save([result[:COMPARED].float().clone() for result in call()], order)
            calls = calls_of_a_turn(call)
            answer({})
        else:
            answer(turn(call, calls))


def answer(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)


def calls_of_a_turn(call: Call) -> int:
    for _ in range(3):
        start = perf_counter()
        call()
        seconds = perf_counter() - start
    return max(1, ceil(SECONDS / seconds))


def turn(call: Call, calls: int) -> dict[str, float]:
    """Untimed calls, which fill the caches that another process had, then timed ones."""
    for _ in range(max(1, calls // 2)):
        call()
    wall, cpu = perf_counter(), process_time()
    for _ in range(calls):
        call()
    return {"cpu": (process_time() - cpu) / calls, "wall": (perf_counter() - wall) / calls}


if __name__ == "__main__":
    serve(call_of(Work(**json.loads(sys.argv[1]))))
