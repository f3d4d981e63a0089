"""Where `make load-test` finds its CPU-only torch."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from load import environments


def test_a_cpu_only_development_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(environments, "environment", lambda *_: "another")
    assert environments.cpu_only() == Path(sys.executable)


@pytest.mark.parametrize("found", [True, False])
def test_else_pip_is_asked_for_the_pinned_one(
    found: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
        commands.append(list(map(str, command)))
        (tmp_path / "cpu-only").mkdir(exist_ok=True)
        status = int(not found and "pip" in command)
        return subprocess.CompletedProcess(command, status, "", "ERROR: No matching distribution\n")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(environments, "run", run)
    got = environments.cpu_only()
    (pin,) = environments.pins("torch")
    assert f"{pin}+cpu" in commands[-1]
    if found:
        assert got == tmp_path / "cpu-only" / "bin" / "python"
    else:
        assert f"{pin}+cpu is not installed: ERROR: No matching distribution" in str(got)
        assert environments.check("CPU-only", got).right is False
