"""A pytest plugin: every test's outcome, and what a failed one says, in a file at once.

HHD_TEST_OUTCOMES names it. pytest itself tells failures at its end, which a limit may forestall.
"""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Under pytest-xdist the workers' reports come to the process that started them.
    if not hasattr(config, "workerinput") and (path := os.environ.get("HHD_TEST_OUTCOMES")):
        config.pluginmanager.register(Writer(path))


class Writer:
    def __init__(self, path: str) -> None:
        self.path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        with open(self.path, "a") as file:
            file.write(f"{report.outcome} {report.duration:.2f} s {report.nodeid}\n")
            if report.failed:
                file.write(f"{report.longreprtext}\n")
