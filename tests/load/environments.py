"""`make load-test`: the one libhhd_kernels.so in three torches: CPU-only, CUDA and the oldest.

The CPU-only one is the development environment's, where that is one; the others lie in environments
of their own. What pip is configured with decides where the wheels come from; the CUDA builds take
gigabytes. The environments stay in build/load-test, so that a second run takes a minute.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "load-test"
CUDA, OLDEST = "torch==2.14.1", "torch==2.10.0"
NEEDS = ("numpy", "pytest", "hypothesis")
TESTS = ("test_parity.py", "test_contract_determinism.py", "test_contract_autograd.py")
ASK = """
import json, torch
from hhd_kernels import _library
print(json.dumps([torch.__version__, torch.version.cuda, _library.ERROR,
                  _library.has_kernels("CPU"), _library.has_kernels("CUDA")]))
"""


class Row(NamedTuple):
    environment: str
    torch: str
    cuda: str
    loads: str
    kernels: str
    tests: str
    right: bool


def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)


def pins(*packages: str) -> list[str]:
    """Requirements of packages in the versions of the development environment."""
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    return [line for line in lines if line.split("==")[0] in packages]


def environment(name: str, requirement: str) -> Path | str:
    """The environment's Python, made if need be; or why there is none."""
    folder = FOLDER / name.lower()
    python, ready = folder / "bin" / "python", folder / ".ready"
    if ready.is_file() and ready.read_text() == requirement:
        return python
    print(f"installing {requirement} into {folder} ...", flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", folder],
        [python, "-m", "pip", "install", "--quiet", requirement, *pins(*NEEDS)],
    ):
        done = run(command)
        if done.returncode:
            return f"{requirement} is not installed: {done.stderr.strip().splitlines()[-1]}"
    ready.write_text(requirement)
    return python


def cpu_only() -> Path | str:
    """A Python whose torch is CPU-only, or why there is none; this one, if it is."""
    if torch.version.cuda is None and torch.version.hip is None:
        return Path(sys.executable)
    (pin,) = pins("torch")
    python = environment("CPU-only", f"{pin}+cpu")
    if isinstance(python, str):
        return f"{python} (PyTorch's own index has it: set PIP_EXTRA_INDEX_URL)"
    return python


def check(name: str, python: Path | str) -> Row:
    """Load the library into one torch and run the CPU ops there, forward and backward."""
    if isinstance(python, str):
        return Row(name, "-", "-", python, "-", "-", False)
    asked = run([python, "-c", ASK])
    if asked.returncode:
        return Row(name, "-", "-", asked.stderr.strip().splitlines()[-1], "-", "-", False)
    version, cuda, error, cpu, gpu = json.loads(asked.stdout.splitlines()[-1])
    kernels = " ".join(key for key, there in (("CPU", cpu), ("CUDA", gpu)) if there)
    start = time.monotonic()
    tests = [ROOT / "tests" / "kernels" / test for test in TESTS]
    tested = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cpu", *tests])
    counted = re.findall(r"\d+ (?:passed|failed|errors?)", tested.stdout.strip().splitlines()[-1])
    if tested.returncode:
        print(tested.stdout + tested.stderr)
    return Row(
        name,
        version,
        cuda or "none",
        "yes" if error is None else error,
        kernels or "none",
        f"{', '.join(counted)} in {time.monotonic() - start:.0f} s",
        error is None and kernels == "CPU CUDA" and tested.returncode == 0,
    )


def main() -> int:
    rows = [
        check("CPU-only", cpu_only()),
        check("CUDA", environment("CUDA", CUDA)),
        check("oldest", environment("oldest", OLDEST)),
    ]
    size = (ROOT / "hhd_kernels" / "libhhd_kernels.so").stat().st_size
    table = [("environment", "torch", "its CUDA", "loads", "kernels", "CPU ops"), *rows]
    widths = [max(len(str(row[i])) for row in table) for i in range(6)]
    print(f"libhhd_kernels.so, {size / 2**20:.1f} MiB")
    for row in table:
        print("  ".join(str(row[i]).ljust(width) for i, width in enumerate(widths)).rstrip())
    return 0 if all(row.right for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
