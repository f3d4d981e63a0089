"""One op at a time with warm buffers: time, GB/s against its traffic budget, share of a copy."""

from statistics import median
from time import perf_counter

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import contestants, lock
from benchmarks.inputs import DTYPES, LAYOUTS, make_maps, map_bytes
from benchmarks.ops import OPS, Op
from benchmarks.presets import PRESETS
from benchmarks.report import Report
from benchmarks.settings import Settings

SIZE = (64, 48)
CASES = [(op, preset) for op in OPS for preset in PRESETS if op.by_preset or preset == "kl"]
COLUMNS = {
    **dict.fromkeys(("op", "preset", "dtype", "layout"), ""),
    "ms": ".3f",
    "map tensors": "",
    "GB/s": ".1f",
    "copy share": ".0%",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("op", "name"),
    [pytest.param(op, name, id=f"{op.name}-{name}".replace(" ", "_")) for op, name in CASES],
)
def test_ops(
    op: Op,
    name: str,
    dtype: str,
    layout: str,
    benchmark: BenchmarkFixture,
    settings: Settings,
    report: Report,
) -> None:
    preset, maps = PRESETS[name], make_maps(*SIZE, dtype, layout)
    lock.check_op(op, preset, maps)
    call = op.build(preset, maps)
    copies = []

    def before_round() -> None:
        """Time a copy next to every call of the op, then bring the op's buffers back to cache."""
        contestants.copy(maps)
        start = perf_counter()
        contestants.copy(maps)
        copies.append(perf_counter() - start)
        call()

    benchmark.group = f"{dtype} {layout} {SIZE[0]}x{SIZE[1]}"
    benchmark.pedantic(call, setup=before_round, rounds=settings.rounds, warmup_rounds=1)
    if benchmark.stats is None:
        return
    seconds = benchmark.stats.stats.median
    per_second = op.traffic * map_bytes(maps) / seconds
    copied_per_second = 2 * map_bytes(maps) / median(copies)
    row = {
        "op": op.name,
        "preset": name if op.by_preset else "any",
        "dtype": dtype,
        "layout": layout,
        "ms": 1e3 * seconds,
        "map tensors": op.traffic,
        "GB/s": per_second / 1e9,
        "copy share": per_second / copied_per_second,
    }
    benchmark.extra_info |= row
    report.add(f"ops, B=64 K=17 {SIZE[0]}x{SIZE[1]}, warm", COLUMNS, [row])
