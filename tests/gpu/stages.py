"""What first light does, stage by stage; each writes what it finds as it goes.

A stage is done (True), failed or ended at its limit (False), or left out (the reason).
"""

import importlib.util
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from gpu import counters, tools
from gpu.session import Session

Result = bool | str

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "gpu.parts", "--maxfail=25")
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
NO_TESTS = 5
"""pytest's exit status where it was given none."""


def pytest(session: Session, name: str, *arguments: str, parts: int = 1, **env: str) -> Result:
    """Tests, shared by some processes side by side."""
    outcomes = session.out / f"{name}.outcomes.txt"
    env["HHD_TEST_OUTCOMES"] = str(outcomes)

    def run(part: int) -> int | None:
        log = f"{name}.{part}.log" if parts > 1 else f"{name}.log"
        return session.python(*PYTEST, *arguments, log=log, HHD_TEST_PART=f"{part}/{parts}", **env)

    outcomes.write_text("")
    with ThreadPoolExecutor(parts) as pool:
        done = set(pool.map(run, range(parts)))
    words = Counter(re.findall(r"^(passed|failed|skipped) \d", outcomes.read_text(), re.M))
    session.say(", ".join(f"{count} {word}" for word, count in words.items()) or "no tests ran")
    return bool(words) and done <= {0, NO_TESTS}


def alive(session: Session) -> Result:
    """The library in this torch, and every op x dtype x layout against the oracle."""
    if session.gpu:
        smi = ("--query-gpu=name,driver_version,clocks.max.sm,clocks.sm", "--format=csv")
        if program := tools.find("nvidia-smi"):
            session.run(program, *smi, log="a-info.log")
    if session.python("-m", "hhd_kernels.info", log="a-info.log"):
        return False
    some = ("-k", "float32 and contiguous") if session.small else ()
    return pytest(session, "a-parity", *some, "tests/kernels/test_parity.py")


def tests(session: Session) -> Result:
    """All of tests/kernels and tests/gpu, by the CUDA kernels."""
    chosen = ["tests/kernels", "tests/gpu"]
    if session.small:
        chosen = ["tests/gpu/test_launches.py"]
    ignored = "--ignore=tests/gpu/test_first_light.py"
    return pytest(session, "b-tests", ignored, *chosen, parts=at_most(8, session))


def sanitize(session: Session) -> Result:
    """compute-sanitizer's four tools side by side, each over every op."""
    command = ["-m", "gpu.every_op", *(["1"] if session.small else [])]
    if not session.gpu:
        session.say("compute-sanitizer is left out: no GPU; every op runs unwatched")
        return session.python(*command, log="c-unwatched.log") == 0
    program = tools.find("compute-sanitizer")
    if program is None:
        return "no compute-sanitizer is here (pip install nvidia-cuda-sanitizer-api)"
    touch = "import torch; torch.ones(1, device='cuda').sum().item()"
    watched = [program, "--tool", "memcheck", "--error-exitcode", "9", sys.executable, "-c", touch]
    if session.run(*watched, log="c-probe.log"):
        return "compute-sanitizer refuses to run on this machine (c-probe.log)"

    def watch(tool: str) -> bool:
        options = ["--tool", tool, "--error-exitcode", "9"]
        # A query that torch expects to fail is not an error.
        options += ["--report-api-errors", "no"] if tool == "memcheck" else []
        status = session.run(
            program,
            *options,
            sys.executable,
            *command,
            log=f"c-{tool}.log",
            # Exactly sized allocations, so that a step past one is seen.
            PYTORCH_NO_CUDA_MEMORY_CACHING="1",
        )
        words = {0: "no error", 9: "errors", None: "no error before its limit ended it"}
        session.say(f"{tool}: {words.get(status, f'exit status {status}')} (c-{tool}.log)")
        return status == 0

    with ThreadPoolExecutor(len(SANITIZERS)) as pool:
        return all(list(pool.map(watch, SANITIZERS)))


def speed(session: Session) -> Result:
    """Host and device time of the ops and their contestants, a row at a time."""
    options = ["--rows", str(session.out / "speed.jsonl")]
    if not session.gpu:
        options += ["--device", "cpu", "--rounds", "2", "--cold-mib", "0", "--joints", "2"]
        options += ["--size", "2", "16", "12"]
    if session.small:
        options += ["--groups", "2"]
    return session.python("-m", "benchmarks.gpu", *options, log="d-speed.log") == 0


def count(session: Session) -> Result:
    """Nsight Compute's counters of the joint loss."""
    if not session.gpu:
        return "no GPU, so there is nothing to count"
    return counters.collect(session)


def triton(session: Session) -> Result:
    """The Triton kernels, which are compiled at their first use: most of the time is that."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    chosen = ["test_parity.py", "test_streams.py", "test_graphs.py"]
    chosen = [f"tests/{'kernels' if 'parity' in name else 'gpu'}/{name}" for name in chosen]
    env = {"HHD_TEST_BACKENDS": "triton"}
    if not session.gpu:
        session.say("Triton compiles for GPUs only: its interpreter runs the kernels")
        env["TRITON_INTERPRET"] = "1"
        chosen = [
            *(("-k", "soft_argmax and float32 and contiguous") if session.small else ()),
            chosen[0],
        ]
    return pytest(session, "f-triton", *chosen, parts=at_most(14, session), **env)


def at_most(parts: int, session: Session) -> int:
    """No more processes than cores."""
    return 1 if session.small else min(parts, len(os.sched_getaffinity(0)))


class Stage(NamedTuple):
    title: str
    run: Callable[[Session], Result]
    needs: tuple[str, ...] = ("numpy", "pytest", "hypothesis")


STAGES = {
    "a": Stage("info and parity", alive),
    "b": Stage("tests/kernels and tests/gpu", tests),
    "c": Stage("compute-sanitizer", sanitize),
    "d": Stage("speed", speed, ("numpy", "pytest")),
    "e": Stage("counters", count, ()),
    "f": Stage("Triton", triton),
}
