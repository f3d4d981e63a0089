"""Bugs in the Triton kernels themselves are found, in a process with Triton's interpreter."""

import pytest

from triton_backend.process import must_pass

pytest.importorskip("triton", reason="Triton is not installed")


def test_found() -> None:
    must_pass("triton_backend/with_bugs")
