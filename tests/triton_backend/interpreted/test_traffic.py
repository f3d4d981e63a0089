"""Sectors of global memory that the kernels read and write, counted as the interpreter runs them.

Unit: one map tensor. "Unique" is what a cache that forgets nothing would fetch from or write to
memory; "requested" adds up, load by load and store by store, the sectors that each touches in one
program.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from triton.runtime import interpreter as triton_interpreter

import hhd_kernels as hk
from kernels.calls import targets_of
from kernels.samples import LAYOUTS, loss_setup

SECTOR = 32  # bytes
B, K, H, W = 1, 17, 64, 48
WINDOW = 7


class Traffic:
    """What the launches in a `counted` block have moved, in sectors."""

    def __init__(self) -> None:
        self.requested = 0
        self._unique: set[tuple[str, int]] = set()

    @property
    def unique(self) -> int:
        return len(self._unique)

    def count(self, kind: str, addresses: Any, mask: Any) -> None:
        sectors = np.unique(addresses[np.broadcast_to(mask, addresses.shape)] // SECTOR)
        self.requested += sectors.size
        self._unique.update((kind, int(sector)) for sector in sectors)


@contextmanager
def counted() -> Iterator[Traffic]:
    """Count every load and store of the interpreter."""
    traffic = Traffic()
    builder = triton_interpreter.InterpreterBuilder
    load, store = builder.create_masked_load, builder.create_masked_store

    def counted_load(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        traffic.count("read", pointers.data, mask.data)
        return load(self, pointers, mask, *rest)

    def counted_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        traffic.count("written", pointers.data, mask.data)
        return store(self, pointers, value, mask, *rest)

    builder.create_masked_load, builder.create_masked_store = counted_load, counted_store
    try:
        yield traffic
    finally:
        builder.create_masked_load, builder.create_masked_store = load, store


class Case(NamedTuple):
    """An op, and how many map tensors it may move."""

    budget: int
    run: Callable[[torch.Tensor], Any]


SETUP = loss_setup(2, (B, K, H, W), (WINDOW, WINDOW))
TARGETS, COORDS, WEIGHT = targets_of(SETUP), SETUP.target_coords, SETUP.weight
KL = (10.0, 3, 1, 0, 0, 0, 0, 1e-6)
PUBLISHED = (10.0, 2, 0, 1, 0, 1, 1, 1e-6)


def _loss(form: tuple[Any, ...], with_grad: bool) -> Callable[[torch.Tensor], Any]:
    arguments = (TARGETS.centers, TARGETS.windows, WEIGHT.abs() + 0.5, None, *form, 1.0, with_grad)
    return lambda x: torch.ops.hhd_triton.hhd_loss(x, *arguments)


CASES = {
    "teacher_targets": Case(1, hk.teacher_targets),
    "locate_teacher": Case(1, hk.locate_teacher),
    "soft_argmax": Case(1, lambda x: hk.soft_argmax(x, 10.0)),
    "soft_argmax backward": Case(
        2, lambda x: torch.ops.hhd_triton.soft_argmax_backward(TARGETS.centers, x, 10.0, 0)
    ),
    "normalize": Case(2, lambda x: hk.normalize(x, "softmax")),
    "crop": Case(0, lambda x: hk.crop(x, TARGETS.centers)),
    "hhd_loss": Case(1, _loss(KL, False)),
    "hhd_loss with gradient": Case(2, _loss(KL, True)),
    "hhd_loss published": Case(2, _loss(PUBLISHED, True)),
    "joint_loss and gradient": Case(
        2, lambda x: hk.joint_loss_and_grad(x, TARGETS, COORDS, WEIGHT)[1]
    ),
    "loss_backward": Case(2, lambda x: torch.ops.hhd_triton.loss_backward(x, torch.tensor(2.0), x)),
}
# Per joint: a window's 7 rows touch at most 2 sectors each, of the map, of the stored windows and
# of what is written; centres, weights, terms, coordinates and confidence one each.
UNIQUE_EXTRAS = 3 * 2 * WINDOW + 12
# The window's pixels are read again where each is needed: as cells of the loss, as those of the
# gradient, and by each of the window's cells, mirrored or not; the confidence takes a 5 x 5 box.
REQUESTED_EXTRAS = 16 * 2 * 8 + 40


def measure(name: str, dtype: torch.dtype, layout: str) -> tuple[float, float, int, int]:
    """Unique and requested traffic in map tensors, and both in sectors."""
    x = LAYOUTS[layout](SETUP.logits.to(dtype))
    with counted() as traffic:
        CASES[name].run(x)
    unit = x.numel() * x.element_size() // SECTOR
    return traffic.unique / unit, traffic.requested / unit, traffic.unique, traffic.requested


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, torch.float32) for name in CASES), ("joint_loss and gradient", torch.bfloat16)],
    ids=str,
)
def test_budget(backend: str, name: str, dtype: torch.dtype) -> None:
    _, _, unique, requested = measure(name, dtype, "contiguous")
    maps = CASES[name].budget * B * K * H * W * dtype.itemsize // SECTOR
    assert maps <= unique <= maps + B * K * UNIQUE_EXTRAS
    assert requested <= maps + B * K * REQUESTED_EXTRAS


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("name", ["teacher_targets", "joint_loss and gradient"])
def test_channels_last_shares_sectors(backend: str, name: str) -> None:
    """K = 17 joints of 4 bytes, one after the other: 68 bytes a pixel.

    A joint by itself would fetch a sector for every 4 bytes, 8 times what it needs. 4 joints of a
    program touch 1 sector, or 2 where they straddle a border, for 16 bytes: 2.75 times on average,
    and the 17th joint is alone.
    Sectors are shared between programs of neighbouring joints, so that memory itself sees each
    once.
    """
    unique, requested, *_ = measure(name, torch.float32, "channels_last")
    budget = CASES[name].budget
    assert unique <= budget + B * K * UNIQUE_EXTRAS / (B * K * H * W / 8)
    assert requested <= 3.1 * budget + 8 * REQUESTED_EXTRAS / (H * W / 8)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_what_is_not_selected_is_not_read(backend: str) -> None:
    """A joint of weight 0 costs the distillation loss its gradient of zeros only."""
    arguments = (TARGETS.centers, TARGETS.windows, torch.zeros(B, K), None, *KL, 1.0, True)
    with counted() as traffic:
        torch.ops.hhd_triton.hhd_loss(SETUP.logits, *arguments)
    assert traffic.requested <= B * K * H * W * 4 // SECTOR + B * K * 12


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_second_read_is_seen(backend: str) -> None:
    with counted() as traffic:
        hk.soft_argmax(SETUP.logits)
        hk.soft_argmax(SETUP.logits)
    maps = B * K * H * W * 4 // SECTOR
    assert 2 * maps <= traffic.requested
    assert traffic.unique < 1.5 * maps


if __name__ == "__main__":
    from triton_backend import interpreter

    interpreter.repair()
    interpreter.MAPS_OF_A_PROGRAM = 1
    with hk.use_backend("triton"):
        for of in CASES:
            for to in (torch.float32, torch.bfloat16):
                for how in ("contiguous", "channels_last"):
                    ratios = "unique {:.3f} requested {:.3f}".format(*measure(of, to, how)[:2])
                    print(f"{of:<24} {str(to)[6:]:<9} {how:<14} {ratios}")
