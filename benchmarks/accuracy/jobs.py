"""The runs and the teaching that a stage takes, and what each has to wait for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.place import Place, plain
from benchmarks.accuracy.rows import UNLABELLED, Row, few_labels, ours, rows_of

TAUGHT_BY = {
    "ours": "teacher, all labels",
    "ours_10": "teacher, 10 % labels",
    "itself_10": few_labels("10", "none", {}).name,
}
"""Targets by the row whose network gives them; all others are made beforehand."""


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
                if row.targets in TAUGHT_BY:
                    job = _teaching(row.targets, seed, place, device)
                    jobs.setdefault(job.name, job)
                job = _training(stage, row, seed, place, options)
                jobs.setdefault(job.name, job)
    return [job for job in jobs.values() if not job.done.exists()]


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
    """A network's answers to all training pictures, with and without labels."""
    row = TAUGHT_BY[targets]
    if not targets.startswith("itself"):
        seed = ours()[0].seeds[0]
    files = ("train", UNLABELLED)
    model, folder = place.model(row, seed), place.targets(targets, seed)
    script = "from hhd.cli import main; import sys, pathlib; status = main(sys.argv[2:]); "
    script += "status or pathlib.Path(sys.argv[1]).touch(); sys.exit(status)"
    done = place.taught(targets, seed)
    words = ("-c", script, str(done), "teach", str(model), "--annotations")
    words += tuple(str(place.annotations(name)) for name in files)
    words += ("--images", *(str(place.data / place.images(name)) for name in files))
    words += ("--skeleton", "lsp14", "--flip", "--output", str(folder), "--device", device)
    return Job(f"targets.{folder.name}", words, (model,), done)


def start(job: Job) -> list[str]:
    """The command line."""
    return [sys.executable, *job.words]
