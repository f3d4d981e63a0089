"""What a run depends on beside its recipe and its data."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import hhd_kernels
from hhd.train.processes import Processes

ROOT = Path(__file__).parents[2]


def environment(processes: Processes) -> dict[str, Any]:
    """Versions, device, processes and, where hhd runs from a checkout, its commit."""
    device = processes.device
    facts = {
        "hhd": hhd_kernels.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": processes.world,
    }
    commit = _commit(ROOT)
    return facts if commit is None else facts | {"commit": commit}


def _commit(root: Path) -> str | None:
    """The checkout's commit, with a plus if files differ from it; None where there is none."""
    if not (root / ".git").exists():
        return None
    try:
        found = [
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return found[0] + ("+" if found[1] else "")
