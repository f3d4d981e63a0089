"""The library that first light uses: one built beforehand, or one built for this GPU."""

import json
import os
import shutil
import sys

from gpu import tools
from gpu.session import ROOT, Session

LIBRARY = ROOT / "hhd_kernels" / "libhhd_kernels.so"
BEFOREHAND = "build it elsewhere (HHD_CUDA_ARCHS=90 make cuda) and bring hhd_kernels/*.so along"


def look(session: Session) -> bool:
    """Asks for the machine's facts; False where its Python cannot tell them."""
    facts = session.out / "facts.json"
    facts.unlink(missing_ok=True)
    session.facts = {"gpu": None}
    if session.python("-m", "gpu.facts", log=facts.name):
        session.say("the machine's Python does not import torch and hhd_kernels (facts.json)")
        return False
    session.facts = json.loads(facts.read_text().splitlines()[-1])
    return True


def ready(session: Session) -> bool:
    """Whether there is a library to test, after a build if need be."""
    if not look(session):
        return False
    if (reason := session.facts["no_library"]) is None:
        session.say(f"library: {LIBRARY.name}, built beforehand")
        return True
    session.say(f"library: building, as {reason}")
    if missing := build(session):
        session.say(f"library: {missing}; {BEFOREHAND}")
        return False
    if not look(session) or session.facts["no_library"]:
        session.say(f"library: the one just built does not serve: {session.facts['no_library']}")
        return False
    shutil.copy(LIBRARY, session.out)
    session.say(f"library: built, and a copy of it is in {session.out}")
    return True


def build(session: Session) -> str | None:
    """With CMake directly, since setuptools may be too old; why there is no library, or None."""
    cmake, folder = shutil.which("cmake"), ROOT / "build" / "first-light"
    if cmake is None:
        return "no cmake is here"
    options = ["-DHHD_CUDA=OFF"]
    if session.gpu:
        if (nvcc := tools.find("nvcc")) is None:
            return "no nvcc is here"
        options = ["-DHHD_CUDA=ON", f"-DHHD_CUDA_ARCHS={session.facts['capability']}"]
        options.append(f"-DCMAKE_CUDA_COMPILER={nvcc}")
    if shutil.which("ninja"):
        options += ["-G", "Ninja"]
    # What an earlier configuration found may be gone.
    shutil.rmtree(folder, ignore_errors=True)
    configure = [cmake, "-S", ROOT, "-B", folder, "-DHHD_HOST=OFF", *options]
    if session.run(*configure, f"-DPython_EXECUTABLE={sys.executable}", log="build.log"):
        return "CMake's configuration failed (build.log)"
    jobs = str(os.cpu_count() or 1)
    if session.run(cmake, "--build", folder, "--parallel", jobs, log="build.log") != 0:
        return "the build failed or took too long (build.log)"
    return None
