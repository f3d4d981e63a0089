"""Builds the kernels with the sanitizers, from the project's own CMake targets.

What is built stays in `build/sanitize`, so that only a change of the sources costs time again.
The portable instruction set and the best of this machine are sanitised (a compile of a quarter of a
minute each); the others, which the library has to name, are compiled without.
"""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import commands

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "sanitize"
# A float too large for an integer is undefined, yet not in GCC's group of that name.
SANITIZERS = "address,undefined,float-cast-overflow"
FLAGS = ["-Og", "-g1"]  # half the compile time of -O1

_NEEDS = {
    "avx512": {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "avx2": {"avx2", "fma", "f16c"},
    "portable": set(),
}
ALL_SETS = [name for name in _NEEDS if not _NEEDS[name] or platform.machine() == "x86_64"]


def _cpu_flags() -> set[str]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def runs_here(name: str) -> bool:
    """Whether this machine has an instruction set."""
    return _NEEDS[name] <= _cpu_flags()


_BEST = next(name for name in ALL_SETS if runs_here(name))
SETS = list(dict.fromkeys(["portable", _BEST]))
"""The instruction sets that are sanitised and run."""


def _tool(*names: str | None) -> str | None:
    return next((p for name in names if name and (p := commands.find(name))), None)


def _compiler() -> str | None:
    return _tool(os.environ.get("CXX"), "c++", "g++")


def runtime(name: str) -> Path:
    """A runtime library of the compiler; a relative path where it has none."""
    command = [str(_compiler()), f"-print-file-name={name}"]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def why_not() -> str | None:
    """Why the sanitised build is impossible here; None where it is possible."""
    if not sys.platform.startswith("linux"):
        return "the sanitizers are preloaded, which needs Linux"
    absent = [name for name in ("cmake", "ninja") if _tool(name) is None]
    if absent or _compiler() is None:
        return f"no {(absent or ['C++ compiler'])[0]}"
    if not runtime("libasan.so").is_absolute():
        return f"{_compiler()} has no libasan.so to preload"
    return None


def _ninja(name: str, sanitizers: str, targets: Iterable[str]) -> Path:
    """Configure `build/sanitize/<name>` and build some of its targets."""
    folder = FOLDER / name
    options = {
        "CMAKE_BUILD_TYPE": "Sanitize",
        "CMAKE_CXX_COMPILER": _compiler(),
        "CMAKE_CXX_FLAGS_SANITIZE": " ".join(FLAGS),
        "HHD_HOST": "OFF",
        "HHD_OUTPUT": folder,
        "HHD_SANITIZE": sanitizers,
        "Python_EXECUTABLE": sys.executable,
    }
    defined = [f"-D{key}={value}" for key, value in options.items()]
    commands.run("cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *defined)
    commands.run("ninja", "-C", folder, *targets)
    return folder


def kernel_objects() -> dict[str, Path]:
    """The object of each instruction set, by its name."""
    return {
        name: FOLDER / ("sanitised" if name in SETS else "plain") / path
        for name in ALL_SETS
        for path in [f"CMakeFiles/hhd_kernels_{name}.dir/csrc/core/kernels.cpp.o"]
    }


def _torch_objects() -> list[str]:
    csrc = ROOT / "csrc"
    sources = [
        csrc / "schema.cpp",
        *(f for d in ("cpu", "ops") for f in sorted((csrc / d).glob("*.cpp"))),
    ]
    return [f"CMakeFiles/hhd_kernels.dir/{path.relative_to(ROOT)}.o" for path in sources]


def _link(library: Path, *parts: str | Path) -> None:
    command = [str(_compiler()), "-shared", "-fPIC", "-std=c++17", *FLAGS]
    command += [f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all"]
    commands.run(*command, *parts, "-o", library)


CORE = FOLDER / "libdriver.so"
"""The kernels behind `driver.cpp`."""
PLANTED = FOLDER / "libdriver_planted.so"
"""The same with bugs to choose from."""
PACKAGE = FOLDER / "package"
"""A folder for the import path: a copy of `hhd_kernels` whose ops are the sanitised ones."""


def build() -> None:
    """Build CORE, PLANTED and PACKAGE."""
    targets = ["hhd_core", *(f"hhd_kernels_{name}" for name in SETS)]
    folder = _ninja("sanitised", SANITIZERS, [*targets, *_torch_objects()])
    if others := [f"hhd_kernels_{name}" for name in ALL_SETS if name not in SETS]:
        _ninja("plain", "", others)
    shutil.rmtree(PACKAGE, ignore_errors=True)
    without_libraries = shutil.ignore_patterns("*.so", "__pycache__")
    package = PACKAGE / "hhd_kernels"
    shutil.copytree(ROOT / "hhd_kernels", package, ignore=without_libraries)
    core = [*sorted((folder / "CMakeFiles/hhd_core.dir").rglob("*.o")), *kernel_objects().values()]
    driver = Path(__file__).with_name("driver.cpp")
    torch = importlib.util.find_spec("torch")
    assert torch is not None
    torch_cpu = Path(str(torch.origin)).parent / "lib" / "libtorch_cpu.so"
    torch_ops = [folder / path for path in _torch_objects()]
    links = [
        (CORE, driver, *core),
        (PLANTED, "-DPLANTED", driver, *core),
        (package / "libhhd_kernels.so", *torch_ops, *core, torch_cpu),
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda parts: _link(*parts), links))
