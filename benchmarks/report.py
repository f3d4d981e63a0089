"""Collects rows during a session; prints them as tables and writes one JSON file at its end."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import environment
from benchmarks.interleave import Timing
from benchmarks.settings import Settings

Row = dict[str, Any]
Columns = dict[str, str]
"""Format of each printed field, by its name; rows may hold more for the JSON file."""


class Report:
    """Tables by title, in the order of their first row."""

    def __init__(self) -> None:
        self.tables: dict[str, tuple[Columns, list[Row]]] = {}

    def add(self, title: str, columns: Columns, rows: list[Row]) -> None:
        """Append rows to the table of that title."""
        self.tables.setdefault(title, (columns, []))[1].extend(rows)

    def lines(self) -> Iterator[str]:
        """All tables, aligned; what a row lacks is a dash."""
        for title, (columns, rows) in self.tables.items():
            cells = [list(columns)]
            cells += [
                [format(row[name], how) if name in row else "-" for name, how in columns.items()]
                for row in rows
            ]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            yield ""
            yield title
            for line in cells:
                first, *rest = map(str.rjust, line, widths)
                yield "  ".join((first.lstrip().ljust(widths[0]), *rest))

    def write(self, settings: Settings) -> Path:
        """All rows with environment and settings; returns where they are."""
        contents = {
            "environment": environment.collect(),
            "settings": {k: v for k, v in asdict(settings).items() if k != "json"},
            "results": [
                {"benchmark": title, **row}
                for title, (_, rows) in self.tables.items()
                for row in rows
            ],
        }
        settings.json.parent.mkdir(parents=True, exist_ok=True)
        settings.json.write_text(json.dumps(contents, indent=2) + "\n")
        return settings.json


def spread(timings: dict[str, Timing], state: str) -> dict[str, Any]:
    """Quartiles, the number of calls, and page faults per call in any state, by contestant."""
    return {
        name: {
            "quartiles_ms": timing.quartiles_ms(state),
            "calls": len(timing.calls(state)),
            "page_faults": median(timing.page_faults),
        }
        for name, timing in timings.items()
    }
