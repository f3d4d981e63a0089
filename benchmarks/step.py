"""Images per second of whole training steps: the official way, our loss, and stored targets.

    python -m benchmarks.step --data ../shared/data

a: the official double loop as the loss, a live teacher, pictures decoded in every epoch.
b: our loss, the rest the same. c: our loss, stored targets, cached crops, and the precision that a
measurement picks. The networks have random weights; their time does not depend on them. The ways
take turns, a step each, and wait for their own data loader; a step's time is the median.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

import hhd_kernels as hk
from benchmarks import environment
from benchmarks.official_loop import official_loop
from hhd.data.loading import make_loader
from hhd.data.skeleton import load_skeleton
from hhd.models import build_model
from hhd.models.files import ModelCard, save_model
from hhd.teach.networks import open_teacher
from hhd.teach.viewer import Looking
from hhd.teaching.persons import teach_persons
from hhd.train.clock import LAPS, Clock
from hhd.train.data import train_persons
from hhd.train.loop import train_step
from hhd.train.losses import CoordinateLoss, Terms, Totals
from hhd.train.ownership import Stop
from hhd.train.processes import Processes
from hhd.train.recipe import Recipe, load_recipe
from hhd.train.run import Run
from hhd.train.setup import set_precision, set_up

QUIET = Console(quiet=True)
CPU = Processes(torch.device("cpu"))
STUDENTS = {"litehrnet18": "Lite-HRNet-18", "mobilenetv2": "MobileNetV2"}
TEACHERS = {"hrnet_w32": "HRNet-W32", "hrnet_w48": "HRNet-W48"}
INPUT = (192, 256)


class OfficialLoss(CoordinateLoss):
    """The coordinate loss and the official double loop over the maps."""

    weighted = ()

    def prepare(self, batch: dict[str, Tensor], taught: Any) -> dict[str, Tensor]:
        return {**super().prepare(batch, taught), "teacher_maps": taught}

    def __call__(
        self, logits: Tensor, batch: dict[str, Tensor], totals: Totals | None = None
    ) -> tuple[Tensor, Terms]:
        loss, terms = super().__call__(logits, batch, totals)
        term = official_loop(logits, batch["teacher_maps"])
        return loss + term, {**terms, "hhd": term.detach()}


class Way:
    """One way of training, a step at a time."""

    def __init__(self, recipe: Recipe, official: bool = False) -> None:
        self.run: Run = set_up(recipe, QUIET, CPU)
        if official:
            self.run.criterion = OfficialLoss(recipe, (INPUT[0] // 4, INPUT[1] // 4))
        loader = iter(make_loader(self.run.data, self.run.batches(), recipe.workers))
        self.workers = loader._workers
        self.batches = loader
        self.clock = Clock(CPU.device)
        self.run.model.train()
        first = next(self.batches)
        set_precision(self.run, first["image"])
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []
        self.laps: list[dict[str, float]] = []

    def step(self) -> None:
        """Make a step, and keep its time."""
        before = self.used()
        self.clock.begin(exact=False)
        batch = next(self.batches)
        self.clock.lap("data")
        train_step(self.run, batch, self.clock)
        self.run.step += 1
        self.seconds.append(self.clock.total)
        self.laps.append(dict(self.clock.seconds))
        self.cpu_seconds.append(self.used() - before)

    def used(self) -> float:
        """CPU seconds of this process and of the loader's."""
        pids = [os.getpid(), *(worker.pid for worker in self.workers)]
        return sum(_cpu_seconds(pid) for pid in pids)


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process, from Linux's /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def recipes(data: Path, student: str, teacher: Path, targets: Path, cache: Path, batch: int,
            threads: int) -> dict[str, Recipe]:  # fmt: skip
    """The three ways' recipes."""
    plain = load_recipe(
        f"coco_{student}_hhd",
        data_root=str(data / "coco_mini"),
        train_annotations="person_keypoints.json",
        val_annotations="person_keypoints.json",
        train_images="images",
        val_images="images",
        val_detections=None,
        coco_ap=False,
        teacher=str(teacher),
        teacher_model=None,
        batch_size=batch,
        epochs=1000,
        schedule="one_cycle",
        workers=1,
        threads=threads,
        output=str(cache / "run"),
    )
    stored = {
        **plain.as_dict(),
        "teacher": None,
        "targets": str(targets),
        "teacher_floor": 0.0,
        "cache": str(cache),
        "precision": "auto",
    }
    fields = {key: tuple(v) if isinstance(v, list) else v for key, v in stored.items()}
    return {"a": plain, "b": plain, "c": Recipe(**fields)}


def write_teacher(folder: Path, name: str) -> Path:
    """A heatmap network of random weights."""
    skeleton = load_skeleton("coco17")
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    model = build_model(name, len(skeleton))
    hk.start_from_zero_maps(model.last_convolution())
    save_model(path, model, ModelCard(name, "heatmap", INPUT, 1.25, 10.0, 2.0, skeleton))
    return path


def measure(ways: dict[str, Way], rounds: int) -> None:
    """Let the ways take turns; the first steps are not counted."""
    for way in ways.values():
        way.step()
    for way in ways.values():
        way.seconds.clear()
        way.cpu_seconds.clear()
        way.laps.clear()
    for number in range(rounds):
        names = list(ways)
        for name in names if number % 2 else reversed(names):
            ways[name].step()


def rows(ways: dict[str, Way], batch: int) -> Iterator[dict[str, Any]]:
    """What is known of each way."""
    for name, way in ways.items():
        laps = {lap: median(laps[lap] for laps in way.laps) for lap in LAPS}
        yield {
            "way": name,
            "precision": way.run.precision,
            "images_per_second": batch / median(way.seconds),
            "cpu_ms_per_image": 1e3 * median(way.cpu_seconds) / batch,
            "loss_share": median(laps["loss"] / sum(laps.values()) for laps in way.laps),
            **{f"{lap}_ms": 1e3 * value for lap, value in laps.items()},
        }


def main() -> int:
    """Print a table; 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with coco_mini/")
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=STUDENTS)
    parser.add_argument("--teachers", nargs="+", default=list(TEACHERS), choices=TEACHERS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = []
    print(
        f"batch {options.batch_size}, {INPUT[1]}x{INPUT[0]}, {options.threads} threads, one worker"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for teacher in options.teachers:
            network = write_teacher(folder, teacher)
            targets = folder / f"{teacher}-targets"
            for student in options.students:
                made = recipes(
                    options.data, student, network, targets, folder, options.batch_size,
                    options.threads,
                )  # fmt: skip
                if not targets.is_dir():
                    teach(network, made["b"], targets)
                ways = {name: Way(recipe, official=name == "a") for name, recipe in made.items()}
                measure(ways, options.rounds)
                table = list(rows(ways, options.batch_size))
                for row in table:
                    row |= {"student": student, "teacher": teacher}
                    row["speedup"] = row["images_per_second"] / table[0]["images_per_second"]
                    row["cpu_speedup"] = table[0]["cpu_ms_per_image"] / row["cpu_ms_per_image"]
                    print(
                        f"{STUDENTS[student]:14} {TEACHERS[teacher]} {row['way']} "
                        f"{row['precision']:9} {row['images_per_second']:6.2f} images/s, "
                        f"{row['speedup']:.2f}x; {row['cpu_ms_per_image']:6.0f} CPU ms an image, "
                        f"{row['cpu_speedup']:.2f}x; loss {row['loss_share']:.1%} of the step"
                    )
                found += table
    if options.json:
        result = {"rows": found, "environment": environment.collect()}
        options.json.write_text(json.dumps(result, indent=1))
    return 0


def teach(network: Path, recipe: Recipe, targets: Path) -> None:
    """Store the network's targets of the recipe's persons."""
    skeleton = load_skeleton(recipe.skeleton)
    began = perf_counter()
    (persons,) = train_persons(recipe, skeleton, QUIET)
    teach_persons(
        [open_teacher(network, skeleton, CPU.device)], persons, skeleton, Looking(flip=False),
        targets, CPU, patch=19, floor=0.0, batch_size=16, console=QUIET, stop=Stop(),
    )  # fmt: skip
    rate = len(persons) / (perf_counter() - began)
    print(f"hhd teach with {network.stem}: {rate:.2f} persons/s, once")


if __name__ == "__main__":
    sys.exit(main())
