"""Which device a run uses."""

from __future__ import annotations

import re

import torch


def choose_device(name: str, local_rank: int | None = None) -> torch.device:
    """``auto`` is the GPU if there is one; of several processes each takes its own GPU."""
    gpus = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    if name not in ("cpu", "cuda") and not re.fullmatch(r"cuda:\d+", name):
        raise ValueError(f"device is {name!r}; it takes auto, cpu, cuda or cuda:N")
    if name == "cuda" and local_rank is not None:
        name = f"cuda:{local_rank}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ValueError(f"device is {name!r}, but torch sees {gpus} CUDA GPUs")
    return device
