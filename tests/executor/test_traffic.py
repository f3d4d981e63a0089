"""The traffic budget, counted: each map is read once and each gradient written once."""

import math
from collections.abc import Iterator

import pytest

from executor.library import Library
from executor.traffic import SECTOR, SETTINGS, WINDOW, Row, rows

# Of requested to unique sectors: a window's pixels are visited twice; see maps.cuh for the groups
# of joints that channels_last is taken in, which share the sectors at their edges.
RATIOS = {"contiguous": 1.15, "channels_last": 2.5}


@pytest.fixture(scope="module")
def table(loaded: Library) -> Iterator[list[Row]]:
    yield list(rows(loaded))
    loaded.reset()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_budget(table: list[Row], setting: tuple) -> None:
    found = [row for row in table if (row.dtype, row.layout, row.shape) == setting]
    assert found
    for row in found:
        what = row.op.name
        assert row.read + row.written == row.op.budget, what
        assert row.read <= max(1, row.op.budget - 1), what
        assert row.written <= 1, what
        assert row.ratio <= RATIOS[row.layout], what
        assert len(row.launches) == row.op.launches, what


def test_what_is_small_is_small(table: list[Row]) -> None:
    """Windows of float32 and a handful of numbers a joint, each in a sector of its own at worst."""
    for row in table:
        b, k = row.shape[:2]
        tensor = math.prod(row.shape) * row.dtype.itemsize / SECTOR
        a_joint = math.prod(WINDOW) * 4 / SECTOR + 16
        assert row.extra * tensor <= b * k * a_joint + 16, row.op.name
