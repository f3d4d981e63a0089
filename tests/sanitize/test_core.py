"""The torch-free kernels under the sanitizers, on every instruction set that runs here."""

import pytest

from sanitize import build
from sanitize.process import Process

CALL = """
import sys
from pathlib import Path
import numpy as np
from sanitize.calls import Kernels
from sanitize.memory import Array
kernels = Kernels(Path(sys.argv[1]))
kernels.normalize(Array.of(np.ones((1, 2, 3, 5)), "float32"), "l1", 1.0, 1e-6)
"""


@pytest.mark.parametrize("name", build.SETS)
def test_sweep(name: str, running: dict[str, Process]) -> None:
    """No finding, and the oracle's results, on the whole sweep."""
    assert running[name].must_pass().startswith(f"{name} hostile")


@pytest.mark.parametrize(
    ("bug", "finding"),
    [
        ("overrun", "heap-buffer-overflow"),
        ("overflow", "outside the range of representable values"),
        ("unwritten", "left output unwritten"),
    ],
)
def test_planted_bugs_are_seen(bug: str, finding: str, built: None) -> None:
    """A write past the end, undefined arithmetic and a missing write each end the process."""
    status, _, errors = Process("-c", CALL, build.PLANTED, HHD_PLANT=bug).wait()
    assert status != 0
    assert finding in errors


def test_without_a_bug_the_same_call_passes(built: None) -> None:
    Process("-c", CALL, build.PLANTED).must_pass()
