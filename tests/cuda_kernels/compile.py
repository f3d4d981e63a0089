"""Compiles the CUDA kernels for every architecture and reads what each of them needs.

cd tests && python -m cuda_kernels.compile [--write]

Prints kernel, architecture, registers a thread and bytes of stack, in which spilled registers lie.
`--write` puts the figures into tests/compile_budgets.toml, section [cuda]. The objects are those of
the library's own build where that has CUDA in it, else of `build/cuda`: compiled once.
"""

import argparse
import fcntl
import importlib.util
import os
import re
import runpy
import shutil
import sys
from pathlib import Path

import commands
from cuda_kernels import budgets
from cuda_kernels.budgets import ARCHITECTURES, Figures

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "build" / "cuda"
TYPES = {"f": "float32", "d": "float64", "Float16": "float16", "BFloat16": "bfloat16"}


def _nvcc() -> str | None:
    """The one that the library is built with."""
    found: str | None = runpy.run_path(str(ROOT / "setup.py"))["find_nvcc"]()
    return found


def cuobjdump() -> str | None:
    """The toolkit's, or the one that comes with Triton."""
    spec = importlib.util.find_spec("triton")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "backends" / "nvidia" / "bin"
        if (path := shutil.which("cuobjdump", path=str(folder))) is not None:
            return path
    beside = os.pathsep.join([str(Path(_nvcc() or "").parent), commands.PATH])
    return shutil.which("cuobjdump", path=beside)


def why_not() -> str | None:
    """Why the kernels cannot be compiled here; None where they can."""
    if _nvcc() is None:
        return "no nvcc where setup.py looks for it"
    if cuobjdump() is None:
        return "no cuobjdump: neither the CUDA toolkit's nor Triton's"
    absent = [name for name in ("cmake", "ninja") if commands.find(name) is None]
    return f"no {absent[0]}" if absent else None


def _folder() -> Path:
    """A configured build folder with CUDA for every architecture."""
    archs = ";".join(name[3:] for name in ARCHITECTURES)
    for cache in sorted(ROOT.glob("build/cmake*/CMakeCache.txt")):
        text = cache.read_text()
        if "HHD_CUDA:BOOL=ON" in text and f"HHD_CUDA_ARCHS:STRING={archs}\n" in text:
            return cache.parent
    options = {
        "CMAKE_CUDA_COMPILER": _nvcc(),
        "HHD_CUDA": "ON",
        "HHD_CUDA_ARCHS": archs,
        "HHD_HOST": "OFF",
        "HHD_OUTPUT": OWN,
        "Python_EXECUTABLE": sys.executable,
    }
    defined = [f"-D{key}={value}" for key, value in options.items()]
    commands.run("cmake", "-S", ROOT, "-B", OWN, "-G", "Ninja", *defined)
    return OWN


def build() -> list[Path]:
    """The kernels' objects, up to date."""
    OWN.mkdir(parents=True, exist_ok=True)
    with (OWN / "lock").open("w") as lock:
        # Two builds in one folder would take each other's objects.
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = _folder()
        commands.run("ninja", "-C", folder, "hhd_cuda")
    return sorted((folder / "CMakeFiles" / "hhd_cuda.dir" / "csrc" / "cuda").glob("*.o"))


def kernel_name(symbol: str) -> str:
    """`joint_loss_kernel float32` of a mangled name; every kernel is local to its file."""
    names, rest = [], symbol.removeprefix("_ZN")
    while match := re.match(r"(\d+)", rest):
        start, length = match.end(), int(match.group())
        names.append(rest[start : start + length])
        rest = rest[start + length :]
    if argument := re.match(r"I(?:NS\w_\d+([A-Za-z]+\d*)E|([a-z]))E", rest):
        return f"{names[-1]} {TYPES[argument[1] or argument[2]]}"
    return names[-1]


def figures(objects: list[Path]) -> dict[str, dict[str, Figures]]:
    """Registers and stack by kernel and architecture."""
    found: dict[str, dict[str, Figures]] = {}
    for path in objects:
        architecture = symbol = ""
        for line in commands.run(cuobjdump(), "--dump-resource-usage", path).splitlines():
            if match := re.match(r"arch = (\w+)", line):
                architecture = match[1]
            elif match := re.match(r"\s*Function (\S+):", line):
                symbol = match[1]
            elif symbol and (match := re.match(r"\s*REG:(\d+) STACK:(\d+)", line)):
                registers, stack = map(int, match.groups())
                of_kernel = found.setdefault(kernel_name(symbol), {})
                of_kernel[architecture] = {"registers": registers, "stack": stack}
                symbol = ""
    return found


def ptx(path: Path) -> list[str]:
    """The architectures for whose PTX an object has code, for GPUs to come."""
    return re.findall(r"(sm_\d+)\.ptx", commands.run(cuobjdump(), "--list-ptx", path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    found = figures(build())
    for kernel, by_architecture in sorted(found.items()):
        for name, of in by_architecture.items():
            print(f"{kernel:38} {name:7} {of['registers']:4} registers {of['stack']:5} stack")
    if options.write:
        budgets.write(found)


if __name__ == "__main__":
    main()
