"""Files of ``torch.save``, read without running anything that they hold.

Training code pickles more than tensors: NumPy arrays, configurations, mmengine's message hub with
its functions. The names by which a pickle calls code are looked up in a short list here, which
makes tensors; every other one stands for an object that takes what it is given and does nothing.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch._utils import _rebuild_parameter, _rebuild_tensor, _rebuild_tensor_v2

from hhd.text import one_line

ALLOWED: dict[str, dict[str, Any]] = {
    "torch._utils": {
        "_rebuild_parameter": _rebuild_parameter,
        "_rebuild_tensor": _rebuild_tensor,
        "_rebuild_tensor_v2": _rebuild_tensor_v2,
    },
    "torch": {
        "Size": torch.Size,
        **{name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
    },
    "collections": {"OrderedDict": OrderedDict},
}


class Inert:
    """Stands for an object of whatever class: takes what a pickle gives it, and keeps nothing."""

    def __init__(self, *_arguments: Any, **_named: Any) -> None:
        pass

    def __new__(cls, *_arguments: Any, **_named: Any) -> Inert:
        return super().__new__(cls)

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        pass

    def extend(self, _items: Any) -> None:
        pass

    def add(self, _item: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return ALLOWED.get(module, {}).get(name, Inert)


def read_torch_file(path: Path) -> Any:
    """What the file holds, its tensors on the CPU; ``ValueError`` says in a clause why not."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # A file that holds more than tensors, or none of torch.save; torch's advice is to run it.
        pass
    except Exception as error:
        # What damaged bytes spell can raise anything.
        raise ValueError(_reason(error)) from error
    inert = SimpleNamespace(
        __name__="pickle",
        Unpickler=_InertUnpickler,
        load=lambda file, **options: _InertUnpickler(file, **options).load(),
    )
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=inert)
    except Exception as error:
        raise ValueError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The first sentence, which an empty file has none of."""
    return one_line(str(error)).partition(". ")[0] or "it is cut short"
