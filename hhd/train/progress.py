"""A progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def step_progress(
    console: Console, name: str, steps: int, done: int
) -> Iterator[Callable[[int, str], None]]:
    """``with step_progress(console, "student", 100, 0) as show: show(step, "loss 1.2")``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    last_line = time.monotonic()
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as bar:
        task = bar.add_task(name, total=steps, completed=done, text="")

        def show(step: int, text: str) -> None:
            nonlocal last_line
            bar.update(task, completed=step, text=text)
            now = time.monotonic()
            if not console.is_terminal and now - last_line > SECONDS_BETWEEN_LINES:
                last_line = now
                console.print(f"{name}  step {step}/{steps}  {text}", highlight=False)

        yield show
