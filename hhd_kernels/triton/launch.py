"""How kernels are launched: on the tensor's device, with blocks from a table of shape and dtype."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from hhd_kernels.normalize import accumulator
from hhd_kernels.triton.maps import View

LARGEST_TILE = 65536
"""Bytes of a tile in the accumulator's dtype; a map beyond is taken tile by tile."""
CHUNK = 16384
"""Bytes of such a map's tiles."""
JOINTS = 4
"""How many maps a program takes where joints are innermost in memory."""
REGISTERS = 128
"""A thread's at most in the joint loss, where several warps share a map in float32. It spills none
at that, and as many programs are resident whichever Triton compiles: left alone, some take 168."""
CELLS = 16
"""Rows and columns of a window that are taken at once."""


def view(t: Tensor | None) -> View | None:
    """A tensor [B, K, ...] as the kernels take it."""
    return None if t is None else View(t, *t.stride())


def tile(maps: Tensor) -> dict[str, Any]:
    """The block of a program on these maps, and its warps."""
    height, width = maps.shape[2:]
    size = 8 if maps.dtype == torch.float64 else 4
    rows, columns = triton.next_power_of_2(height), triton.next_power_of_2(width)
    whole = rows * columns * size <= LARGEST_TILE
    group = 1
    if not whole:
        columns = min(columns, max(1, CHUNK // size))
        rows = min(rows, max(1, CHUNK // size // columns))
    elif maps.stride(1) == 1 and maps.shape[1] > 1:
        # Neighbouring joints share a sector: taken one by one, each is fetched many times over.
        group = JOINTS
        while group > 1 and group * rows * columns * size > LARGEST_TILE:
            group //= 2
    # The scalars of a map take registers too, and a thread has those of all its maps.
    bytes_of_a_thread = 128 if group == 1 else 256
    warps = max(1, min(16, group * rows * columns * size // (32 * bytes_of_a_thread)))
    return {
        "G": group,
        "ROWS": rows,
        "COLUMNS": columns,
        "WHOLE": whole,
        "A": tl.float64 if accumulator(maps) == torch.float64 else tl.float32,
        "num_warps": warps,
    }


def registers(maps: Tensor, block: dict[str, Any]) -> dict[str, int]:
    """The limit of a kernel that needs one; the others take fewer when there is none."""
    single = block["G"] == 1 and block["A"] == tl.float32 and block["num_warps"] > 1
    return {"maxnreg": REGISTERS} if single and takes_a_limit(maps) else {}


def takes_a_limit(maps: Tensor) -> bool:
    """Whether the compiler for these maps does: NVIDIA's."""
    return maps.device.type == "cuda" and torch.version.hip is None


def cells(rows: int, columns: int) -> dict[str, int]:
    """A window's size, and how much of it is taken at once: all, with room for a bilinear edge."""
    return {
        "CELLS_Y": rows,
        "CELLS_X": columns,
        "P": min(CELLS, triton.next_power_of_2(rows + 1)),
        "Q": min(CELLS, triton.next_power_of_2(columns + 1)),
    }


def programs(maps: Tensor, block: dict[str, Any]) -> int:
    """How many programs cover all maps."""
    return triton.cdiv(maps.shape[0] * maps.shape[1], block["G"])


def run(kernel: Any, count: int, like: Tensor, *arguments: Any, **options: Any) -> None:
    """Launch `count` programs on the device and current stream of `like`; none is no launch."""
    if count:
        with _on_device_of(like):
            # Said explicitly: the default differs between versions of Triton, and so would results.
            kernel[(count,)](*arguments, enable_fp_fusion=True, **options)


def _on_device_of(like: Tensor) -> AbstractContextManager[Any]:
    if like.device.type == "cpu":  # the interpreter
        return nullcontext()
    device: AbstractContextManager[Any] = getattr(torch, like.device.type).device(like.device)
    return device
