"""Lines for the terminal that hold what files spell."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from hhd.text import one_line

PLAIN_WIDTH = 160
"""Columns of a table that no terminal cuts."""


def say(console: Console, text: str) -> None:
    """One line of plain text, whatever a file put into it; nothing if it is empty."""
    if text:
        console.print(one_line(text), highlight=False, markup=False, soft_wrap=True)


def show_table(console: Console, table: Table) -> None:
    """The table with its lines on a terminal, as plain columns where it is read by a program."""
    if console.is_terminal:
        console.print(table)
        return
    table.box = None
    Console(file=console.file, width=PLAIN_WIDTH, quiet=console.quiet).print(table)
