"""`make load-test`: the one libhhd_kernels.so in three torches: CPU-only, CUDA and the oldest.

The CPU-only one is the development environment's, where that is one; the others lie in environments
of their own. What pip is configured with decides where the wheels come from; the CUDA builds take
gigabytes. The environments stay in build/load-test, so that a second run takes a minute.

The library was built against the development environment's headers; whether it can be built against
the oldest torch's is looked at too, in all sources that include them.
"""

import json
import re
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import commands  # noqa: E402
from load import names  # noqa: E402

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
    files = [ROOT / "requirements.txt", ROOT / "requirements-dev.txt"]
    lines = [line for file in files for line in file.read_text().splitlines()]
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


def build_errors(python: Path | str) -> list[str]:
    """What stops a build, CUDA kernels included, against one torch's headers."""
    if isinstance(python, str):
        return [python]
    build = FOLDER / "headers"
    try:
        commands.run(
            *("cmake", "-S", ROOT, "-B", build, "-G", "Ninja"),
            *("-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DHHD_HOST=OFF"),
            *(f"-DPython_EXECUTABLE={python}", *cuda_options()),
        )
    except RuntimeError as error:
        return [str(error)]
    torch_facing = {str(path) for path in names.sources()}
    errors = []
    for entry in json.loads((build / "compile_commands.json").read_text()):
        if entry["file"] in torch_facing:
            command = f"{entry['command']} -fsyntax-only"
            done = subprocess.run(
                command, shell=True, cwd=entry["directory"], capture_output=True, text=True
            )
            errors += [done.stderr] if done.returncode else []
    (include,) = python.parents[1].glob("lib/python*/site-packages/torch/include")
    if names.names_of(include) != names.listed():
        errors.append(f"{names.LIST.name} is not what {names.__name__} writes of {include}")
    return errors


def cuda_options() -> list[str]:
    """CMake's options for the nvcc that setup.py finds."""
    return runpy.run_path(str(ROOT / "setup.py"))["cuda_options"]()


def main() -> int:
    oldest = environment("oldest", OLDEST)
    errors = build_errors(oldest)
    print(*errors, sep="\n", end="")
    print(f"against {OLDEST}'s headers: {'does not compile' if errors else 'compiles'}")
    rows = [
        check("CPU-only", cpu_only()),
        check("CUDA", environment("CUDA", CUDA)),
        check("oldest", oldest),
    ]
    size = (ROOT / "hhd_kernels" / "libhhd_kernels.so").stat().st_size
    table = [("environment", "torch", "its CUDA", "loads", "kernels", "CPU ops"), *rows]
    widths = [max(len(str(row[i])) for row in table) for i in range(6)]
    print(f"libhhd_kernels.so, {size / 2**20:.1f} MiB")
    for row in table:
        print("  ".join(str(row[i]).ljust(width) for i, width in enumerate(widths)).rstrip())
    return 0 if not errors and all(row.right for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
