"""The joint loss keeps more under way than the memory's pipe holds, on every architecture."""

import pytest

from cuda_kernels import occupancy
from cuda_kernels.occupancy import GPUS, LATENCY_NS, Occupancy
from executor import build
from executor.library import Launch


@pytest.fixture(scope="module")
def table() -> dict[str, Occupancy]:
    """Skips where the executor, which says how the kernels are launched, cannot be built."""
    if reason := build.why_not():
        pytest.skip(reason)
    build.build()
    return occupancy.table()


def test_bytes_in_flight(table: dict[str, Occupancy]) -> None:
    for name, found in table.items():
        assert found.in_flight >= found.needed, name


def test_time_is_left_for_work(table: dict[str, Occupancy]) -> None:
    """Memory's latency is less than half of the time that a block has."""
    for name, found in table.items():
        assert found.time >= 2 * LATENCY_NS, name


def test_resident_blocks_by_hand() -> None:
    gpu = GPUS["sm_90"]
    # A quarter's 16384 registers are 5 warps of 96, so 20 in all and 6 blocks of 3: an H100 says 6,
    # and 8 of 80 registers. Of 72 they are 28; of 32, the 64 warps are the limit.
    for registers, blocks in ((96, 6), (80, 8), (72, 9)):
        assert occupancy.resident(gpu, registers, Launch("", 1, 96, 16 << 10, {})) == blocks
    assert occupancy.resident(gpu, 32, Launch("", 1, 96, 0, {})) == 21
    # 100 KB and the block's own kilobyte: two of them in 228 KB.
    assert occupancy.resident(gpu, 32, Launch("", 1, 96, 100 << 10, {})) == 2
