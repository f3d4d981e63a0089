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
    HHD_FORMS,
    KINDS,
    LAYOUTS,
    MIXTURES,
    SAMPLINGS,
)

# One pixel, one row, whole vectors, ragged ones, more joints than one block takes at a time.
SHAPES = [(1, 1, 1, 1), (2, 2, 1, 9), (1, 2, 16, 24), (2, 3, 9, 7), (1, 17, 6, 5)]
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


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("blur_kernel", [3, 17])
def test_dark(library: Library, blur_kernel: int, dtype: torch.dtype) -> None:
    test_locate_teacher.test_dark("cpu", blur_kernel, dtype)
