"""The lock opens for what is right and for nothing else."""

from typing import Any

import numpy as np
import pytest
import torch

import hhd_kernels as hk
from benchmarks import lock
from benchmarks.inputs import Maps, make_maps
from benchmarks.ops import OPS, Op
from benchmarks.presets import KL, Preset


def _maps() -> Maps:
    return make_maps(16, 12, "float32", "NCHW", batch=lock.INSTANCES, joints=2)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name.replace(" ", "_"))
@pytest.mark.parametrize("wrong", [0.999, np.nan])
def test_wrong_result(op: Op, wrong: float) -> None:
    def exact(preset: Preset, maps: Maps) -> tuple[Any, ...]:
        *others, last = op.exact(preset, maps)
        return *others, np.asarray(last) * wrong

    lock.check_op(op, KL, _maps())
    with pytest.raises(pytest.fail.Exception, match="nothing is timed"):
        lock.check_op(op._replace(exact=exact), KL, _maps())


def test_a_coordinate_on_the_edge_of_a_box() -> None:
    """Rounding decides which box it is in, and so only the other joint's mass counts."""
    coords = torch.tensor([[[5.499998, 3.0], [7.2, 3.0]]])
    expected = (coords.numpy(), np.array([[0.8, 0.9]]))
    lock.agree("it", (coords, torch.tensor([[0.9, 0.9]])), expected, box=1)
    with pytest.raises(pytest.fail.Exception, match="result 1"):
        lock.agree("it", (coords, torch.tensor([[0.8, 0.8]])), expected, box=1)


def test_no_kernels() -> None:
    with (
        hk.use_backend("reference"),
        pytest.raises(pytest.fail.Exception, match="nothing to time"),
    ):
        lock.check_op(OPS[0], KL, _maps())
