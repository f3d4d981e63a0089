"""Where NVIDIA's tools are; Python's own packages of them count too."""

import importlib.util
import shutil
from pathlib import Path


def find(name: str) -> str | None:
    """A tool's path; None where it is absent."""
    named = [name, f"/usr/local/cuda/bin/{name}"]
    named += sorted(map(str, Path("/opt/nvidia/nsight-compute").glob(f"*/{name}")), reverse=True)
    packages = importlib.util.find_spec("nvidia")
    for folder in (packages and packages.submodule_search_locations) or ():
        named += sorted(map(str, Path(folder).glob(f"**/{name}")), reverse=True)
    return next((path for each in named if (path := shutil.which(each))), None)
