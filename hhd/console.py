"""Lines for the terminal that hold what files spell."""

from __future__ import annotations

from rich.console import Console

from hhd.text import one_line


def say(console: Console, text: str) -> None:
    """One line of plain text, whatever a file put into it; nothing if it is empty."""
    if text:
        console.print(one_line(text), highlight=False, markup=False, soft_wrap=True)
