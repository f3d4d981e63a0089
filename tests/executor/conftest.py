"""Builds once; starts the sanitised sweep beside the tests."""

from collections.abc import Iterator

import pytest
import torch

from executor import build
from executor.library import Library
from sanitize.process import Process


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Eager PyTorch on maps this small only loses by threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def built() -> None:
    """Both variants; skips where there can be none."""
    if reason := build.why_not():
        pytest.skip(reason)
    build.build()


@pytest.fixture(scope="session")
def loaded(built: None) -> Library:
    """The watched variant, in this process."""
    return Library(build.WATCHED.library)


@pytest.fixture
def library(loaded: Library) -> Iterator[Library]:
    """The same as it was first: no bug planted, threads in forward order."""
    yield loaded
    loaded.reset()


@pytest.fixture(scope="session")
def sweep(built: None) -> Iterator[Process]:
    """Every op under the sanitizers; its end leaves gcov's counts."""
    build.forget_counts()
    process = Process("-m", "executor.sweep", build.SANITISED.library)
    yield process
    process.stop()
