"""Every instruction-set path of the CPU kernels, each forced in a process of its own."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPUINFO = Path("/proc/cpuinfo")
NEEDS = {
    "portable": set(),
    "avx2": {"avx2", "fma"},
    "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
}
# Dtypes, tails of every length, geometry and reductions: where a vector path can differ.
ORACLE_COMPARISONS = [
    "test_normalize.py::test_any_map",
    "test_soft_argmax.py::test_any_map",
    "test_locate_teacher.py::test_every_position_and_its_tie",
    "test_teacher_targets.py::test_any_map",
    "test_hhd_loss.py::test_any_call",
    "test_hhd_loss.py::test_kl_of_extreme_logits_is_exact",
    "test_joint_loss.py::test_any_call",
]
ONE_CALL = """
import torch, hhd_kernels as hk
with hk.use_backend("cpu"):
    hk.normalize(torch.ones(1, 1, 2, 2), "l1")
"""


def machine_flags() -> set[str]:
    for line in CPUINFO.read_text().splitlines() if CPUINFO.exists() else ():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


def run(capability: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Python with those arguments and the path forced."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"HHD_CPU_CAPABILITY": capability},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("capability", list(NEEDS))
def test_forced_path_agrees_with_the_oracle(capability: str) -> None:
    missing = NEEDS[capability] - machine_flags()
    if missing:
        pytest.skip(f"this {platform.machine()} machine has no {', '.join(sorted(missing))}")
    info = run(capability, "-m", "hhd_kernels.info").stdout
    assert f"cpu capability     {capability}\n" in info
    paths = [f"tests/kernels/{name}" for name in ORACLE_COMPARISONS]
    options = ["-q", "-x", "-k", "cpu", "--tb=short", "-p", "no:cacheprovider"]
    result = run(capability, "-m", "pytest", *options, *paths)
    assert result.returncode == 0, result.stdout[-4000:]


def test_an_unknown_path_is_refused_by_name() -> None:
    """The process says what it got and what it takes, and nothing runs on another path."""
    result = run("sse9", "-c", ONE_CALL)
    assert result.returncode != 0
    assert "HHD_CPU_CAPABILITY is 'sse9'" in result.stderr


def test_explain_says_that_nothing_runs() -> None:
    code = "import torch, hhd_kernels as hk; print(hk.explain('crop', torch.ones(1, 1, 2, 2)))"
    lines = run("sse9", "-c", code).stdout.splitlines()
    assert lines[0].endswith("runs on nothing")
    assert any("HHD_CPU_CAPABILITY is 'sse9'" in line for line in lines)
