"""Which precision a network is fastest in on a device."""

from __future__ import annotations

import time
from copy import deepcopy
from statistics import median

import torch
from torch import Tensor, nn

ROUNDS, UNCOUNTED = 5, 2
# Of float32's time that another precision may take: a draw is float32's.
WORTH = 0.9
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context of a forward pass; float32 casts nothing."""
    dtype = DTYPES[precision]
    enabled = precision != "float32"
    return torch.autocast(device.type, dtype if enabled else None, enabled=enabled)


def build_scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """What scales the loss where gradients are float16, and does nothing elsewhere."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")


def measure_precisions(model: nn.Module, images: Tensor) -> dict[str, float]:
    """Seconds of forward and backward by precision, the medians of interleaved rounds.

    On a copy of the network, whose first rounds go uncounted.
    """
    model = deepcopy(model).train()
    names = ["float32", "bfloat16", *(["float16"] if images.is_cuda else [])]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    # Dropout draws from the generator that the run goes on with.
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        for _ in range(UNCOUNTED + ROUNDS):
            for name in names:
                began = time.perf_counter()
                with autocast(images.device, name):
                    maps = model(images)
                maps.float().square().mean().backward()
                if images.is_cuda:
                    torch.cuda.synchronize(images.device)
                seconds[name].append(time.perf_counter() - began)
    return {name: median(times[UNCOUNTED:]) for name, times in seconds.items()}


def choose_precision(model: nn.Module, images: Tensor) -> tuple[str, str]:
    """The fastest precision, if it is clearly faster than float32, and a sentence of the times."""
    seconds = measure_precisions(model, images)
    chosen = min(seconds, key=lambda name: seconds[name])
    if seconds[chosen] > WORTH * seconds["float32"]:
        chosen = "float32"
    times = ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in seconds.items())
    return chosen, f"precision {chosen}: {times} for forward and backward of {len(images)} crops"
