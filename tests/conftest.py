"""Shared by all tests: the import root for `oracle` and `kernels`, the golden vectors, the hook of
the support table.
"""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))

from support import pytest_runtest_makereport  # noqa: E402, F401


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden vectors; skips where it is absent."""
    shared = Path(os.environ.get("HHD_SHARED", TESTS.parent.parent / "shared"))
    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip(f"golden vectors are absent: no folder {folder} (set HHD_SHARED)")
    return folder
