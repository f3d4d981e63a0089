"""The CPU kernels' cost in instructions, which no other process's load changes."""

from pathlib import Path

import pytest

from instructions import library
from instructions.count import count, read
from instructions.paths import PATHS
from sanitize.build import ALL_SETS, runs_here


@pytest.fixture(scope="module")
def counting() -> Path:
    if reason := library.why_not():
        pytest.skip(reason)
    if (ours := library.compiler()) != (theirs := read()["compiler"]):
        pytest.skip(f"the budgets are of {theirs}, this is {ours}")
    return library.build()


@pytest.mark.parametrize("name", ALL_SETS)
def test_no_path_takes_more_instructions_than_its_budget(counting: Path, name: str) -> None:
    if not runs_here(name):
        pytest.skip(f"this machine has no {name}")
    budgets, found = read()[name], count(counting, name)
    assert list(budgets) == list(PATHS), "python -m instructions.count --write"
    over = {
        path: f"{n} instructions, budget {budgets[path]}"
        for path, n in found.items()
        if n > budgets[path]
    }
    assert not over
