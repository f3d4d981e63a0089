"""Builds the CUDA device code for the executor, with the host compiler and ninja.

What is built stays in `build/executor`, so that only a change of the sources costs time again.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from executor.bugs import BUGS, CHOICE
from planted import plant

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "executor"
HERE = Path(__file__).parent
KERNELS = [*sorted((ROOT / "csrc" / "cuda").glob("*.cu")), HERE / "selftest.cu"]
COPY = FOLDER / "csrc"
"""The sources with the bugs of `bugs.py`."""
EXECUTOR = sorted(HERE.glob("*.cpp"))

_FLAGS = (
    "-std=c++17 -g1 -fPIC -fvisibility=hidden -fno-omit-frame-pointer -DHHD_EXECUTOR "
    f"-I{HERE.parent} -Wall -Wextra -Wno-psabi -Wno-unknown-pragmas"
)
_SANITIZERS = "-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all"
_PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


class Variant(NamedTuple):
    """One way to build: flags of the kernels, of the executor, and of the link."""

    name: str
    kernels: str
    executor: str
    link: str
    sources: list[Path] = KERNELS

    @property
    def library(self) -> Path:
        return FOLDER / f"lib{self.name}.so"

    @property
    def objects(self) -> Path:
        """Where the kernels' objects, and gcov's notes and counts, are."""
        return FOLDER / self.name


# The compiler reports every access of the kernels to `races.cpp`.
WATCHED = Variant("watched", "-O1 -fsanitize=thread", "-O2", "")
# Locals that nothing was written to hold a pattern, a NaN in every type. -Og compiles the fastest
# of what runs fast enough.
SANITISED = Variant(
    "sanitised",
    f"-Og {_SANITIZERS} --coverage -ftrivial-auto-var-init=pattern",
    f"-Og {_SANITIZERS}",
    f"{_SANITIZERS} --coverage",
)
# Every bug of `bugs.py` is in it, to be chosen at run time.
PLANTED = Variant(
    "planted",
    "-O1",
    "-O2",
    "",
    [COPY / path.relative_to(ROOT / "csrc") if path.parent != HERE else path for path in KERNELS],
)
VARIANTS = [WATCHED, SANITISED, PLANTED]


def why_not() -> str | None:
    """Why it cannot be built here; None where it can."""
    if not sys.platform.startswith("linux"):
        return "the executor's fibres and sanitizers need Linux"
    if shutil.which("ninja", path=_PATH) is None:
        return "no ninja"
    if shutil.which(_compiler(), path=_PATH) is None:
        return "no C++ compiler"
    return None


def _compiler() -> str:
    return os.environ.get("CXX") or "g++"


def compilers_own(tool: str) -> str:
    """The path of a tool that belongs to the compiler, such as gcov."""
    command = [_compiler(), f"-print-prog-name={tool}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _rules() -> str:
    lines = [
        "rule compile",
        f"  command = {_compiler()} {_FLAGS} $flags -MMD -MF $out.d -c -x c++ $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule link",
        f"  command = {_compiler()} -shared $flags $in -ldl -o $out",
    ]
    for variant in VARIANTS:
        objects = []
        for sources, flags in ((variant.sources, variant.kernels), (EXECUTOR, variant.executor)):
            for source in sources:
                objects.append(variant.objects / f"{source.name}.o")
                lines += [f"build {objects[-1]}: compile {source}", f"  flags = {flags}"]
        lines.append(f"build {variant.library}: link {' '.join(map(str, objects))}")
        lines.append(f"  flags = {variant.link}")
    return "\n".join(lines) + "\n"


def build() -> None:
    """Build all variants."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "build.ninja").write_text(_rules())
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # against a second run of the tests
        plant(BUGS, ROOT / "csrc" / "cuda", COPY / "cuda", CHOICE)
        plant([], ROOT / "csrc" / "core", COPY / "core", CHOICE)
        done = subprocess.run(
            ["ninja", "-C", FOLDER],
            env={**os.environ, "PATH": _PATH},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(f"{done.stdout}{done.stderr}")


def forget_counts() -> None:
    """Remove gcov's counts of earlier runs."""
    for path in SANITISED.objects.glob("*.gcda"):
        path.unlink()
