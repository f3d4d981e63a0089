"""`python -m gpu.facts`: the machine, its Python and the library, as a line of JSON.

First light asks it in a process of its own: a library may end the process that loads it.
"""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("torch", "triton", "numpy", "pytest", "hypothesis")


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def collect() -> dict[str, Any]:
    """`no_gpu` and `no_library` are the reasons, or None; `capability` is such as 90."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "packages": {package: installed(package) for package in PACKAGES},
        "gpu": None,
        "capability": None,
    }
    from gpu.present import why_not

    facts["no_gpu"] = why_not()
    import torch

    device = torch.device("cpu")
    if facts["no_gpu"] is None:
        device = torch.device("cuda", 0)
        facts["gpu"] = torch.cuda.get_device_name(device)
        facts["capability"] = "".join(map(str, torch.cuda.get_device_capability(device)))
    from hhd_kernels import backend

    facts["no_library"] = backend.obstacle(device.type, device)
    return facts


if __name__ == "__main__":
    print(json.dumps(collect()))
