"""Instructions of the CPU kernels' main paths: `python -m instructions.count` in tests/.

Each instruction set is counted in a process of its own; `--write` makes the budgets anew.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

from instructions import library
from instructions.paths import PATHS, instructions
from sanitize.build import ALL_SETS, runs_here

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).resolve().parents[1] / "instruction_budgets.toml"
TESTS = FILE.parent


def read() -> dict[str, dict[str, int]]:
    """Budgets by instruction set and path; `compiler` says what they are of."""
    budgets: dict[str, dict[str, int]] = tomllib.loads(FILE.read_text())
    return budgets


def count(path: Path, name: str) -> dict[str, int]:
    """Instructions of a call by path, of one instruction set."""
    script = f"from instructions.count import report; report({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HHD_CPU_CAPABILITY": name, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def report(path: str) -> None:
    """Print the counts of this process's instruction set."""
    kernels = ctypes.CDLL(path)
    kernels.hhd_units.restype = kernels.hhd_instructions.restype = ctypes.c_int64
    print(json.dumps({name: instructions(kernels, make()) for name, make in PATHS.items()}))


def write(found: dict[str, dict[str, int]]) -> None:
    """Replace the budgets."""
    lines = [f'compiler = "{library.compiler()}"']
    for name, counts in found.items():
        lines += ["", f"[{name}]", *(f'"{path}" = {n}' for path, n in counts.items())]
    FILE.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="make these the budgets")
    arguments = parser.parse_args()
    if reason := library.why_not():
        sys.exit(reason)
    path = library.build()
    found = {name: count(path, name) for name in ALL_SETS if runs_here(name)}
    names = list(found)
    print(f"{'instructions, ' + library.compiler():42}" + "".join(f"{n:>10}" for n in names))
    for path_name in PATHS:
        print(f"{path_name:42}" + "".join(f"{found[name][path_name]:10}" for name in names))
    if arguments.write:
        write(found)


if __name__ == "__main__":
    main()
