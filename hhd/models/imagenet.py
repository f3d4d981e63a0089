"""ImageNet weights through the libraries that publish them, which download and keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from hhd.extras import import_extra
from hhd.models.base import PoseModel
from hhd.models.build import LIBRARIES
from hhd.models.checkpoints import start_from, weights_of
from hhd.text import one_line


def start_from_imagenet(model: PoseModel, name: str) -> list[str]:
    """Load the backbone of a network called ``name``; the parameters that keep their own start.

    From torchvision its first weights (IMAGENET1K_V1), which mmpose's recipes start from.
    """
    library, theirs = LIBRARIES[name]
    package = import_extra(library)
    try:
        tensors = {"torchvision": _torchvision, "timm": _timm}[library](package, theirs)
    except Exception as error:  # whatever a download raises
        raise OSError(
            f"pretrained is true, but {library}'s weights of {theirs} could not be had "
            f"({one_line(str(error))}); weights: FILE takes them from a file"
        ) from error
    return start_from(model, weights_of(Path(f"{library} {theirs}"), tensors), name)


def _torchvision(package: Any, name: str) -> dict[str, Tensor]:
    network = package.models.get_model(name, weights="IMAGENET1K_V1")
    tensors: dict[str, Tensor] = network.state_dict()
    return tensors


def _timm(package: Any, name: str) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = package.create_model(name, pretrained=True).state_dict()
    return tensors
