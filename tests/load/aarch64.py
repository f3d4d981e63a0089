"""Builds the ops for aarch64 and runs their tests there, emulated: `python tests/load/aarch64.py`.

Needs Debian's or Ubuntu's qemu-user and g++-aarch64-linux-gnu, apt with the architecture arm64
(`dpkg --add-architecture arm64 && apt-get update`), and pip. A Python of that kind, NumPy and
the oldest torch that is supported (whose aarch64 wheel is CPU-only) are fetched into
build/aarch64, some 300 MB; everything in Python alone is this environment's. pybind11's _host is
left out. Arguments are pytest's; without any it takes half an hour.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "aarch64"
TORCH, NUMPY, HYPOTHESIS = "torch==2.10.0", "numpy==2.4.6", "hypothesis==6.112.0"
PACKAGES = [
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6"),
    *("libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0"),
    *("liblzma5", "libsqlite3-0", "libuuid1", "libgomp1", "libcrypt1", "libdb5.3"),
    *("libncursesw6", "libtinfo6", "libreadline8", "libatomic1"),
]
PURE = [
    *("typing_extensions.py", "sympy", "mpmath", "networkx", "filelock", "fsspec", "jinja2"),
    *("markupsafe", "pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging"),
    *("sortedcontainers", "attr", "attrs", "pygments"),
]
TESTS = [f"tests/kernels/test_{name}.py" for name in ("parity", "normalize", "crop", "soft_argmax")]


def run(*words: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run(list(map(str, words)), cwd=cwd, check=True)


def fetch() -> None:
    """A root with Python, and the packages that are compiled."""
    debs, root, site, pure = (FOLDER / name for name in ("debs", "root", "site", "pure"))
    for folder in (debs, root, site, pure):
        folder.mkdir(parents=True, exist_ok=True)
    run("apt-get", "download", "-qq", *(f"{name}:arm64" for name in PACKAGES), cwd=debs)
    for package in debs.glob("*.deb"):
        run("dpkg", "-x", package, root)
    platforms = [f"--platform=manylinux_2_{glibc}_aarch64" for glibc in (27, 28)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    chosen = [*platforms, "--python-version=311", "--only-binary=:all:"]
    run(*pip, *chosen, f"--target={site}", NUMPY, TORCH)
    run(*pip, f"--target={pure}", HYPOTHESIS)  # the last one without compiled parts
    here = Path(sysconfig.get_path("purelib"))
    for name in PURE:
        if (here / name).exists() and not (pure / name).exists():
            (pure / name).symlink_to(here / name)


def python() -> Path:
    """What runs the other architecture's Python; CMake asks it where torch is."""
    script = FOLDER / "python"
    paths = ":".join(str(FOLDER / name) for name in ("site", "pure"))
    script.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={paths}:$PYTHONPATH\n"
        f'exec qemu-aarch64 -L {FOLDER}/root {FOLDER}/root/usr/bin/python3.11 "$@"\n'
    )
    script.chmod(0o755)
    return script


def build(interpreter: Path) -> None:
    """The library, in a copy of the package beside which nothing else lies."""
    options = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DHHD_HOST=OFF", "-DHHD_CUDA=OFF"]
    options += ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"]
    options += ["-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++", f"-DPython_EXECUTABLE={interpreter}"]
    package = FOLDER / "source" / "hhd_kernels"
    for name in ("hhd_kernels", "tests"):
        others = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / name, FOLDER / "source" / name, ignore=others, dirs_exist_ok=True)
    run("cmake", "-S", ROOT, "-B", FOLDER / "cmake", f"-DHHD_OUTPUT={package}", *options)
    run("cmake", "--build", FOLDER / "cmake")


def main() -> int:
    if not (FOLDER / "site" / "torch").is_dir():
        fetch()
    interpreter = python()
    build(interpreter)
    source = FOLDER / "source"
    paths = {"PYTHONPATH": f"{source}:{source}/tests"}
    words = [interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(sys.argv[1:] or TESTS)]
    return subprocess.run(words, cwd=source, env=os.environ | paths).returncode


if __name__ == "__main__":
    sys.exit(main())
