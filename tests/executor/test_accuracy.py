"""The CUDA kernels within the error budgets, by the tests that the other backends pass.

Their bodies are called with cases of our own: threads are slow here.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import hhd_kernels as hk
from executor.calls import SMALL
from executor.library import LIMIT, RANDOM, Library
from executor.pairwise import pairwise
from executor.torch_ops import installed
from kernels import (
    test_contract_edges,
    test_crop,
    test_hhd_loss,
    test_joint_loss,
    test_locate_student,
    test_locate_teacher,
    test_normalize,
    test_soft_argmax,
    test_teacher_targets,
)
from kernels.samples import (
    BORDERS,
    COORDINATE_LOSSES,
    DTYPES,
    FLOORS,
    HHD_FORMS,
    KINDS,
    LAYOUTS,
    MIXTURES,
    SAMPLINGS,
    loss_setup,
)

# One pixel, one row, whole vectors, ragged ones, more joints than one block takes at a time,
# several warps a map in every dtype.
SHAPES = [(1, 1, 1, 1), (2, 2, 1, 9), (1, 2, 16, 24), (2, 3, 9, 7), (1, 17, 6, 5), (1, 1, 41, 57)]
MAPS = {
    "shape": SHAPES,
    "layout": list(LAYOUTS),
    "seed": [0, 1],
    "limit": [LIMIT, SMALL],
}
WINDOWS = [(7, 7), (8, 8), (3, 16), (1, 2)]
STYLES = ["normal", "peaked", "ties", "zeros"]

CASES: dict[Any, dict[str, list[Any]]] = {
    test_normalize.test_any_map: {
        "style": STYLES,
        "kind": KINDS,
        "dtype": DTYPES,
        "eps": [1.0, 100.0],
    },
    test_soft_argmax.test_any_map: {
        "style": STYLES,
        "dtype": DTYPES,
        "window": [None, 1, 5, 41],
        "beta": [0.3, 10.0],
    },
    test_crop.test_any_window: {
        "window": WINDOWS,
        "sampling": SAMPLINGS,
        "border": BORDERS,
        "dtype": DTYPES,
        "center_dtype": [torch.float32, torch.float64],
    },
    test_teacher_targets.test_any_map: {
        "style": STYLES,
        "dtype": DTYPES,
        "window": WINDOWS,
        "kind": KINDS,
        "sampling": SAMPLINGS,
        "border": BORDERS,
        "floor": FLOORS,
    },
    test_locate_student.test_any_map: {
        "style": STYLES,
        "window": WINDOWS,
        "mixture": MIXTURES,
        "offset": [0.0, -2.0, -5.5],
        "mode": ["peak", "published", "debiased"],
    },
    test_hhd_loss.test_any_call: {
        "style": STYLES,
        "window": WINDOWS,
        "mixture": MIXTURES,
        "form": HHD_FORMS,
        "sampling": SAMPLINGS,
        "border": BORDERS,
        "weighted": [True, False],
        "beta": [1.0, 10.0],
    },
    test_joint_loss.test_any_call: {
        "style": STYLES[:3],
        "window": WINDOWS,
        "mixture": MIXTURES,
        "form": HHD_FORMS,
        "kind": COORDINATE_LOSSES,
        "reduction": ["mean", "official"],
        "weighted": [True, False],
        "own_weight": [True, False],
        "labelled": [True, False],
    },
}
PARAMETERS = [
    pytest.param(test, case, id=f"{test.__module__.removeprefix('kernels.test_')}-{n}")
    for test, options in CASES.items()
    for n, case in enumerate(pairwise(MAPS | options))
]


@pytest.fixture(scope="module", autouse=True)
def executor(loaded: Library) -> Iterator[None]:
    """The package's ops are the executor's."""
    with installed(loaded), hk.use_backend("cpu"):
        yield


@pytest.mark.parametrize(("test", "case"), PARAMETERS)
def test_any_call(library: Library, test: Any, case: dict[str, Any]) -> None:
    arguments = dict(case)
    library.limit = arguments.pop("limit")
    library.order(RANDOM, 1)
    test.hypothesis.inner_test("cpu", **arguments)


@pytest.mark.parametrize("limit", [LIMIT, SMALL])
@pytest.mark.parametrize("what", ["centers", "windows"])
@pytest.mark.parametrize("form", HHD_FORMS, ids="-".join)
def test_a_target_that_is_not_finite(
    library: Library, form: tuple[str, str, str], what: str, limit: int
) -> None:
    library.limit = limit
    library.reset_order()
    test_contract_edges.test_a_target_that_is_not_finite_is_nan("cpu", form, what, torch.inf)


@pytest.mark.parametrize("kind", COORDINATE_LOSSES)
def test_target_coords_that_are_not_finite(library: Library, kind: str) -> None:
    library.limit = LIMIT
    library.reset_order()
    test_contract_edges.test_target_coords_that_are_not_finite_are_nan("cpu", kind, torch.inf)


@pytest.mark.parametrize("mode", ["peak", "published", "debiased"])
def test_a_coordinate_that_is_not_finite(library: Library, mode: str) -> None:
    library.limit = LIMIT
    library.reset_order()
    test_locate_student.test_a_coordinate_that_is_not_finite_stays("cpu", torch.inf, mode)


def test_debiased_in_the_middle_of_the_map(library: Library) -> None:
    library.limit = LIMIT
    library.reset_order()
    test_locate_student.test_debiased_leaves_the_middle_of_the_map_alone("cpu", (16, 13))


@pytest.mark.parametrize(("kind", "scale"), test_normalize.EXTREMES)
def test_norms_whose_square_is_beyond_float32(library: Library, kind: str, scale: float) -> None:
    library.limit = LIMIT
    library.reset_order()
    test_normalize.test_norms_whose_square_is_beyond_float32("cpu", kind, scale)
    test_hhd_loss.test_norms_whose_square_is_beyond_float32("cpu", kind, scale)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("blur_kernel", [3, 17])
def test_dark(library: Library, blur_kernel: int, dtype: torch.dtype) -> None:
    test_locate_teacher.test_dark("cpu", blur_kernel, dtype)


WEIGHTS = {
    "whole": lambda w: w,
    "unaligned": lambda w: torch.cat([w.new_ones(1), w.flatten()])[1:].view_as(w),
    "expanded": lambda w: w[:1].expand_as(w),
    "transposed": lambda w: w.t().contiguous().t(),
}


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_more_joints_than_are_added_up_at_once(library: Library, weights: str, layout: str) -> None:
    library.limit = LIMIT
    library.order(RANDOM, 2)
    setup = loss_setup(0, (6, 100, 2, 3), (3, 2), layout=layout)
    assert setup.weight is not None
    test_joint_loss.check("cpu", setup._replace(weight=WEIGHTS[weights](setup.weight)))
