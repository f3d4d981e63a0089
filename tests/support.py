"""The support table, docs/support.md: op x backend x dtype x layout, each cell from tests that ran.

A test says what it is about to compare with the oracle, anywhere below it, as often as it likes:

    support.record("soft_argmax", "cuda", torch.bfloat16, "channels_last", how="executor")

op is a name of csrc/schema.cpp, backward ops included; backend one of `BACKENDS`; dtype the maps',
as a torch dtype or its name; layout one of `LAYOUTS`; how one of `HOW`. When the test has finished,
its cells are appended to build/support.jsonl, one JSON object a line:

    {"op": "soft_argmax", "backend": "cuda", "dtype": "bfloat16", "layout": "channels_last",
     "how": "executor", "test": "tests/executor/test_ops.py::test_parity[...]", "passed": true}

A later line about the same test and cell replaces an earlier one. A cell is supported if a test
passed there and none failed. A pytest in a process of its own under tests/ records by itself; for
any other child process the parent test says what it ran. `make support` starts from nothing, runs
the tests that record, and writes the table; `python tests/support.py` only writes it, and with
`--check` says whether it is what the tests showed.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "build" / "support.jsonl"
TABLE = ROOT / "docs" / "support.md"

BACKENDS = ("reference", "cpu", "cuda", "triton")
DTYPES = ("float32", "float16", "bfloat16", "float64")
LAYOUTS = {
    "contiguous": "C",
    "channels_last": "L",
    "sliced": "S",
    "transposed": "T",
    "expanded": "E",
}
HOW = {
    "native": "run on the CPU",
    "executor": "the device code, run on the CPU by the executor",
    "interpreter": "run on the CPU by Triton's interpreter",
    "gpu": "run on a GPU",
}


class Cell(NamedTuple):
    """One thing that works or does not."""

    op: str
    backend: str
    dtype: str
    layout: str
    how: str


_cells: set[Cell] = set()  # of the test that runs


def record(op: str, backend: str, dtype: Any, layout: str, how: str = "native") -> None:
    """Say that the running test compares this cell's results with the oracle's."""
    name = str(dtype).removeprefix("torch.")
    for value, known in ((backend, BACKENDS), (name, DTYPES), (layout, LAYOUTS), (how, HOW)):
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
    _cells.add(Cell(op, backend, name, layout, how))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[Any]:
    """Record what the test said once it has passed or failed."""
    report = yield
    if report.when == "setup":
        _cells.clear()
    elif report.when == "call" and _cells and not report.skipped:
        RECORDS.parent.mkdir(parents=True, exist_ok=True)
        with RECORDS.open("a") as file:
            for cell in sorted(_cells):
                line = {**cell._asdict(), "test": item.nodeid, "passed": report.passed}
                file.write(json.dumps(line) + "\n")
        _cells.clear()
    return report


def supported(lines: Iterable[str]) -> set[Cell]:
    """The cells where a test passed and none failed."""
    latest: dict[tuple[str, Cell], bool] = {}
    for line in lines:
        fields = json.loads(line)
        cell = Cell(*(fields[name] for name in Cell._fields))
        latest[fields["test"], cell] = fields["passed"]
    failed = {cell for (_, cell), passed in latest.items() if not passed}
    return {cell for _, cell in latest} - failed


def render(cells: set[Cell], ops: list[str]) -> str:
    """The table as Markdown, a section for each backend and way of running it."""
    letters = ", ".join(f"{letter} {layout}" for layout, letter in LAYOUTS.items())
    text = [
        "# What is supported",
        "",
        "Written by `make support` from the tests that compare each op with the float64 oracle. A",
        "letter is a layout of the maps whose tests ran and passed, a dot one that no test showed:",
        f"{letters}.",
    ]
    ways = sorted(
        {(BACKENDS.index(c.backend), c.backend, list(HOW).index(c.how), c.how) for c in cells}
    )
    for _, backend, _, how in ways:
        text += ["", f"## {backend}: {HOW[how]}", "", f"| op | {' | '.join(DTYPES)} |"]
        text += ["|---" * (1 + len(DTYPES)) + "|"]
        for op in ops:
            row = [
                "".join(
                    letter if Cell(op, backend, dtype, layout, how) in cells else "·"
                    for layout, letter in LAYOUTS.items()
                )
                for dtype in DTYPES
            ]
            text.append(f"| `{op}` | {' | '.join(row)} |")
    return "\n".join(text) + "\n"


def schema_ops() -> list[str]:
    """Every op's name, in the order of csrc/schema.cpp."""
    return re.findall(r'm\.def\(\s*"(\w+)\(', (ROOT / "csrc" / "schema.cpp").read_text())


def main(arguments: list[str]) -> None:
    """Write the table, or check it."""
    if not RECORDS.is_file():
        raise SystemExit(f"no tests have recorded anything yet: no {RECORDS}; run `make support`")
    with RECORDS.open() as lines:
        text = render(supported(lines), schema_ops())
    name = TABLE.relative_to(ROOT)
    if arguments != ["--check"]:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(text)
        print(f"wrote {name}")
    elif TABLE.read_text() != text:
        raise SystemExit(f"{name} is not what the tests showed; run `make support`")


if __name__ == "__main__":
    main(sys.argv[1:])
