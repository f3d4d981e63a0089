"""Builds the compiled parts with CMake; everything else is in pyproject.toml.

HHD_BUILD=auto     (default) build; without a C++ compiler install the PyTorch reference only
HHD_BUILD=require  build, or fail
HHD_BUILD=skip     do not build
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
OLDEST_TORCH = (2, 10)


def build_mode() -> str:
    mode = os.environ.get("HHD_BUILD", "auto")
    if mode not in ("auto", "require", "skip"):
        raise SystemExit(f"HHD_BUILD must be auto, require or skip, got {mode!r}")
    return mode


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
        ]  # fmt: skip
        subprocess.run(configure, check=True)
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
        subprocess.run(["cmake", "--build", str(build), "--parallel", jobs], check=True)

    def get_outputs(self) -> list[str]:
        return []

    def copy_extensions_to_source(self) -> None:
        """Nothing to copy: CMake has written into the package."""


extensions = [Extension("hhd_kernels._host", sources=[])]  # what makes the wheel a platform's
if build_mode() == "skip":
    extensions = []
elif not has_compiler():
    if build_mode() == "require":
        raise SystemExit("hhd: HHD_BUILD=require, but no C++ compiler (c++, g++, clang++) is here")
    print("hhd: no C++ compiler: installing the PyTorch reference only", file=sys.stderr)
    extensions = []

setup(ext_modules=extensions, cmdclass={"build_ext": CMakeBuild})
