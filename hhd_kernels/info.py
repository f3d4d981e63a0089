"""`python -m hhd_kernels.info`: what is built, what runs, and why something is not there."""

import ctypes
import json
import os
import platform
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import hhd_kernels
from hhd_kernels.architectures import Capability, no_code_for, serving

LIBRARY = Path(__file__).with_name("libhhd_kernels.so")


def collect() -> dict[str, Any]:
    """Everything the command prints, by topic; never raises for something absent."""
    facts: dict[str, Any] = {
        "hhd_kernels": hhd_kernels.__version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": _version("torch"),
        "triton": _version("triton"),
        "numpy": _version("numpy"),
        "ops library": _library(),
        "NumPy library": _host(),
    }
    facts.update(_backends())
    facts["GPUs"] = _gpus(facts["ops library"])
    for name in ("HHD_BACKEND", "HHD_CPU_CAPABILITY"):
        facts[name] = os.environ.get(name) or "not set"
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _library() -> Any:
    """What the ops library says of itself, without importing torch's Python side first."""
    if not LIBRARY.is_file():
        return f"{LIBRARY.name} is not built"
    try:
        library = _open_library()
        library.hhd_cpu_capability.restype = ctypes.c_char_p
        library.hhd_build_info.restype = ctypes.c_char_p
        return {
            "path": str(LIBRARY),
            "cpu capability": library.hhd_cpu_capability().decode(),
            **json.loads(library.hhd_build_info()),
        }
    except (OSError, AttributeError, ValueError) as error:
        return f"{LIBRARY.name} does not load: {error}"


def _open_library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(LIBRARY))
    except OSError:
        # Its libtorch may only be found once torch has loaded it.
        with suppress(ImportError):
            import_module("torch")
        return ctypes.CDLL(str(LIBRARY))


def _host() -> str:
    try:
        module = import_module("hhd_kernels._host")
    except ImportError as error:
        return f"not there: {error}"
    return str(module.__file__)


def _backends() -> dict[str, str]:
    try:
        backend, torch = import_module("hhd_kernels.backend"), import_module("torch")
    except (ImportError, ValueError) as error:  # ValueError: HHD_BACKEND
        return {"backends": f"none: {error}"}
    devices = {"cpu": "cpu", "cuda": "cuda", "triton": "cuda", "reference": "cpu"}
    return {
        f"backend {name}": backend.obstacle(name, torch.device(device))
        or f"ready for tensors on {device}"
        for name, device in devices.items()
    }


def _gpus(library: Any) -> Any:
    """What torch sees, and what of the library each GPU runs."""
    try:
        torch = import_module("torch")
    except ImportError as error:
        return f"none: {error}"
    if not torch.cuda.is_available():
        return "torch sees none" if torch.version.cuda or torch.version.hip else "torch is CPU-only"
    built = library.get("cuda_architectures", "") if isinstance(library, dict) else ""
    gpus = {}
    for index in range(torch.cuda.device_count()):
        capability = torch.cuda.get_device_capability(index)
        runs = "Triton's kernels" if torch.version.hip else _code(capability, built)
        gpus[f"cuda:{index} {torch.cuda.get_device_name(index)}"] = runs
    return gpus


def _code(capability: Capability, built: str) -> str:
    code = serving(capability, tuple(built.split()))
    if code is None:
        return no_code_for(capability)
    return code if code.startswith("sm_") else f"{code}, compiled by the driver at its first use"


def main() -> None:
    """Print the facts as a table."""
    for topic, fact in collect().items():
        if isinstance(fact, dict):
            print(f"{topic}:")
            for name, value in fact.items():
                print(f"  {name:<18} {value}")
        else:
            print(f"{topic:<20} {fact}")


if __name__ == "__main__":
    main()
