"""The executor itself, on kernels whose answers, bugs and traffic are known."""

import re

import numpy as np
import pytest

from executor import build
from executor.library import ORDERS, PLANTS, WRONGS, ExecutorError, Library, Site
from sanitize.memory import Array
from sanitize.process import Process

FINDINGS = {
    "early return": r"1 threads have returned \(3\)",
    "divergent barriers": "threads are at different barriers",
    "absent lanes": "threads wait for others that never come",
    "foreign lane": "asks lane 16, not in the mask",
    "other mask": "threads wait for others that never come",
    "copy not awaited": "returned with copies under way",
    "write race": "race in shared memory",
    "read race": "race in shared memory",
    "blocks race": "race in out",
    "past the load": "global memory is touched at selftest.cu:[0-9]+ without load",
    "input written": "to the input x",
    "misaligned": "misaligned load of 8 bytes",
    "beyond shared": "byte [0-9]+ of 256 of shared memory is touched",
}


def numbers(count: int) -> Array:
    return Array.of(np.arange(count) % 7, "float32")


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_right_kernels_are_right(library: Library, order: tuple[int, int]) -> None:
    library.order(*order)
    x, out = numbers(3 * 100), Array((3,))
    library.selftest("sums", x, out, 3, 100, 96)
    np.testing.assert_array_equal(out.stored, x.stored.reshape(3, 100).sum(1))
    x, out = numbers(64), Array((64,))
    library.selftest("turned", x, out, 1, 0)
    np.testing.assert_array_equal(out.stored.reshape(2, 32), x.stored.reshape(2, 32)[:, ::-1])


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("what", FINDINGS)
def test_wrong_kernels_are_found(library: Library, what: str, order: tuple[int, int]) -> None:
    library.order(*order)
    with pytest.raises(ExecutorError) as error:
        library.selftest("wrong", numbers(64), Array((64,)), 2, WRONGS.index(what))
    assert re.search(FINDINGS[what], str(error.value))
    # The next launch is none the worse for it.
    test_right_kernels_are_right(library, order)


def test_unwritten_shared_memory_is_nan(library: Library) -> None:
    out = Array((64,))
    library.selftest("wrong", numbers(64), out, 1, WRONGS.index("uninitialised"))
    assert np.isnan(out.stored).all()


@pytest.mark.parametrize(
    ("kernel", "kind", "bug", "finding"),
    [
        ("sums", "barrier", "barrier skipped", "race in shared memory"),
        ("turned", "warp barrier", "barrier skipped", "race in shared memory"),
        ("sums", "shuffle", "lane forgotten", "not in"),
        ("sums", "load", "read beyond", "outside every array"),
    ],
)
def test_planted_bugs_are_found(
    library: Library, kernel: str, kind: str, bug: str, finding: str
) -> None:
    (site,) = sites(library, kernel, kind)
    library.plant(bug, site)
    with pytest.raises(ExecutorError) as error:
        library.selftest(kernel, numbers(64), Array((64,)), 1, 64)
    assert finding in str(error.value)


def test_a_dropped_store_leaves_the_poison(library: Library) -> None:
    (site,) = sites(library, "sums", "store")
    library.plant("store dropped", site)
    out = Array((1,))
    library.selftest("sums", numbers(64), out, 1, 64)
    assert np.isnan(out.stored[0])


def sites(library: Library, kernel: str, kind: str) -> list[Site]:
    """Where in `selftest.cu` a kernel does something of a kind."""
    library.sites()
    library.selftest(kernel, numbers(64), Array((64,)), 1, 64)
    return [site for site in library.sites() if site.kind == kind]


def test_sectors(library: Library) -> None:
    """64 floats are 8 sectors; at a step of 8 each float has its own; a step of 3 shares some."""
    library.traffic_only()
    for step, read in ((1, 8), (8, 64), (3, 24)):
        library.selftest("strided", numbers(64 * step), Array((64,)), 2, step, 32)
        (launch,) = library.traffic()
        assert (launch.kernel, launch.blocks, launch.threads) == ("strided", 2, 32)
        assert launch.arrays["x"] == (read, read, 0, 0)
        assert launch.arrays["out"] == (0, 0, 8, 8)


def test_requested_sectors_count_every_warp(library: Library) -> None:
    """Eight lanes of a warp share a sector, so do two instructions of one lane: unique is less."""
    library.traffic_only()
    library.selftest("sums", numbers(128), Array((1,)), 1, 128, 32)
    library.selftest("strided", numbers(64), Array((64,)), 2, 0, 32)
    sums, strided = library.traffic()
    assert sums.arrays["x"] == (16, 16, 0, 0)
    assert strided.arrays["x"] == (1, 2, 0, 0)


SANITISED = """
import sys
from pathlib import Path
import numpy as np
from executor.library import WRONGS, Library
from sanitize.memory import Array
library = Library(Path(sys.argv[1]), watch=False)
library.selftest("wrong", Array.of(np.ones(64), "float32"), Array((64,)), 1, int(sys.argv[2]))
print("passed")
"""


def test_shared_memory_ends_where_it_ends(built: None) -> None:
    number = WRONGS.index("beyond shared")
    status, _, errors = Process("-c", SANITISED, build.SANITISED.library, str(number)).wait()
    assert status != 0
    assert "heap-buffer-overflow" in errors


def test_every_bug_has_a_test() -> None:
    assert set(FINDINGS) | {"uninitialised"} == set(WRONGS)
    assert len(PLANTS) == 6
