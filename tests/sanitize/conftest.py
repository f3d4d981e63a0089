"""Builds once, and starts the long processes side by side."""

from collections.abc import Iterator

import pytest

from sanitize import build
from sanitize.process import Process


@pytest.fixture(scope="session")
def built() -> None:
    """The sanitised libraries; skips where there can be none."""
    if reason := build.why_not():
        pytest.skip(reason)
    build.build()


@pytest.fixture(scope="session")
def running(built: None) -> Iterator[dict[str, Process]]:
    """The sweep of each instruction set, and the torch layer's turn."""
    processes = {
        name: Process("-m", "sanitize.sweep", build.CORE, HHD_CPU_CAPABILITY=name)
        for name in build.SETS
    }
    processes["torch"] = Process("-m", "sanitize.torch_layer", path=build.PACKAGE)
    yield processes
    for process in processes.values():
        process.stop()
