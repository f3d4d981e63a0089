"""Stored `TeacherTargets` load with torch.load's default, weights_only=True, after no more than
`import hhd_kernels`, in whichever order that and torch are imported."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from hhd_kernels._targets import TeacherTargets

TORCH = "torch.serialization"


def register() -> None:
    """Tell torch of the class, now if torch is here, else as soon as it is."""
    if TORCH in sys.modules:
        _tell(sys.modules[TORCH])
    else:
        sys.meta_path.insert(0, _WhenTorchComes())


def _tell(serialization: ModuleType) -> None:
    serialization.add_safe_globals([TeacherTargets])


class _WhenTorchComes(MetaPathFinder):
    """Finds nothing of its own: it adds a line to the end of one module's import."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != TORCH:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_tell(module: ModuleType) -> None:
            execute(module)
            _tell(module)

        spec.loader.exec_module = execute_and_tell  # type: ignore[method-assign]
        return spec
