"""The runs and the teaching that a stage takes, and what each has to wait for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.place import Place, plain
from benchmarks.accuracy.rows import UNLABELLED, Row, few_labels, ours, rows_of

HEAVY = "BlazePose heavy"
TAUGHT_BY = {
    "heavy": (HEAVY,),
    "ours": ("teacher, all labels",),
    "ours_10": ("teacher, 10 % labels",),
    "itself_10": (few_labels("10", "none", {}).name,),
    "both": (HEAVY, "teacher, all labels"),
    "both_10": (HEAVY, "teacher, 10 % labels"),
}
"""Targets by the rows whose networks give them; HEAVY is no row, see :meth:`Place.heavy`."""


@dataclass(frozen=True)
class Job:
    """A process: it can begin when all of ``needs`` exist, and is done when ``done`` does."""

    name: str
    words: tuple[str, ...]
    needs: tuple[Path, ...]
    done: Path

    def ready(self) -> bool:
        return all(path.exists() for path in self.needs)


def jobs_of(stages: Sequence[str], place: Place, device: str, options: Sequence[str]) -> list[Job]:
    """What is left of the stages, in order; ``options`` are the command's own."""
    jobs: dict[str, Job] = {}
    for stage in stages:
        for row in rows_of(stage):
            for seed in row.seeds:
                training = _training(stage, row, seed, place, options)
                if training.done.exists():
                    continue
                if row.targets is not None:
                    teaching = _teaching(row.targets, seed, place, device)
                    if not teaching.done.exists():
                        jobs.setdefault(teaching.name, teaching)
                jobs.setdefault(training.name, training)
    return list(jobs.values())


def row_named(stage: str, name: str) -> Row:
    """A stage's row."""
    (row,) = [row for row in rows_of(stage) if plain(row.name) == name]
    return row


def _training(stage: str, row: Row, seed: int, place: Place, options: Sequence[str]) -> Job:
    needs = [place.annotations(name) for name in (row.train, row.test, *row.further)]
    if row.targets is not None:
        needs.append(place.taught(row.targets, seed))
    if row.weights is not None:
        needs.append(place.model(row.weights, seed))
    name = plain(row.name)
    words = ("-m", "benchmarks.accuracy", stage, "--row", name, "--seed", str(seed), *options)
    return Job(f"{name}.{seed}", words, tuple(needs), place.result(row, seed))


def _teaching(targets: str, seed: int, place: Place, device: str) -> Job:
    """Networks' answers to all training pictures, with and without labels."""
    rows = TAUGHT_BY[targets]
    if not targets.startswith("itself"):
        seed = ours()[0].seeds[0]
    files = ("train", UNLABELLED)
    networks = tuple(place.heavy() if row == HEAVY else place.model(row, seed) for row in rows)
    folder = place.targets(targets, seed)
    script = "from hhd.cli import main; import sys, pathlib; status = main(sys.argv[2:]); "
    script += "status or pathlib.Path(sys.argv[1]).touch(); sys.exit(status)"
    done = place.taught(targets, seed)
    words = ("-c", script, str(done), "teach", *map(str, networks), "--annotations")
    words += tuple(str(place.annotations(name)) for name in files)
    words += ("--images", *(str(place.data / place.images(name)) for name in files))
    # Our own networks have seen persons turned by any augmentation; BlazePose wants them upright.
    upright = "own" if HEAVY in rows else "no"
    words += ("--skeleton", "lsp14", "--flip", "--upright", upright)
    words += ("--output", str(folder), "--device", device)
    return Job(f"targets.{folder.name}", words, networks, done)


def start(job: Job) -> list[str]:
    """The command line."""
    return [sys.executable, *job.words]
