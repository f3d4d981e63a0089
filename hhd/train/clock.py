"""Where the time of a step goes."""

from __future__ import annotations

import time

import torch

LAPS = ("data", "teacher", "forward", "loss", "backward", "optimiser")


class Clock:
    """``lap(name)`` books the time since the last one. A GPU works on after a lap, so its times are
    true only of the steps that wait for it, ``exact``."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.exact = False
        self.seconds = dict.fromkeys(LAPS, 0.0)
        self.last = time.perf_counter()

    def begin(self, exact: bool) -> None:
        """Start the next step."""
        self.exact = exact
        self.seconds = dict.fromkeys(LAPS, 0.0)
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """What was done since the last lap is ``name``."""
        if self.exact and self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[name] += now - self.last
        self.last = now

    @property
    def total(self) -> float:
        """Seconds of the step so far."""
        return sum(self.seconds.values())
