"""The backends under test."""

import os
from collections.abc import Iterator

import pytest

from kernels.samples import BACKENDS, DEVICE, INTERPRETED

if INTERPRETED:
    from triton_backend import interpreter

    interpreter.repair()

collect_ignore = [] if DEVICE == "cpu" else ["test_contract_instruction_sets.py"]

UNBUILT = pytest.mark.skip(reason="cpu: not built, as HHD_BUILD=skip asked")
CPU_ONLY = ("test_contract_opcheck.py", "test_contract_instruction_sets.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the CPU kernels only where leaving them out was a choice."""
    if os.environ.get("HHD_BUILD") != "skip":
        return
    for item in items:
        parameters = getattr(item, "callspec", None)
        if item.path.name in CPU_ONLY or (parameters and "cpu" in parameters.params.values()):
            item.add_marker(UNBUILT)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each backend in turn, chosen while the test runs; one that is not built is a failure."""
    import hhd_kernels as hk

    with hk.use_backend(request.param):
        yield request.param
