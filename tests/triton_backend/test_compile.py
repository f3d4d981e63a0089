"""Every Triton kernel compiles for every GPU within its budget, with 64-bit offsets.

HHD_TRITON_TARGETS=all compiles every case for every target, which takes minutes the first time;
without it, one dtype of all kernels for one GPU of each maker, and the joint loss for all.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import support
from triton_backend.budgets import over_budget, read

pytest.importorskip("triton", reason="Triton is not installed")

HERE = Path(__file__).parent
JOINT_LOSS = [f"joint_loss{size} {dtype}" for size in ("", " 64x64") for dtype in
              ("float32", "bfloat16")]  # fmt: skip
NVIDIA = ("sm_80", "sm_90", "sm_100", "sm_120")


@pytest.fixture(scope="module")
def compiled() -> list[dict[str, Any]]:
    """What `compile.py` prints, from a process that has a stand-in for Triton's driver."""
    options = ["--all"] if os.environ.get("HHD_TRITON_TARGETS") == "all" else []
    return [json.loads(line) for line in printed("compile.py", *options)]


def printed(script: str, *options: str) -> list[str]:
    """What a script of this folder prints, line by line."""
    run = subprocess.run(
        [sys.executable, str(HERE / script), *options],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": str(HERE.parent)},
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return run.stdout.splitlines()


def test_registers_spills_and_shared_memory(compiled: list[dict[str, Any]]) -> None:
    budgets = read()
    complaints = [
        complaint
        for kernel in compiled
        for complaint in over_budget(budgets, kernel["case"], kernel["target"], kernel["figures"])
    ]
    assert not complaints, "\n".join(complaints)


def test_the_joint_loss_spills_nothing(compiled: list[dict[str, Any]]) -> None:
    spills = {
        (kernel["case"], kernel["target"]): kernel["figures"]["spills"]
        for kernel in compiled
        if kernel["case"] in JOINT_LOSS
    }
    assert set(spills) >= {(case, target) for case in JOINT_LOSS for target in NVIDIA}
    assert not any(spills.values()), spills


def test_offsets_have_64_bits(compiled: list[dict[str, Any]]) -> None:
    narrow = {kernel["case"]: kernel["narrow offsets"] for kernel in compiled}
    assert not any(narrow.values()), narrow


def test_values_per_map_are_scalars(compiled: list[dict[str, Any]]) -> None:
    """Triton 3.6 gives the window's blocks the layout of a block of one: 750 bytes of spills."""
    blocks = {kernel["case"]: kernel["blocks of one"] for kernel in compiled}
    assert not any(blocks.values()), blocks


def test_a_window_is_stored_after_its_map(compiled: list[dict[str, Any]]) -> None:
    """By other threads, which the interpreter does not have: one barrier, between the stores."""
    orders = {
        (kernel["case"], kernel["target"]): kernel["stores and barriers"]
        for kernel in compiled
        if kernel["case"].startswith(("joint_loss", "hhd_loss", "crop_backward"))
    }
    assert len(orders) > 4
    assert not {case: o for case, o in orders.items() if not re.fullmatch("S+BS+", o)}, orders


def test_every_option_passes_the_front_end() -> None:
    """The interpreter forgives what a compiler refuses."""
    ops = {line.split(" ")[0] for line in printed("frontend.py")}
    assert ops == set(support.schema_ops())


def test_a_regression_is_told_with_both_figures() -> None:
    figures = {"registers": 64, "spills": 0, "shared": 16, "programs": 4}
    budgets = {"op float32": {"sm_90": figures}}
    within = figures | {"registers": 60, "programs": 5}
    assert over_budget(budgets, "op float32", "sm_90", within) == []
    (complaint,) = over_budget(budgets, "op float32", "sm_90", within | {"spills": 8})
    assert "op float32" in complaint
    assert "spills 8, budget 0" in complaint
    (complaint,) = over_budget(budgets, "op float32", "sm_90", within | {"programs": 3})
    assert "programs 3, budget 4" in complaint
    (complaint,) = over_budget(budgets, "op bfloat16", "sm_90", within)
    assert "no budget" in complaint
