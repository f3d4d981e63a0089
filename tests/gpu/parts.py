"""A pytest plugin: a part of the tests, and each one's outcome in a file as soon as it is known.

HHD_TEST_PART=2/8 takes every eighth test from the third on, so that eight processes share them all
and nothing but pytest is needed. HHD_TEST_OUTCOMES names the file; a failure's text goes there too,
which pytest itself tells at its end, where a time limit may forestall it.
"""

import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    index, count = map(int, os.environ.get("HHD_TEST_PART", "0/1").split("/"))
    others = [item for place, item in enumerate(items) if place % count != index]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = items[index::count]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call" and report.passed:
        return
    text = f"{report.outcome} {report.duration:.2f} s {report.nodeid}\n"
    if report.failed:
        text += f"{report.longreprtext}\n"
    # One write, as the parts share the file.
    with open(os.environ["HHD_TEST_OUTCOMES"], "a") as file:
        file.write(text)
