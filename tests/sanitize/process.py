"""Processes with the sanitizers' runtime preloaded."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sanitize import build

_READERS = ThreadPoolExecutor(8)  # a full pipe would halt its process
TESTS = build.ROOT / "tests"
# Wide guards, since a kernel may miss by whole rows; fresh memory is NaN, so that reading it shows.
ASAN = "detect_leaks=0:redzone=512:malloc_fill_byte=255:max_malloc_fill_size=268435456"


class Process:
    """A Python process under the sanitizers, running beside the test until it is asked for."""

    def __init__(self, *arguments: str | Path, path: Path = TESTS, **environment: str) -> None:
        preload = [build.runtime(name) for name in ("libasan.so", "libstdc++.so")]
        self._process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=TESTS,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "ASAN_OPTIONS": ASAN,
                "UBSAN_OPTIONS": "print_stacktrace=1",
                "LD_PRELOAD": " ".join(map(str, preload)),
                "PYTHONPATH": str(path),
                "OMP_NUM_THREADS": "2",
                **environment,
            },
        )
        self._texts = _READERS.submit(self._process.communicate)

    def wait(self) -> tuple[int, str, str]:
        """Its exit status, its last line of output and the head of what it complained about."""
        output, errors = self._texts.result(timeout=600)
        lines = output.splitlines()
        return self._process.returncode, lines[-1] if lines else "", errors[:3000]

    def must_pass(self) -> str:
        """The last line of output; a failed assertion if the process failed."""
        status, last, errors = self.wait()
        assert status == 0, f"after {last!r}:\n{errors}"
        return last

    def stop(self) -> None:
        """End it, if a test has not waited for it."""
        self._process.kill()
        self._texts.result()
