"""`python -m benchmarks.accuracy STAGE... --data D --work W`: what is left of the study's stages.

Each run is a process of its own; a run that was stopped goes on where it was, and one that has its
JSON in the results is done. Teachers are asked once, BlazePose heavy by the card that
`benchmarks/blazepose.py` leaves in WORK/teachers. `split` writes the annotation files, `freeze`
chooses from the screening's results, `ship` makes the package's model of the best student,
`alignment` measures where windows lead a map, and `report` makes docs/results.md of the JSON alone.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.accuracy.alignment import write_alignment
from benchmarks.accuracy.freeze import freeze
from benchmarks.accuracy.jobs import Job, jobs_of, row_named, start
from benchmarks.accuracy.place import Place
from benchmarks.accuracy.report import ROOT, write_report
from benchmarks.accuracy.rows import HERE, STAGES
from benchmarks.accuracy.run import perform
from benchmarks.accuracy.ship import ship
from benchmarks.accuracy.split import make_split
from hhd.memory import keep_freed_memory
from hhd.train.ownership import Stop, Terminated

GRACE = 20
"""Seconds in which runs that are stopped may write their checkpoints."""


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument(
        "stages", nargs="+", choices=("split", *STAGES, "freeze", "ship", "alignment", "report")
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--side", type=int, default=1, help="runs side by side")
    parser.add_argument("--minutes", type=float, default=1e6, help="then runs are stopped")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--row", help="this row alone, in this process")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def work_off(jobs: list[Job], side: int, seconds: float, logs: Path) -> int:
    """Run what can run, `side` processes at a time, until all is done or the time is up."""
    logs.mkdir(parents=True, exist_ok=True)
    end, failed = time.monotonic() + seconds, 0
    running: dict[subprocess.Popen[bytes], Job] = {}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
    while (jobs or running) and time.monotonic() < end:
        for job in [job for job in jobs if job.ready()][: side - len(running)]:
            jobs.remove(job)
            with (logs / f"{job.name}.log").open("ab") as log:
                process = subprocess.Popen(
                    start(job), env=environment, stdout=log, stderr=subprocess.STDOUT
                )
            running[process] = job
        if not running:
            names = ", ".join(job.name for job in jobs)
            print(f"nothing that can run is left; waiting for what they need: {names}", flush=True)
            return len(jobs)
        time.sleep(0.2)
        for process in [process for process in running if process.poll() is not None]:
            job = running.pop(process)
            failed += process.returncode != 0
            words = "done" if process.returncode == 0 else f"FAILED, see {logs / job.name}.log"
            left = end - time.monotonic()
            print(f"{job.name} {words}; {len(jobs) + len(running)} left, {left:.0f} s", flush=True)
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process, job in running.items():
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
        print(f"{job.name} stopped, to be gone on with", flush=True)
    return failed


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    place = Place(*(path.resolve() for path in (options.data, options.work, options.results)))
    if options.row:
        keep_freed_memory()
        with Stop() as stop:
            try:
                row = row_named(options.stages[0], options.row)
                perform(place, row, options.seed, options.device, stop)
            except Terminated:
                return Terminated.status
        return 0
    # The JSON alone is enough for the others.
    if set(options.stages) - {"freeze", "report"}:
        make_split(place.data, place.work / "annotations")
    if "freeze" in options.stages:
        freeze(place)
    if "alignment" in options.stages:
        write_alignment(place, HERE / "alignment.json")
    if "report" in options.stages:
        write_report(place.results, ROOT / "docs" / "results.md")
    if "ship" in options.stages:
        ship(place)
    stages = [stage for stage in options.stages if stage in STAGES]
    own = ["--data", place.data, "--work", place.work, "--results", place.results]
    own += ["--device", options.device]
    jobs = jobs_of(stages, place, options.device, [str(word) for word in own])
    return work_off(jobs, options.side, 60 * options.minutes, place.work / "logs")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
