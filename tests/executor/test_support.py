"""The CUDA column of the support table: every op x dtype x layout, on the executor."""

from collections.abc import Iterator

import pytest
import torch

import hhd_kernels as hk
import support
from executor.library import RANDOM, Library
from executor.torch_ops import installed
from kernels import test_parity
from kernels.samples import DTYPES, LAYOUTS


@pytest.fixture(scope="module", autouse=True)
def executor(loaded: Library) -> Iterator[None]:
    """The package's ops are the executor's."""
    with installed(loaded), hk.use_backend("cpu"):
        yield


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", test_parity.CHECKS)
def test_cell(library: Library, name: str, dtype: torch.dtype, layout: str) -> None:
    check, ops = test_parity.CHECKS[name]
    for op in ops:
        support.record(op, "cuda", dtype, layout, "executor")
    library.order(RANDOM, 1)
    check("cpu", dtype, layout)
