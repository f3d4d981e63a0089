"""What small cases have nothing like, and the bugs that are found nowhere else."""

from collections.abc import Iterator

import pytest

import hhd_kernels as hk
from executor import build
from executor.bugs import BUGS
from executor.library import Library
from executor.torch_ops import installed
from kernels.everyday import CASES
from planted import Bug

UNWATCHED = ("far_apart",)
"""Cases in more memory than the executor keeps a history of."""


@pytest.fixture(scope="module")
def planted(built: None) -> Library:
    """The variant with every bug."""
    return Library(build.PLANTED.library)


@pytest.fixture
def unharmed(planted: Library) -> Iterator[Library]:
    """The same without one; it knows memory's bounds, and keeps no history of its bytes."""
    planted.find_races = False
    planted.reset_order()
    yield planted
    planted.choose(0)


def run(library: Library, case: str) -> None:
    with installed(library), hk.use_backend("cpu"):
        CASES[case]("cpu")


@pytest.mark.parametrize("case", CASES)
def test_right(unharmed: Library, case: str) -> None:
    run(unharmed, case)


@pytest.mark.parametrize("case", [case for case in CASES if case not in UNWATCHED])
def test_watched(library: Library, case: str) -> None:
    """Within bounds, in order, without races."""
    run(library, case)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_found(unharmed: Library, bug: Bug) -> None:
    unharmed.choose(BUGS.index(bug) + 1)
    with pytest.raises((AssertionError, RuntimeError)):
        run(unharmed, bug.found_by)
