"""Runs a command within a time limit; each line that it prints is shown and filed at once."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import IO

GRACE = 15
"""Seconds in which an interrupted command may still say what it has; then it is killed."""

_terminal = Lock()
_running: set[int] = set()


def say(line: str) -> None:
    """Prints a whole line, whatever else prints at the time."""
    with _terminal:
        print(line, flush=True)


def run(
    command: Sequence[object],
    log: Path,
    seconds: float,
    *,
    cwd: Path,
    env: Mapping[str, str],
) -> int | None:
    """The exit status; None where the limit ended the command and all that it had started."""
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        # A job in the background has the interrupt ignored, and its commands would inherit it.
        preexec_fn=_heed_interrupts,
    )
    reader = Thread(target=_tee, args=(process.stdout, log), daemon=True)
    reader.start()
    _running.add(process.pid)
    try:
        return process.wait(max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        _signal(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        return None
    finally:
        # Whatever it has left behind would hold the pipe open; what left its session still may.
        _signal(process.pid, signal.SIGKILL)
        process.wait()
        _running.discard(process.pid)
        reader.join(3)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stop_all() -> None:
    """Kills every command that runs, which would outlive this process in a session of its own."""
    for group in tuple(_running):
        _signal(group, signal.SIGKILL)


def _tee(source: IO[str], log: Path) -> None:
    with source, log.open("a") as file:
        for line in source:
            file.write(line)
            file.flush()
            say(line.rstrip("\n"))


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
