"""Runs of several processes: they learn what one would, and lose nothing when they are killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hhd.cli import main
from hhd.models.files import load_model
from hhd.train.checkpoint import load_checkpoint

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
DOUBLE = str(Path(__file__).with_name("double_run.py"))


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def run(command: list[str], *words: str) -> str:
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, env=environment(), timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def difference(one: Path, other: Path) -> float:
    """The largest difference of two checkpoints' weights, in units of the largest weight."""
    first, second = (load_checkpoint(path / "checkpoint.pt")["model"] for path in (one, other))
    return max(
        float((first[key] - second[key]).abs().max() / first[key].abs().max().clamp_min(1e-9))
        for key in first
        # Biases that a later norm or the softmax takes away have gradients of rounding alone, of
        # which Adam makes whole steps, and means follow them.
        if key.endswith(("weight", "running_var"))
    )


def test_two_processes_learn_what_one_does(kites, tmp_path):
    """A step's crops, norms and means are of all processes; what is left is rounding."""
    words = kites.train_words(
        "--epochs=4", "--batch-size=6", "--loss=kl", "--teacher=labels", "--ema=0.5",
        "--teacher-reach=1.5", "--log-every=1",
    )  # fmt: skip
    outputs = [tmp_path / name for name in ("one", "two", "apart")]
    run([sys.executable, DOUBLE], *words, f"--output={outputs[0]}")
    text = run([*TORCHRUN, DOUBLE], *words, f"--output={outputs[1]}")
    assert text.count("images/s; model and log in") == 1
    assert "6 crops a step, 3 at a time: 2 processes" in text
    assert difference(outputs[0], outputs[1]) < 1e-9
    logs = []
    for output in outputs[:2]:
        lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
        logs.append(lines)
        assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    for one, two in zip(*logs, strict=True):
        for name in ("loss", "coordinate", "hhd"):
            if name in one:
                assert one[name] == pytest.approx(two[name], rel=1e-6)
        if "pck" in one:
            assert one["pck"]["at_05"] == two["pck"]["at_05"]
    # Norms of their own are another network.
    run([*TORCHRUN, DOUBLE], *words, f"--output={outputs[2]}", "--sync-norm=false")
    assert difference(outputs[0], outputs[2]) > 1e-4


def test_killed_processes_go_on_to_the_same_bytes(tiny, tmp_path):
    """Both are killed at a random moment."""
    words = ["train", "demo_student", "--loss=kl", "--teacher=labels", "--ema=0.9", "--epochs=8"]
    words += [f"--{key}={value}" for key, value in tiny.items() if key not in ("epochs", "output")]
    words += ["--checkpoint-every=2", "--evaluate-every=8"]
    command = [*TORCHRUN, "-m", "hhd", *words]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    began = time.monotonic()
    run(command, f"--output={whole}")
    seconds = time.monotonic() - began
    process = subprocess.Popen(
        [*command, f"--output={killed}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(),
        start_new_session=True,
    )  # fmt: skip
    time.sleep(random.Random(0).uniform(0.5, 1.0) * seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run(command, f"--output={killed}")
    files = [(folder / "model.safetensors").read_bytes() for folder in (whole, killed)]
    one, other = (load_model(folder / "model.safetensors")[0] for folder in (whole, killed))
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert len(files[0]) == len(files[1])


def test_what_torchrun_sets_is_needed_whole(kites, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(kites.train_words()) == 1
    error = capsys.readouterr().err
    assert "WORLD_SIZE is 2, but RANK and MASTER_ADDR are not both set: start the run with" in error
    monkeypatch.setenv("WORLD_SIZE", "two")
    assert main(kites.train_words()) == 1
    assert "WORLD_SIZE is 'two'; torchrun sets it to a number" in capsys.readouterr().err
