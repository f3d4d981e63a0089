"""Options and fixtures of the benchmarks; the options are explained in `__init__.py`."""

import argparse
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# The oracle, and the golden cases' inputs, are the tests'.
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks.report import Report  # noqa: E402
from benchmarks.settings import Settings  # noqa: E402

REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hhd benchmarks")
    group.addoption("--bench-rounds", type=_positive, default=10, help="rounds of every benchmark")
    group.addoption(
        "--bench-loop-rounds", type=_positive, default=2, help="rounds of the looped contestants"
    )
    group.addoption(
        "--bench-cold-mb",
        type=_positive,
        default=512,
        help="MiB of inputs that cold calls rotate over",
    )
    group.addoption(
        "--bench-json", type=Path, default=ROOT / "build" / "benchmarks.json", help="results file"
    )
    group.addoption(
        "--assert-targets", action="store_true", help="fail where a speed target is missed"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()
    # What torch.compile logs while it traces would bury a failure's message.
    config.option.showcapture = "no"
    if config.option.benchmark_columns is None:
        config.option.benchmark_columns = ["median", "iqr", "rounds"]


@pytest.fixture(scope="session")
def settings(pytestconfig: pytest.Config) -> Settings:
    return _settings(pytestconfig)


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    return pytestconfig.stash[REPORT]


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden vectors; skips where it is absent."""
    folder = Path(os.environ.get("HHD_SHARED", ROOT.parent / "shared")) / "golden"
    if not folder.is_dir():
        pytest.skip(f"golden vectors are absent: no folder {folder} (set HHD_SHARED)")
    return folder


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    report = config.stash[REPORT]
    if not report.tables:
        return
    for line in report.lines():
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"\nwritten to {report.write(_settings(config))}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _settings(config: pytest.Config) -> Settings:
    option = config.getoption
    return Settings(
        rounds=option("--bench-rounds"),
        loop_rounds=option("--bench-loop-rounds"),
        cold_mib=option("--bench-cold-mb"),
        json=option("--bench-json"),
        assert_targets=option("--assert-targets"),
    )
