"""The package's own kernels, of every instruction set, behind functions that count instructions."""

import os
import platform
import sys
from pathlib import Path

import commands

ROOT = Path(__file__).resolve().parents[2]
CXX = os.environ.get("CXX", "c++")
SETS = ["portable", "avx2", "avx512"]


def why_not() -> str | None:
    """Why nothing can be counted here; None where it can."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return "instructions are counted by x86-64's trap flag, on Linux"
    absent = [name for name in ("cmake", "ninja", CXX) if commands.find(name) is None]
    return f"no {absent[0]}" if absent else None


def compiler() -> str:
    """What made the code: others make another."""
    kind = "clang" if "clang" in commands.run(CXX, "--version") else "gcc"
    return f"{kind} {commands.run(CXX, '-dumpversion').split('.')[0].strip()}"


def build() -> Path:
    """The library, from the objects of the package's build where there is one."""
    folder = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
    if not (folder / "build.ninja").is_file():
        folder = ROOT / "build" / "instructions"
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DHHD_HOST=OFF", "-DHHD_TORCH_OPS=OFF"]
        options += [f"-DPython_EXECUTABLE={sys.executable}"]
        commands.run("cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *options)
    targets = ["hhd_core", *(f"hhd_kernels_{name}" for name in SETS)]
    commands.run("cmake", "--build", folder, "--target", *targets)
    objects = [path for t in targets for path in (folder / f"CMakeFiles/{t}.dir").rglob("*.o")]
    library = folder / "libcounting.so"
    # Setting the flag pushes a word: nothing may lie below the stack then, which functions may use.
    flags = ["-std=c++17", "-O2", "-shared", "-fPIC", "-mno-red-zone", "-DCOUNTING"]
    driver = ROOT / "tests" / "sanitize" / "driver.cpp"
    commands.run(CXX, *flags, driver, *objects, "-o", library)
    return library
