"""What a process of ours frees it has again without asking the system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hhd import memory
from hhd.data import loading

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
KEEP = "from hhd.memory import keep_freed_memory\nassert keep_freed_memory() is {}"
STEPS = """
import resource
import torch
def step():
    return sum(torch.ones(size << 18).sum() for size in (5, 40, 90))  # MiB
for _ in range(4):  # until the heap has room beside what else came to lie in it
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 5 * (40 + 90) * 256
"""Of 4 KiB, that the steps write to in blocks that glibc maps for themselves."""


def run(script: str, **chosen: str) -> str:
    """What a process prints in which nobody else has chosen anything."""
    others = {name: value for name, value in os.environ.items() if "MALLOC" not in name.upper()}
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, env=others | chosen, capture_output=True, text=True, check=True)
    return done.stdout


def test_what_is_freed_is_kept() -> None:
    assert int(run(STEPS)) > PAGES / 2
    assert int(run(KEEP.format(True) + STEPS)) < PAGES / 20


@pytest.mark.parametrize("name", [*memory.CHOICES, "GLIBC_TUNABLES"])
def test_what_the_environment_says_stays(name: str) -> None:
    value = "glibc.malloc.trim_threshold=131072" if name == "GLIBC_TUNABLES" else "131072"
    run(KEEP.format(False), **{name: value})


def test_what_is_kept_can_be_released() -> None:
    script = """
import torch
from hhd.memory import keep_freed_memory, release_freed_memory
def size():  # MiB
    return int(open("/proc/self/statm").read().split()[1]) >> 8
keep_freed_memory()
before = size()
torch.ones(100 << 18).sum()
kept = size() - before
release_freed_memory()
print(kept, size() - before)
"""
    kept, left = map(int, run(script).split())
    assert kept > 90
    assert left < 30


def test_workers_begin_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(loading, "release_freed_memory", lambda: calls.append("released"))
    data = torch.utils.data.TensorDataset(torch.zeros(4))
    loading.make_loader(data, 2, 0)
    assert calls == []
    loading.make_loader(data, 2, 1)
    assert calls == ["released"]


def test_without_mallopt_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*memory.CHOICES, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.keep_freed_memory()
    memory.release_freed_memory()


@pytest.mark.parametrize("words", [["-c", "{}"], ["-m", "hhd"]])
def test_the_command_keeps_it(words: list[str], tmp_path: Path) -> None:
    """By either entry, and not where another program calls it."""
    (tmp_path / "sitecustomize.py").write_text(
        "from hhd import memory\nmemory.keep_freed_memory = lambda: print('kept')\n"
    )
    script = "from hhd.cli import main; raise SystemExit(main())"
    command = [sys.executable, *(word.format(script) for word in words), "--version"]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("kept\n")


def test_another_program_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from hhd import cli

    monkeypatch.setattr(memory, "keep_freed_memory", lambda: pytest.fail("it is not our process"))
    assert cli.main(["--version"]) == 0
