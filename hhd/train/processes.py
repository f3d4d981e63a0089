"""The processes of a run under torchrun: who they are, and what they tell each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hhd.train.devices import choose_device


@dataclass(frozen=True)
class Processes:
    """One of ``world`` processes, by its ``rank``, and the device it computes on."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """Everybody's value, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Go on when everybody is here."""
        if self.world > 1:
            dist.barrier()


def is_first() -> bool:
    """Whether this is the process of a run that speaks, before or after the others are joined."""
    return _number("RANK", 0) == 0


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the processes that torchrun started, by nccl on GPUs and gloo elsewhere; alone without
    torchrun. A group that is there already is used, and stays."""
    world, rank = _number("WORLD_SIZE", 1), _number("RANK", 0)
    if world == 1:
        yield Processes(choose_device(device))
        return
    if "MASTER_ADDR" not in os.environ or "RANK" not in os.environ:
        raise ValueError(
            f"WORLD_SIZE is {world}, but RANK and MASTER_ADDR are not both set: start the run with "
            "torchrun"
        )
    own = choose_device(device, _number("LOCAL_RANK", rank))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    began = not dist.is_initialized()
    if began:
        dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield Processes(own, rank, world)
    finally:
        if began:
            dist.destroy_process_group()


def _number(name: str, usual: int) -> int:
    text = os.environ.get(name) or str(usual)
    if not text.isdecimal():
        raise ValueError(f"{name} is {text!r}; torchrun sets it to a number")
    return int(text)
