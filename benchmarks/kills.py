"""Kills what runs for long at random moments, until it has ended, and compares what it leaves.

    python -m benchmarks.kills --kills 20

Jobs: hhd teach, hhd teach views, hhd data cache, hhd train, and hhd train in two processes. Each is
run once undisturbed; then again and again from the start, killed (SIGKILL, to all its processes) at
a random moment and started once more by the same command, until as many kills are made as asked for
and the job has ended each time. Every file of targets and of the cache, the metrics and all weights
must be the same bytes.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from hhd.data.skeleton import load_skeleton
from hhd.data.synthetic import write_dataset
from hhd.models import build_model
from hhd.models.files import ModelCard, save_model

TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
# Small shards, so that there are several.
HHD = """import sys
from hhd.cli import main
from hhd.teach import store
store.SHARD = 8
sys.exit(main())
"""
Content = dict[str, bytes]


@dataclass(frozen=True)
class Job:
    """A command whose results lie in a folder of its own."""

    name: str
    words: Callable[[Path], list[str]]
    read: Callable[[Path], Content]
    processes: int = 1


def files(pattern: str) -> Callable[[Path], Content]:
    """The bytes of the files that match."""
    return lambda folder: {p.name: p.read_bytes() for p in sorted(folder.glob(pattern))}


def run_content(folder: Path) -> Content:
    """The weights, bit by bit, and the accuracy of a run."""
    tensors = load_file(folder / "model.safetensors")
    found = {name: value.numpy().tobytes() for name, value in tensors.items()}
    return {**found, "metrics": (folder / "metrics.json").read_bytes()}


def jobs(data: Path, teacher: Path) -> list[Job]:
    """What is killed."""
    paths = [
        f"--data-root={data}", "--train-annotations=annotations.json", "--train-images=images",
        "--val-annotations=annotations.json", "--val-images=images", "--workers=1",
        "--batch-size=4", "--threads=1",
    ]  # fmt: skip
    student = ["demo_student", *paths, "--loss=kl", f"--teacher={teacher}"]
    train = ["--epochs=4", "--checkpoint-every=2", "--ema=0.9", "--evaluate-every=4"]

    def teach(folder: Path) -> list[str]:
        return ["teach", str(teacher), f"--annotations={data}/annotations.json", "--skeleton=lsp14",
                f"--output={folder}", "--batch-size=2"]  # fmt: skip

    def views(folder: Path) -> list[str]:
        return ["teach", "views", *student, "--views=4", f"--folder={folder}"]

    def cache(folder: Path) -> list[str]:
        return ["data", "cache", "demo_student", *paths, f"--cache={folder}", "--cache-room=6"]

    def run(folder: Path) -> list[str]:
        return ["train", *student, *train, f"--output={folder}"]

    return [
        Job("teach", teach, files("*.safetensors")),
        Job("teach views", views, files("*.safetensors")),
        Job("cache", cache, files("crops-*.npy")),
        Job("train", run, run_content),
        Job("train, two processes", run, run_content, processes=2),
    ]


def start(job: Job, folder: Path, script: Path) -> subprocess.Popen[bytes]:
    """Begin a job in a session of its own."""
    launcher = [sys.executable, *(TWO if job.processes > 1 else [])]
    return subprocess.Popen(
        [*launcher, str(script), *job.words(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a job; it must succeed."""
    _, error = process.communicate()
    if process.returncode:
        raise SystemExit(f"the job failed: {error.decode()}")


def torment(
    job: Job, folder: Path, script: Path, kills: int, rng: random.Random
) -> tuple[int, int, int]:
    """Kill a job ``kills`` times or a few more; their number, how often it ended since, and how
    often with other results than the undisturbed one."""
    whole = folder / "whole"
    began = time.monotonic()
    finish(start(job, whole, script))
    seconds = time.monotonic() - began
    expected = job.read(whole)
    ended = unlike = done = 0
    while done < kills:
        killed = folder / "killed"
        shutil.rmtree(killed, ignore_errors=True)
        for _ in range(3):
            process = start(job, killed, script)
            try:
                # Much of the time goes into imports; what comes after is what may break.
                process.wait(rng.uniform(0.4, 1.0) * seconds)
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                done += 1
        finish(start(job, killed, script))
        ended += 1
        unlike += job.read(killed) != expected
    return done, ended, unlike


def main() -> int:
    """The exit status is 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each job")
    parser.add_argument("--jobs", nargs="+", help="names of those to run (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / "data", 48, 0)
        skeleton = load_skeleton("lsp14")
        torch.manual_seed(0)
        teacher = folder / "teacher.safetensors"
        card = ModelCard("small_teacher", "heatmap", (64, 64), 1.25, 10.0, 1.5, skeleton)
        save_model(teacher, build_model("small_teacher", 14), card)
        script = folder / "hhd_small_shards.py"
        script.write_text(HHD)
        for job in jobs(folder / "data", teacher):
            if options.jobs and job.name not in options.jobs:
                continue
            place = folder / job.name.replace(" ", "-")
            place.mkdir()
            done, ended, unlike = torment(job, place, script, options.kills, rng)
            wrong += unlike
            print(f"{job.name:22} {done} kills, {ended} ends, {unlike} unlike", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
