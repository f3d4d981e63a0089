"""The compiled backends, chosen while a test runs."""

from collections.abc import Iterator

import pytest

import hhd_kernels as hk
from gpu.machine import BACKENDS


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with hk.use_backend(request.param):
        yield request.param
