"""Shared by all tests: the import root for `oracle` and `kernels`, and the golden vectors."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden vectors; skips where it is absent."""
    shared = Path(os.environ.get("HHD_SHARED", TESTS.parent.parent / "shared"))
    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip(f"golden vectors are absent: no folder {folder} (set HHD_SHARED)")
    return folder
