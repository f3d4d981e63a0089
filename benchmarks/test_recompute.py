"""Saving the gradient in the forward pass against recomputing it in the backward pass.

Both start at live teacher maps. Saving: one pass over the student's maps gives loss and gradient,
3 map tensors moved in all. Recomputing: a pass for the loss alone, and later one that gives the
gradient: 4 moved, but no gradient is held between the two.
"""

import pytest
import torch

import hhd_kernels as hk
from benchmarks import lock
from benchmarks.inputs import DTYPES, LAYOUTS, Maps, cold_sets, make_maps, rotation
from benchmarks.interleave import Contestant, interleave
from benchmarks.ops import JOINT_LOSS, JOINT_LOSS_AND_GRAD
from benchmarks.presets import PRESETS
from benchmarks.report import Report, spread
from benchmarks.settings import Settings

SIZE = (64, 48)
COLUMNS = {
    **dict.fromkeys(("preset", "state", "dtype", "layout"), ""),
    **dict.fromkeys(("save ms", "recompute ms", "recompute / save"), ".2f"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PRESETS)
def test_recompute(name: str, dtype: str, layout: str, settings: Settings, report: Report) -> None:
    preset, maps = PRESETS[name], make_maps(*SIZE, dtype, layout)
    options = preset.hhd_options | preset.joint_options
    lock.check_op(JOINT_LOSS, preset, maps)
    lock.check_op(JOINT_LOSS_AND_GRAD, preset, maps)

    def save(maps: Maps) -> None:
        targets = preset.joint.targets(maps.teacher)
        hk.joint_loss_and_grad(maps.student, targets, maps.coords, maps.weight, **options)

    def recompute(maps: Maps) -> None:
        targets = preset.joint.targets(maps.teacher)
        with torch.no_grad():
            hk.joint_loss(maps.student, targets, maps.coords, maps.weight, **options)
        hk.joint_loss_and_grad(maps.student, targets, maps.coords, maps.weight, **options)

    sets = rotation(maps, cold_sets([maps], settings.cold_mib))
    field = [Contestant(("save",), save, sets), Contestant(("recompute",), recompute, sets)]
    timings = interleave(field, settings.rounds, rounds_once=0)
    rows = []
    for state in ("warm", "cold"):
        medians = {kind: timing.median(state) for (kind,), timing in timings.items()}
        rows.append(
            {
                **{"preset": name, "state": state, "dtype": dtype, "layout": layout},
                **{f"{kind} ms": 1e3 * seconds for kind, seconds in medians.items()},
                "recompute / save": medians["recompute"] / medians["save"],
                "spread": spread({kind: t for (kind,), t in timings.items()}, state),
            }
        )
    report.add("saving the gradient or recomputing it, B=64 K=17 64x48", COLUMNS, rows)
