"""compute-sanitizer watches every op: memory, races, uninitialised reads, barriers."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.samples import DEVICE

TESTS = Path(__file__).resolve().parents[1]
TOOLS = ["memcheck", "racecheck", "initcheck", "synccheck"] if DEVICE == "cuda" else ["no tool"]


def sanitizer() -> str | None:
    """The toolkit's compute-sanitizer, or the one of the package nvidia-cuda-sanitizer-api."""
    named = ["compute-sanitizer", "/usr/local/cuda/bin/compute-sanitizer"]
    packages = importlib.util.find_spec("nvidia")
    for folder in (packages and packages.submodule_search_locations) or ():
        named += map(str, Path(folder).glob("**/compute-sanitizer"))
    return next((path for name in named if (path := shutil.which(name))), None)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_op(tool: str) -> None:
    command = [sys.executable, "-m", "gpu.every_op"]
    if DEVICE == "cuda":
        if (program := sanitizer()) is None:
            pytest.skip("no compute-sanitizer (pip install nvidia-cuda-sanitizer-api)")
        command = [program, "--tool", tool, "--error-exitcode", "9", *command]
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    # Exactly sized allocations, so that a step past one is seen.
    env = {**os.environ, "PYTHONPATH": path, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
