"""The sanitised sweep: no finding, the oracle's results, and every line of the sources run."""

from executor import coverage
from executor.build import KERNELS
from sanitize.process import Process


def test_sweep(sweep: Process) -> None:
    """In three thread orders with equal bits, against the oracle."""
    assert sweep.must_pass().startswith("hostile")


def test_every_line_was_run(sweep: Process) -> None:
    sweep.must_pass()
    sources = {path.name for path in coverage.counts()}
    assert {path.name for path in KERNELS if path.parent.name == "cuda"} <= sources
    assert coverage.missing() == []
