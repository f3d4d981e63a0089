"""Joint loss and gradient through autograd, from live teacher maps, against all contestants."""

from itertools import product

import pytest

from benchmarks import contestants, lock, ops
from benchmarks.inputs import DTYPES, LAYOUTS, cold_sets, make_maps, rotation
from benchmarks.interleave import Contestant, Timing, interleave
from benchmarks.presets import PRESETS
from benchmarks.report import Report, Row, spread
from benchmarks.settings import Settings
from benchmarks.targets import missed_targets

VARIANTS = list(product(DTYPES, LAYOUTS))
COMPILED = ("float32", "NCHW")
# The loss reads the teacher's and the student's maps and writes the gradient; a copy moves two.
COPIES = ops.JOINT_LIVE.traffic / 2
RATIOS = {"x loop": ".0f", "x eager": ".1f", "x compile": ".1f", "copy share": ".0%"}
COLUMNS = {
    **dict.fromkeys(("state", "dtype", "layout"), ""),
    **dict.fromkeys(("fused ms", "eager ms", "compile ms", "loop ms", "copy ms"), ".2f"),
    **RATIOS,
}


@pytest.mark.parametrize("size", ["64x48", "64x64"])
@pytest.mark.parametrize("name", PRESETS)
def test_joint_loss(name: str, size: str, settings: Settings, report: Report) -> None:
    """Every dtype and layout takes part in one interleaved run: they are compared as well."""
    preset = PRESETS[name]
    height, width = map(int, size.split("x"))
    inputs = {variant: make_maps(height, width, *variant) for variant in VARIANTS}
    for maps in inputs.values():
        lock.check_op(ops.JOINT_LIVE, preset, maps)
        lock.check_loop(preset, maps)
    eager, compiled = contestants.eager(preset), contestants.compiled(preset)
    lock.check_run("eager and fused", eager, contestants.fused(preset), inputs[COMPILED])
    lock.check_run("torch.compile and eager", compiled, eager, inputs[COMPILED])

    count = cold_sets(list(inputs.values()), settings.cold_mib)
    field = []
    for variant, maps in inputs.items():
        runs = {"fused": contestants.fused(preset), "eager": eager, "copy": contestants.copy}
        if variant == COMPILED:
            runs["compile"] = compiled
        sets = rotation(maps, count)
        field += [Contestant((*variant, kind), run, sets) for kind, run in runs.items()]
        loop = contestants.looped(preset)
        field.append(Contestant((*variant, "loop"), loop, sets, once=True))
    timings = interleave(field, settings.rounds, settings.loop_rounds)

    rows = [
        {"preset": name, "size": size, **_row(timings, variant, state)}
        for state in ("warm", "cold")
        for variant in VARIANTS
    ]
    report.add(f"joint loss and gradient: preset {name}, B=64 K=17 {size}", COLUMNS, rows)
    if settings.assert_targets and (missed := missed_targets(rows)):
        pytest.fail("\n".join(missed), pytrace=False)


def _row(timings: dict[tuple[str, ...], Timing], variant: tuple[str, str], state: str) -> Row:
    """One line of the table: medians, and how many times as long as the fused op others take."""
    own = {kind: timing for (*of, kind), timing in timings.items() if tuple(of) == variant}
    fused = own["fused"].median(state)
    row: Row = {"state": state, "dtype": variant[0], "layout": variant[1]}
    row |= {f"{kind} ms": 1e3 * timing.median(state) for kind, timing in own.items()}
    row |= {
        f"x {kind}": timing.median(state) / fused
        for kind, timing in own.items()
        if f"x {kind}" in RATIOS
    }
    row["copy share"] = COPIES * own["copy"].median(state) / fused
    return row | {"spread": spread(own, state)}
