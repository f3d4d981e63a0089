"""How many sectors of global memory each op reads and writes, beside DESIGN's traffic budget.

`python -m executor.traffic` from `tests/` prints the table.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from executor import build
from executor.library import Launch, Library
from executor.torch_ops import Ops

SECTOR = 32
WINDOW = (8, 8)
MAPS = ("logits", "heatmaps", "grad", "out")
"""Arrays of the size of the maps; all others are of the size of their windows or smaller."""


class Op(NamedTuple):
    """A call, what it may move in map tensors, and its launches.

    A loss has two: sums over the weights, which teacher maps have beside them, and the maps with
    the sums over the joints.
    """

    name: str
    budget: int
    launches: int
    call: Callable[[Ops, "Sample"], object]


class Sample(NamedTuple):
    """What the ops are called with."""

    logits: Tensor
    teacher: Tensor
    targets: tuple[Tensor, Tensor]
    """Centres and windows."""
    goal: Tensor
    weight: Tensor
    number: Tensor


class Row(NamedTuple):
    """Sectors, in map tensors; `extra` are those of all smaller arrays."""

    op: Op
    dtype: torch.dtype
    layout: str
    shape: tuple[int, ...]
    read: float
    written: float
    extra: float
    ratio: float
    """Of the requested to the unique sectors, over the maps."""
    launches: list[Launch]


def _loss(coordinates: bool, with_grad: bool, form: tuple[int, int, int] = (3, 1, 0)):
    def call(ops: Ops, s: Sample) -> object:
        kind, divergence, locate = form
        hhd = (10.0, kind, divergence, locate, 0, 0, 0, 1e-6)
        if not coordinates:
            inputs = (s.logits, *s.targets, s.weight, None)
            return ops.hhd_loss(*inputs, *hhd, 1.0, with_grad)
        inputs = (s.logits, *s.targets, s.goal, s.weight, None, None)
        return ops.joint_loss(*inputs, *hhd, 1, 2.0, 2.0, 1.0, 1.0, 1.0, with_grad)

    return call


def _from_maps(ops: Ops, s: Sample) -> object:
    teacher = (s.teacher, *WINDOW, 4, 0.0)
    hhd = (10.0, 3, 1, 0, 0, 0, 0, 1e-6)
    inputs = (s.logits, *teacher, s.goal, s.weight, None, None)
    return ops.joint_loss_from_maps(*inputs, *hhd, 1, 2.0, 2.0, 1.0, 1.0, 1.0, True)


OPS = [
    Op(
        "teacher targets",
        1,
        1,
        lambda ops, s: ops.teacher_targets(s.logits, *WINDOW, 4, 0, 0, 1e-6, 0.0),
    ),
    Op(
        "teacher targets, bilinear",
        1,
        1,
        lambda ops, s: ops.teacher_targets(s.logits, *WINDOW, 4, 1, 0, 1e-6, 0.0),
    ),
    Op("soft-argmax", 1, 1, lambda ops, s: ops.soft_argmax(s.logits, 10.0, 0)),
    Op(
        "soft-argmax backward",
        2,
        1,
        lambda ops, s: ops.soft_argmax_backward(s.goal, s.logits, 10.0, 0),
    ),
    Op("HHD loss", 1, 2, _loss(False, False)),
    Op("HHD loss and gradient", 2, 2, _loss(False, True)),
    Op("joint loss", 1, 2, _loss(True, False)),
    Op("joint loss and gradient", 2, 2, _loss(True, True)),
    Op("the same, debiased", 2, 2, _loss(True, True, (3, 1, 2))),
    Op("the same, published", 2, 2, _loss(True, True, (2, 0, 1))),
    Op("the same, from maps", 3, 2, _from_maps),
    Op("kept gradient x 1", 0, 1, lambda ops, s: ops.loss_backward_(s.logits, s.number)),
    Op("gradient x factor", 2, 1, lambda ops, s: ops.loss_backward(s.logits, s.number, s.logits)),
]
SETTINGS = [
    (torch.float32, "contiguous", (1, 2, 64, 48)),
    (torch.bfloat16, "contiguous", (1, 2, 64, 48)),
    (torch.float32, "contiguous", (1, 2, 64, 64)),
    (torch.bfloat16, "contiguous", (1, 2, 64, 64)),
    (torch.float32, "channels_last", (1, 17, 64, 48)),
    (torch.bfloat16, "channels_last", (1, 17, 64, 48)),
]


def sample(dtype: torch.dtype, layout: str, shape: tuple[int, ...]) -> Sample:
    """Random maps and centres in the middle of them."""
    torch.manual_seed(0)
    maps = torch.rand(shape).to(dtype)
    if layout == "channels_last":
        maps = maps.contiguous(memory_format=torch.channels_last)
    b, k, h, w = shape
    middle = torch.tensor([w, h]).div(2).expand(b, k, 2).contiguous()
    windows = torch.rand(b, k, *WINDOW) / math.prod(WINDOW)
    teacher, weight, number = maps.flip(0, 1), torch.ones(b, k), torch.ones(())
    return Sample(maps, teacher, (middle, windows), middle + 1, weight, number)


def rows(library: Library) -> Iterator[Row]:
    """Every op in every setting."""
    ops = Ops(library)
    library.traffic_only()
    for dtype, layout, shape in SETTINGS:
        inputs = sample(dtype, layout, shape)
        tensor = inputs.logits.numel() * inputs.logits.element_size() / SECTOR
        for op in OPS:
            library.traffic()
            op.call(ops, inputs)
            launches = library.traffic()
            arrays = [item for launch in launches for item in launch.arrays.items()]
            maps = [sectors for name, sectors in arrays if name in MAPS]
            extra = sum(s.read + s.written for name, s in arrays if name not in MAPS)
            read, written = sum(s.read for s in maps), sum(s.written for s in maps)
            requested = sum(s.read_requested + s.written_requested for s in maps)
            yield Row(
                op,
                dtype,
                layout,
                shape,
                read / tensor,
                written / tensor,
                extra / tensor,
                requested / max(read + written, 1),
                launches,
            )


def main() -> None:
    build.build()
    heads = ("op", "dtype", "layout", "maps", "budget", "read", "written", "extra", "req/uniq")
    form = "{:24} {:9} {:14} {:9} {:>6} {:>6} {:>8} {:>6} {:>9} {:>9}"
    print(form.format(*heads, "launches"))
    for row in rows(Library(build.WATCHED.library)):
        numbers = [f"{x:.2f}" for x in (row.read, row.written, row.extra, row.ratio)]
        size, dtype = "x".join(map(str, row.shape[1:])), str(row.dtype).removeprefix("torch.")
        print(
            form.format(
                row.op.name, dtype, row.layout, size, row.op.budget, *numbers, len(row.launches)
            )
        )


if __name__ == "__main__":
    main()
