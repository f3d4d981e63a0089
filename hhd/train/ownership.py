"""One run owns its folder, and a signal to end is answered between two steps or batches.

A handler that raises would do so anywhere, in the hooks of a fork too, where Python throws an
exception away; so it only takes note.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from hhd.files import make_folder

LOCK = "run.lock"


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Make the folder and own it; ``ValueError`` names the process that does already.

    A record lock: the system lets go of it with the process, however that ends, and a data worker
    that outlives it does not hold it.
    """
    make_folder(folder, "output")
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise ValueError(
                f"{folder} belongs to a run that is going on ({file.read(200) or 'unknown'}): "
                "choose another output"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%F %T}")
        file.flush()
        yield


class Terminated(KeyboardInterrupt):
    """A run that SIGTERM ended; ``status`` is what the shell expects of the process."""

    status = 128 + signal.SIGTERM


class Stop:
    """Whether the run is to end: asked between two steps, and between two batches of an evaluation.

    ``with Stop() as stop`` answers SIGTERM so; without ``with`` nobody ever asks.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> Stop:
        self._before = signal.signal(signal.SIGTERM, self._answer)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _answer(self, _signal: int, _frame: object) -> None:
        self.requested = True

    def check(self) -> None:
        """:class:`Terminated` if the run is to end."""
        if self.requested:
            self.end()

    def end(self) -> NoReturn:
        """:class:`Terminated`, which one of the run's processes was told."""
        raise Terminated
