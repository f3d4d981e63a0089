"""Each case is right without a bug, and finds its own."""

import os
import traceback

import pytest
import torch

import hhd_kernels as hk
from kernels.everyday import CASES
from planted import Bug
from triton_backend import bugs


@pytest.mark.parametrize("case", sorted({bug.found_by for bug in bugs.BUGS}))
def test_right(case: str) -> None:
    assert passes(case, 0)


@pytest.mark.parametrize("bug", bugs.BUGS, ids=lambda bug: bug.name)
def test_found(bug: Bug) -> None:
    assert not passes(bug.found_by, bugs.BUGS.index(bug) + 1)


def passes(case: str, bug: int) -> bool:
    """In a process of its own: a wrong address may end it."""
    torch.set_num_threads(1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            bugs.chosen = bug
            with hk.use_backend("triton"):
                CASES[case]("triton")
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0
