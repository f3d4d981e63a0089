"""The build tools that tests call: those beside this Python first."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def find(name: str) -> str | None:
    """Where a tool is; None where it is absent."""
    return shutil.which(name, path=PATH)


def run(*command: object) -> str:
    """What a tool printed; RuntimeError with all of its output where it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(done.args)}\n{done.stdout}{done.stderr}")
    return done.stdout
