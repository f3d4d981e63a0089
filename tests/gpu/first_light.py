"""`make gpu`: the first half hour on a GPU, in stages of at most seven minutes.

    python3 tests/gpu/first_light.py --out FOLDER --stages a b c d e f

It needs this Python only, with torch >= 2.10, triton, numpy, pytest and hypothesis: no network,
no virtual environment, no installed package. A library built beforehand (HHD_CUDA_ARCHS=90 make
cuda) is taken where it loads and serves the GPU; else CMake builds one. Every line is in FOLDER as
soon as it is known. Without a GPU it is a rehearsal on the CPU, which says what it leaves out.
"""

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu import library, running
from gpu.session import Session
from gpu.stages import STAGES, Stage

LIMIT = 420.0
"""Seconds of a stage, and of the build."""


def parse(arguments: list[str]) -> argparse.Namespace:
    stages = ", ".join(f"{name} {stage.title}" for name, stage in STAGES.items())
    parser = argparse.ArgumentParser(prog="first_light.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder of the results")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[*STAGES], help=stages)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of a stage")
    parser.add_argument("--small", action="store_true", help="little of each: does it still run?")
    return parser.parse_args(arguments)


def perform(session: Session, name: str, stage: Stage) -> bool:
    """One stage, and a line on how it went; what is left out does not count against it."""
    start = time.monotonic()
    packages = session.facts["packages"]
    session.say(f"== {name}: {stage.title}")
    missing = [package for package in stage.needs if packages[package] is None]
    result: bool | str = f"not installed: {', '.join(missing)}"
    if not missing:
        with session.within(session.limit):
            result = stage.run(session)
            ended = session.left() <= 0
    seconds = f"{time.monotonic() - start:.0f} s"
    if isinstance(result, str):
        session.say(f"{name} left out after {seconds}: {result}")
    elif result:
        session.say(f"{name} passed in {seconds}")
    else:
        session.say(f"{name} {'ended at its limit' if ended else 'FAILED'} after {seconds}")
    return result is not False


def stop(number: int, frame: FrameType | None) -> None:
    running.stop_all()
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    session = Session(options.out, options.small, options.limit)
    with session.within(session.limit):
        if not library.ready(session):
            return 1
    session.say(f"{session.facts['gpu'] or session.facts['no_gpu'] + ': a rehearsal on the CPU'}")
    versions = {"python": session.facts["python"], **session.facts["packages"]}
    session.say(", ".join(f"{name} {found or 'none'}" for name, found in versions.items()))
    done = [perform(session, name, STAGES[name]) for name in options.stages]
    return 0 if all(done) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
