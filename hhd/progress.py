"""How far something is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hhd.console import say

SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def progress(
    console: Console, name: str, total: int, done: int = 0
) -> Iterator[Callable[[int, str], None]]:
    """``with progress(console, "student", 100) as show: show(3, "loss 1.2")``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    last_line = time.monotonic()
    hidden = not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task(name, total=total, completed=done, text="")

        def show(done: int, text: str) -> None:
            nonlocal last_line
            bar.update(task, completed=done, text=text)
            now = time.monotonic()
            if hidden and now - last_line > SECONDS_BETWEEN_LINES:
                last_line = now
                say(console, f"{name}  {done}/{total}  {text}")

        yield show


@contextmanager
def counting(console: Console, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """``with counting(console, "teach", 100, "persons") as advance: advance(3)``."""
    began = time.monotonic()
    done = 0
    with progress(console, name, total) as show:

        def advance(number: int) -> None:
            nonlocal done
            done += number
            show(done, f"{done / max(time.monotonic() - began, 1e-9):.3g} {unit}/s")

        yield advance
