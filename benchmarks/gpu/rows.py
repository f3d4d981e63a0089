"""Rows as they come: a line on the terminal and one in a file of JSON lines, at once."""

import json
from pathlib import Path

from benchmarks.report import Row

COLUMNS = {
    "preset": (9, ""),
    "dtype": (8, ""),
    "layout": (13, ""),
    "op": (34, ""),
    "by": (24, ""),
    "host us": (9, ".1f"),
    "step us": (9, ".1f"),
    "graph us": (9, ".1f"),
    "predicted": (14, ""),
    "x fused": (7, ".2f"),
    "GB/s": (6, ".0f"),
    "copy share": (10, ".0%"),
    "launches": (8, ""),
    "peak MiB": (9, ".1f"),
}
"""Width and format of each; words lie left, numbers right."""


class Rows:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.title = ""
        path.parent.mkdir(parents=True, exist_ok=True)

    def record(self, row: Row) -> None:
        """A line of the file alone."""
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def add(self, title: str, row: Row) -> None:
        self.record({"benchmark": title, **row})
        if title != self.title:
            self.title = title
            print(f"\n{title}\n{self._line({name: name for name in COLUMNS})}", flush=True)
        cells = {name: format(row[name], how) for name, (_, how) in COLUMNS.items() if name in row}
        print(self._line(cells), flush=True)

    @staticmethod
    def _line(cells: Row) -> str:
        """What a row lacks is a dash."""
        return "  ".join(
            format(cells.get(name, "-"), f"{'>' if how or name == 'launches' else '<'}{width}")
            for name, (width, how) in COLUMNS.items()
        ).rstrip()
