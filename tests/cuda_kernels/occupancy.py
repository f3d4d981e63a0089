"""What the joint loss keeps under way on a multiprocessor, and whether it fills the memory's pipe.

python -m cuda_kernels.occupancy (in tests/)

Little's law: bytes in flight = bandwidth x latency. A block asks for its whole map at once, in
asynchronous copies that take no registers, so what can be under way on a multiprocessor is the maps
of the blocks that are resident there: registers (from the budgets), threads and shared memory (from
a launch under the executor) decide how many. A block spends only a part of its time waiting for its
map; the rest it computes, while others wait. `time a map` is how long each resident block may take
from its first load to its last store for the multiprocessor's share of the bandwidth, TARGET of it,
to be used; `latency` is the part of that time that the memory takes, so that `for work` is left for
barriers and arithmetic.
"""

import itertools
from typing import NamedTuple

import numpy as np

from cuda_kernels import budgets
from executor import build
from executor.calls import Kernels
from executor.library import Launch
from sanitize.calls import LossArgs, LossInputs, Window
from sanitize.memory import LAYOUTS, Array

TARGET = 0.85
LATENCY_NS = 800.0
"""Of HBM or GDDR7 under load, generously: measurements of idle latency are 450 to 700 ns."""


class Gpu(NamedTuple):
    """What an architecture's largest part offers (CUDA programming guide, vendors' data sheets)."""

    name: str
    multiprocessors: int
    bandwidth: float
    """Bytes a nanosecond."""
    warps: int
    blocks: int
    shared: int
    """Bytes of shared memory a multiprocessor; a block may have 1 KB less."""

    @property
    def share(self) -> float:
        """Bytes a nanosecond of one multiprocessor."""
        return self.bandwidth / self.multiprocessors


GPUS = {
    "sm_80": Gpu("A100 80 GB", 108, 2039.0, 64, 32, 164 << 10),
    "sm_90": Gpu("H100 SXM", 132, 3350.0, 64, 32, 228 << 10),
    "sm_100": Gpu("B200", 148, 8000.0, 64, 32, 228 << 10),
    "sm_120": Gpu("RTX 5090", 170, 1792.0, 48, 24, 100 << 10),
}


class Occupancy(NamedTuple):
    """Of one launch on one architecture, each figure for a multiprocessor."""

    blocks: int
    warps: int
    in_flight: int
    """Bytes of maps that the resident blocks can have under way."""
    needed: float
    """Bytes that must be under way for TARGET of the bandwidth, reads being half of it."""
    time: float
    """Nanoseconds that a resident block may take for its maps."""


def resident(gpu: Gpu, registers: int, launch: Launch) -> int:
    """How many blocks a multiprocessor holds at once."""
    warps = launch.threads // 32
    # 65,536 registers in four parts, each for the warps of its scheduler, given out to a warp in
    # units of 256; each block takes 1 KB for itself.
    of_a_warp = -(-registers * 32 // 256) * 256
    by_registers = 4 * (16384 // of_a_warp) // warps
    by_shared = gpu.shared // (-(-launch.shared // 128) * 128 + 1024)
    return min(gpu.warps // warps, gpu.blocks, by_registers, by_shared)


def occupancy(gpu: Gpu, registers: int, launch: Launch, map_bytes: int, joints: int) -> Occupancy:
    """`joints`: of a block."""
    blocks = resident(gpu, registers, launch)
    in_flight = blocks * joints * map_bytes
    return Occupancy(
        blocks=blocks,
        warps=blocks * launch.threads // 32,
        in_flight=in_flight,
        needed=TARGET * gpu.share / 2 * LATENCY_NS,
        time=2 * in_flight / (TARGET * gpu.share),
    )


class _Limited(Kernels):
    """Launchers on a GPU whose blocks may have so many bytes of shared memory."""

    def __init__(self, limit: int) -> None:
        super().__init__(build.WATCHED.library)
        self._limits = itertools.cycle([limit])


def launched(
    kernels: Kernels, dtype: str, layout: str, size: tuple[int, int]
) -> tuple[str, Launch]:
    """The kernel of the default joint loss of 17 joints, as the budgets call it, and its launch."""
    shape, rng = (1, 17, *size), np.random.default_rng(0)
    maps = Array.of(rng.random(shape), dtype, LAYOUTS[layout](shape))
    points = Array.of(rng.uniform(8, 40, (1, 17, 2)), "float32")
    windows = Array.of(np.full((1, 17, 7, 7), 0.01), "float32")
    args = LossArgs(
        window=Window.of((7, 7), "nearest", "mirror"),
        normalize=3,
        divergence=1,
        locate=0,
        beta=10.0,
        eps=1e-6,
        coordinate_loss=1,
        unit=(2.0, 2.0),
        transition=1.0,
        coordinate_scale=1.0,
        hhd_scale=1.0,
    )
    kernels.library.traffic()
    kernels.joint_loss(
        LossInputs(maps, points, windows, points), args, strides=LAYOUTS[layout](shape)
    )
    launches = kernels.library.traffic()
    found = next(one for one in launches if "joint_loss_kernel" in one.kernel)
    return f"{found.kernel.split('<')[0].split()[-1]} {dtype}", found


def table() -> dict[str, Occupancy]:
    """By architecture, dtype, layout and size."""
    found = {}
    for architecture, gpu in GPUS.items():
        kernels = _Limited(gpu.shared - 1024)
        for dtype in ("float32", "bfloat16"):
            for layout in ("contiguous", "channels_last"):
                for size in ((64, 48), (64, 64)):
                    kernel, launch = launched(kernels, dtype, layout, size)
                    registers = budgets.read()[kernel][architecture]["registers"]
                    bytes_a_map = size[0] * size[1] * (4 if dtype == "float32" else 2)
                    name = f"{architecture} {dtype} {layout} {size[0]}x{size[1]}"
                    joints = -(-17 // launch.blocks)
                    found[name] = occupancy(gpu, registers, launch, bytes_a_map, joints)
    return found


def main() -> None:
    build.build()
    print("a multiprocessor's blocks, warps, KB in flight and needed, us a block, us for work")
    for name, o in table().items():
        print(
            f"{name:38} {o.blocks:3} {o.warps:3} {o.in_flight / 1024:6.0f} {o.needed / 1024:5.1f}"
            f" {o.time / 1e3:6.1f} {(o.time - LATENCY_NS) / 1e3:6.1f}"
        )


if __name__ == "__main__":
    main()
