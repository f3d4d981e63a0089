"""What the benchmarks feed the ops: student and teacher maps, labels, and rotations over them."""

from collections.abc import Iterator
from itertools import cycle
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

BATCH, JOINTS = 64, 17
SIGMA = 2.0
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MIB = 2**20


class Maps(NamedTuple):
    """One set of inputs; maps are [B, K, H, W], all of one dtype and layout."""

    student: Tensor
    """Logits, a leaf that requires grad."""
    teacher: Tensor
    scratch: Tensor
    """Where the copy goes."""
    coords: Tensor
    """(x, y) of the labels in heatmap pixels, float32, [B, K, 2]."""
    weight: Tensor
    """Ones: the looped contestants know no weight. [B, K]"""

    def first(self, count: int) -> "Maps":
        """The first instances, in memory of their own."""
        student, *others = (tensor[:count].detach().clone() for tensor in self)
        return Maps(student.requires_grad_(), *others)

    def to(self, device: str) -> "Maps":
        """The same on another device."""
        student, *others = (tensor.detach().to(device) for tensor in self)
        return Maps(student.requires_grad_(), *others)

    def forget_gradient(self) -> None:
        """Without it a second backward pass would add to the first one's gradient: a pass more."""
        self.student.grad = None


def make_maps(
    height: int, width: int, dtype: str, layout: str, batch: int = BATCH, joints: int = JOINTS
) -> Maps:
    """Noisy Gaussians, the student's half a pixel from the teacher's; some lie at the border."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    coords = torch.rand(batch, joints, 2, generator=generator) * torch.tensor([width, height])
    coords = (coords - 0.5).round(decimals=2)

    def maps(centers: Tensor, noise: float) -> Tensor:
        x, y = centers[..., 0, None, None], centers[..., 1, None, None]
        bumps = (-((columns - x) ** 2 + (rows - y) ** 2) / (2 * SIGMA**2)).exp()
        bumps += noise * torch.randn(bumps.shape, generator=generator)
        return bumps.to(DTYPES[dtype]).contiguous(memory_format=LAYOUTS[layout])

    student = maps(coords + 0.5 * torch.randn(coords.shape, generator=generator), 0.05)
    teacher = maps(coords, 0.01)
    weight = torch.ones(batch, joints)
    return Maps(student.requires_grad_(), teacher, torch.zeros_like(teacher), coords, weight)


def map_bytes(maps: Maps) -> int:
    """Bytes of one map tensor, the unit of every traffic budget."""
    return maps.student.numel() * maps.student.element_size()


def cold_sets(kinds: list[Maps], mib: int) -> int:
    """How many sets of each kind make `mib` MiB of distinct student and teacher maps together."""
    return max(2, ceil(mib * MIB / sum(2 * map_bytes(maps) for maps in kinds)))


def rotation(maps: Maps, count: int) -> Iterator[Maps]:
    """Endlessly, `count` sets of distinct memory: the given one and copies of it."""
    return cycle([maps, *(maps.first(BATCH) for _ in range(count - 1))])
