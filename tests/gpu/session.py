"""One run of first light: the machine's facts, the folder of results, commands within a limit."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpu import running

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"


class Session:
    """Everything is written as it comes: what a kill leaves in the folder is all that was known."""

    def __init__(self, out: Path, small: bool, limit: float) -> None:
        self.out = out.resolve()
        self.small = small
        self.limit = limit
        self.facts: dict[str, Any] = {}
        self._end = float("inf")
        self.out.mkdir(parents=True, exist_ok=True)

    @property
    def gpu(self) -> bool:
        return self.facts["gpu"] is not None

    @property
    def backend(self) -> str:
        """The one under test unless HHD_TEST_BACKENDS says otherwise: the CPU's in a rehearsal."""
        return "cuda" if self.gpu else "cpu"

    def say(self, line: str) -> None:
        running.say(line)
        with (self.out / "first_light.txt").open("a") as file:
            file.write(line + "\n")

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What runs inside shares these seconds; the last of them are for its end."""
        self._end = time.monotonic() + seconds - running.GRACE
        try:
            yield
        finally:
            self._end = float("inf")

    def left(self) -> float:
        """Seconds that a command may take now."""
        return self._end - time.monotonic()

    def run(self, *command: object, log: str, **env: str) -> int | None:
        """A command's exit status, None where the limit ended it; its output is in `log` too."""
        path = [str(ROOT), str(TESTS), os.environ.get("PYTHONPATH", "")]
        settings = {
            "HHD_TEST_BACKENDS": self.backend,
            "OMP_NUM_THREADS": "1",
            "TRITON_CACHE_DIR": str(ROOT / "build" / "triton"),
        }
        chosen = {
            **settings,
            **os.environ,
            "HHD_TEST_DEVICE": "cuda" if self.gpu else "cpu",
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **env,
        }
        return running.run(command, self.out / log, self.left(), cwd=ROOT, env=chosen)

    def python(self, *arguments: object, log: str, **env: str) -> int | None:
        return self.run(sys.executable, *arguments, log=log, **env)
