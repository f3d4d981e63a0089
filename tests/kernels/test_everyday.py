"""What small cases have nothing like, on every backend."""

import pytest

from kernels.everyday import CASES

FUSED_ALONE = ("scaled_by_one",)
"""Ops that the reference has none of."""


@pytest.mark.parametrize("case", CASES)
def test_everyday(backend: str, case: str) -> None:
    if backend == "reference" and case in FUSED_ALONE:
        pytest.skip("the reference scales by autograd itself")
    CASES[case](backend)
