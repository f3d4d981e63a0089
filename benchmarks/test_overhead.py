"""What a call costs before it touches maps: Python, dispatch and autograd around 8x8 pixels."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import lock
from benchmarks.inputs import make_maps
from benchmarks.ops import JOINT_LIVE, JOINT_LOSS_AND_GRAD, SOFT_ARGMAX, TEACHER_TARGETS, Op
from benchmarks.presets import KL
from benchmarks.report import Report
from benchmarks.settings import Settings

ITERATIONS = 50


@pytest.mark.parametrize(
    "op",
    [
        pytest.param(op, id=op.name.replace(" ", "_"))
        for op in (TEACHER_TARGETS, SOFT_ARGMAX, JOINT_LOSS_AND_GRAD, JOINT_LIVE)
    ],
)
def test_overhead(op: Op, benchmark: BenchmarkFixture, settings: Settings, report: Report) -> None:
    maps = make_maps(8, 8, "float32", "NCHW", batch=1, joints=1)
    lock.check_op(op, KL, maps)
    benchmark.group = "overhead"
    benchmark.pedantic(
        op.build(KL, maps), rounds=settings.rounds, warmup_rounds=1, iterations=ITERATIONS
    )
    if benchmark.stats is None:
        return
    row = {"op": op.name, "us": 1e6 * benchmark.stats.stats.median}
    report.add("overhead of a call: one map of 8x8", {"op": "", "us": ".1f"}, [row])
