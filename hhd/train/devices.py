"""Which device a run uses."""

from __future__ import annotations

import re

import torch


def choose_device(name: str) -> torch.device:
    """``auto`` is the GPU if there is one."""
    gpus = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    if name not in ("cpu", "cuda") and not re.fullmatch(r"cuda:\d+", name):
        raise ValueError(f"device is {name!r}; it takes auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ValueError(f"device is {name!r}, but torch sees {gpus} CUDA GPUs")
    return device
