"""What a number depends on besides the code: machine, threads, versions, commit."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import hhd_kernels as hk
from hhd_kernels import info

ROOT = Path(__file__).resolve().parent.parent


def collect() -> dict[str, Any]:
    """Everything by name, ready for JSON."""
    library = info.collect()["ops library"]
    library = library if isinstance(library, dict) else {}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD") or "unknown",
        "dirty": bool(_git("status", "--porcelain")),
        "hhd": hk.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": _cores(),
        "threads": torch.get_num_threads(),
        "instruction set": library.get("cpu capability", "none"),
        "torch instruction set": torch.backends.cpu.get_cpu_capability(),
        "compiler": library.get("compiler", "none"),
        **_gpu(library),
        "load average": [round(load, 2) for load in os.getloadavg()],
    }


def _gpu(library: dict[str, Any]) -> dict[str, Any]:
    """The GPU and what runs on it; nothing where there is none."""
    if not torch.cuda.is_available():
        return {}
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "gpu memory GiB": round(properties.total_memory / 2**30, 1),
        "gpu L2 MiB": properties.L2_cache_size / 2**20,
        "compute capability": f"{properties.major}.{properties.minor}",
        "cuda of torch": torch.version.cuda,
        "cuda compiler": library.get("cuda_compiler", "none"),
        "cuda architectures": library.get("cuda_architectures", "none"),
    }


def _git(*arguments: str) -> str:
    """A git command's output; empty where there is no repository or no git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _cores() -> int:
    """The cores this process may use, which a container may have limited."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
