"""The benchmarks' vectorised ops are ours in value and gradient; the report shows what is timed.

Where they were not, `python -m benchmarks.cliffs` would time something else than the op.
"""

import json
from dataclasses import asdict

import pytest
import torch

from benchmarks.cliffs import plots, tables
from benchmarks.cliffs.points import OPS, OTHERS, SECTIONS, Point, Work
from benchmarks.cliffs.run import LIMIT, agree
from benchmarks.cliffs.works import call_of

# Windows of most maps reach over a border.
SMALL = {"batch": 4, "joints": 5, "height": 12, "width": 9}
CASES = [(op, backward) for op, there in OPS.items() for backward in (False, True)[: 1 + there]]


@pytest.mark.parametrize(("op", "backward"), [("joint", True), *CASES])
def test_eager_is_ours(op, backward):
    works = {by: Work(op=op, by=by, backward=backward, **SMALL) for by in ("ours", "eager")}
    agree(Point("ops", op, works), {by: list(call_of(work)()) for by, work in works.items()})


@pytest.mark.parametrize("by", OTHERS)
def test_a_package_is_asked_for_the_same(by):
    pytest.importorskip(by)
    works = {name: Work(op="soft_argmax", by=name, **SMALL) for name in ("ours", by)}
    agree(Point("ops", by, works), {name: list(call_of(work)()) for name, work in works.items()})


def test_what_differs_is_not_timed():
    values = torch.ones(3)
    for wrong in (values * (1 + 2 * LIMIT), values * torch.nan):
        with pytest.raises(RuntimeError, match="eager and ours differ: result 0"):
            agree(Point("ops", "l2", {}), {"ours": [values], "eager": [wrong]})
    with pytest.raises(RuntimeError, match="has 0 results, not 1"):
        agree(Point("ops", "l2", {}), {"ours": [values], "eager": []})


def test_plots_and_tables(tmp_path):
    """Of made-up times: every contestant takes a microsecond."""
    points = [
        {
            "section": point.section,
            "name": point.name,
            "contestants": {
                name: {"work": asdict(work), "cpu": [1e-6] * 3, "wall": [2e-6] * 3}
                for name, work in point.works.items()
            },
        }
        for section in SECTIONS.values()
        for point in section()
    ]
    environment = {"cpu": "a machine", "instruction set": "avx2", "threads": 1, "torch": "2"}
    content = json.loads(json.dumps({"environment": environment, "points": points}))
    files = plots.draw(content, tmp_path)
    assert [file.name for file in files] == ["cliffs-sizes.svg", "cliffs-counts.svg"]
    assert all("<svg" in file.read_text() for file in files)
    text = "\n".join(tables.lines(content))
    assert "a machine (avx2), 1 thread, torch 2, CPU time" in text
    assert "| 17 | 0.06 | 1.00x | 1.00x | 1.00x |" in text
    # Eager has a limit.
    assert "| 100000 | 0.00 | 1.00x | - | - |" in text
    assert "| soft_argmax + backward | 0.00 | 1.00x" in text
