"""Builds the compiled parts with CMake; everything else is in pyproject.toml.

HHD_BUILD=auto     (default) build; without a C++ compiler install the PyTorch reference only
HHD_BUILD=require  build, or fail
HHD_BUILD=skip     do not build

HHD_CUDA=auto      (default) build the CUDA kernels where nvcc is found
HHD_CUDA=1         build them, or fail
HHD_CUDA=0         do not build them
HHD_CUDA_ARCHS     for which GPUs, "80;90;100;120" unless set; PTX of the highest for later ones

nvcc is the one that CUDACXX, CUDA_HOME or PATH name, /usr/local/cuda's, or the one of NVIDIA's
Python packages (nvidia-cuda-nvcc, nvidia-nvvm, nvidia-cuda-crt, nvidia-cuda-runtime,
nvidia-cuda-cccl). Whether a GPU is present never decides.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
OLDEST_TORCH = (2, 10)
CUDA_ARCHS = ("80", "90", "100", "120")


def choice(variable: str, *takes: str) -> str:
    """An environment variable's value; the first of `takes` where it is not set."""
    value = os.environ.get(variable) or takes[0]
    if value not in takes:
        raise SystemExit(f"hhd: {variable} is {value!r}; it takes one of {', '.join(takes)}")
    return value


def has_compiler() -> bool:
    return any(shutil.which(c) for c in (os.environ.get("CXX"), "c++", "g++", "clang++") if c)


def require_torch() -> None:
    """Stop unless torch's headers are here and new enough for the stable ABI."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < OLDEST_TORCH:
        raise SystemExit(
            f"hhd: building the ops takes the headers of torch>=2.10, found {version}; "
            "install torch first, or set HHD_BUILD=skip"
        )


def find_nvcc() -> str | None:
    """The CUDA compiler to use; None where there is none.

    Of those that nothing names it is the one of torch's own CUDA, where there is such a one: what a
    newer one builds needs a newer driver.
    """
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    named = [os.environ.get("CUDACXX"), home and f"{home}/bin/nvcc"]
    if chosen := next((path for name in named if name and (path := shutil.which(name))), None):
        return chosen
    others = ["nvcc", "/usr/local/cuda/bin/nvcc", *sorted(glob("/usr/local/cuda-*/bin/nvcc"))]
    packages = importlib.util.find_spec("nvidia")
    for folder in packages.submodule_search_locations or () if packages else ():
        others += sorted(map(str, Path(folder).glob("*/bin/nvcc")), reverse=True)
    found = [path for name in others if (path := shutil.which(name))]
    wanted = torch_cuda()
    same = [path for path in found if wanted is not None and cuda_major(path) == wanted]
    if found and wanted is not None and not same:
        print(
            f"hhd: {found[0]} is of CUDA {cuda_major(found[0])}, torch of CUDA {wanted}: the "
            "kernels will need the newer one's driver",
            file=sys.stderr,
        )
    return next(iter([*same, *found]), None)


def torch_cuda() -> int | None:
    """The major version of the CUDA that the installed torch was built for."""
    spec = importlib.util.find_spec("torch")
    version = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    text = version.read_text() if version is not None and version.is_file() else ""
    found = re.search(r"^cuda\b.*?= *['\"](\d+)\.", text, re.M)
    return int(found[1]) if found else None


def cuda_major(nvcc: str) -> int | None:
    """An nvcc's own."""
    told = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"release (\d+)\.", told)
    return int(found[1]) if found else None


def cuda_archs(nvcc: str) -> list[str]:
    """What HHD_CUDA_ARCHS asks for, or those of the default that this nvcc knows."""
    listed = subprocess.run([nvcc, "--list-gpu-code"], check=True, capture_output=True, text=True)
    known = set(re.findall(r"sm_(\w+)", listed.stdout))
    asked = re.split(r"[;,\s]+", os.environ.get("HHD_CUDA_ARCHS", "").strip(" ;,"))
    if asked == [""]:
        return [arch for arch in CUDA_ARCHS if arch in known]
    if unknown := [arch for arch in asked if arch not in known]:
        raise SystemExit(
            f"hhd: HHD_CUDA_ARCHS has {', '.join(unknown)}, which {nvcc} does not compile for;"
            f" it takes some of {', '.join(sorted(known, key=_number))}"
        )
    return sorted(asked, key=_number)


def _number(arch: str) -> tuple[int, str]:
    digits = re.match(r"\d+", arch)
    return int(digits.group()) if digits else 0, arch


def cuda_options() -> list[str]:
    """CMake's options for the CUDA kernels, or for their absence and its reason."""
    mode = choice("HHD_CUDA", "auto", "1", "0")
    nvcc = None if mode == "0" else find_nvcc()
    if nvcc is None:
        if mode == "1":
            raise SystemExit(
                "hhd: HHD_CUDA=1, but no nvcc is in CUDACXX, CUDA_HOME, PATH, /usr/local/cuda or"
                " the Python package nvidia-cuda-nvcc"
            )
        reason = "HHD_CUDA=0" if mode == "0" else "no nvcc was found"
        return ["-DHHD_CUDA=OFF", f"-DHHD_CUDA_ABSENT={reason}"]
    options = ["-DHHD_CUDA=ON", f"-DHHD_CUDA_ARCHS={';'.join(cuda_archs(nvcc))}"]
    options.append(f"-DCMAKE_CUDA_COMPILER={nvcc}")
    if os.environ.get("CXX"):
        options.append(f"-DCMAKE_CUDA_HOST_COMPILER={os.environ['CXX']}")
    return options


class CMakeBuild(build_ext):
    def run(self) -> None:
        output = ROOT if self.inplace else Path(self.build_lib).resolve()
        build = ROOT / "build" / f"cmake-{sys.implementation.cache_tag}"
        require_torch()
        configure = [
            "cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-DHHD_OUTPUT={output / 'hhd_kernels'}",
            *cuda_options(),
        ]  # fmt: skip
        subprocess.run(configure, check=True)
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
        subprocess.run(["cmake", "--build", str(build), "--parallel", jobs], check=True)

    def get_outputs(self) -> list[str]:
        return []

    def copy_extensions_to_source(self) -> None:
        """Nothing to copy: CMake has written into the package."""


def extensions() -> list[Extension]:
    """What makes the wheel a platform's; none where nothing is to be compiled."""
    mode = choice("HHD_BUILD", "auto", "require", "skip")
    if mode != "skip" and has_compiler():
        return [Extension("hhd_kernels._host", sources=[])]
    if mode == "require":
        raise SystemExit("hhd: HHD_BUILD=require, but no C++ compiler (c++, g++, clang++) is here")
    if choice("HHD_CUDA", "auto", "1", "0") == "1":
        raise SystemExit(
            "hhd: HHD_CUDA=1, but HHD_BUILD=skip or the lack of a C++ compiler rules it out"
        )
    if mode == "auto":
        print("hhd: no C++ compiler: installing the PyTorch reference only", file=sys.stderr)
    return []


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": CMakeBuild})
