"""Shared by all tests: where `oracle` and `kernels` are imported from, one hypothesis profile, the
golden vectors, the hook of the support table.
"""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))

from support import pytest_runtest_makereport  # noqa: E402, F401

# Here, as a test takes its profile when its module is imported, whoever imports it.
settings.register_profile(
    "fixed",
    # The interpreter takes milliseconds a program.
    max_examples=4 if os.environ.get("TRITON_INTERPRET") == "1" else 50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden vectors; skips where it is absent."""
    shared = Path(os.environ.get("HHD_SHARED", TESTS.parent.parent / "shared"))
    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip(f"golden vectors are absent: no folder {folder} (set HHD_SHARED)")
    return folder
