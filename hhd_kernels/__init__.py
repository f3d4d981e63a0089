"""Fused ops for heatmap distillation in pose estimation.

Maps are [B, K, H, W]; a coordinate is (x, y) in heatmap pixels, the centre of column i is x = i.
Names load on first use, so that `import hhd_kernels` needs neither torch nor a compiled library.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hhd_kernels._safe_globals import register as register_safe_globals

if TYPE_CHECKING:
    from hhd_kernels import coordinates as coordinates
    from hhd_kernels import host as host
    from hhd_kernels.backend import Explanation as Explanation
    from hhd_kernels.backend import explain as explain
    from hhd_kernels.backend import use_backend as use_backend
    from hhd_kernels.crop import crop as crop
    from hhd_kernels.hhd_loss import hhd_loss as hhd_loss
    from hhd_kernels.host import decode_dark as decode_dark
    from hhd_kernels.host import decode_plain as decode_plain
    from hhd_kernels.host import decode_quarter as decode_quarter
    from hhd_kernels.host import encode_dark as encode_dark
    from hhd_kernels.host import encode_msra as encode_msra
    from hhd_kernels.host import soft_argmax_numpy as soft_argmax_numpy
    from hhd_kernels.joint_loss import JointLoss as JointLoss
    from hhd_kernels.joint_loss import joint_loss as joint_loss
    from hhd_kernels.joint_loss import joint_loss_and_grad as joint_loss_and_grad
    from hhd_kernels.locate import locate_student as locate_student
    from hhd_kernels.locate import locate_teacher as locate_teacher
    from hhd_kernels.losses import HHDLoss as HHDLoss
    from hhd_kernels.losses import IntegralHHDLoss as IntegralHHDLoss
    from hhd_kernels.normalize import normalize as normalize
    from hhd_kernels.soft_argmax import soft_argmax as soft_argmax
    from hhd_kernels.start import start_from_zero_maps as start_from_zero_maps
    from hhd_kernels.teacher_targets import TeacherTargets as TeacherTargets
    from hhd_kernels.teacher_targets import teacher_targets as teacher_targets

_MODULE_OF = {
    "Explanation": "backend",
    "explain": "backend",
    "use_backend": "backend",
    "crop": "crop",
    "hhd_loss": "hhd_loss",
    "decode_dark": "host",
    "decode_plain": "host",
    "decode_quarter": "host",
    "encode_dark": "host",
    "encode_msra": "host",
    "soft_argmax_numpy": "host",
    "JointLoss": "joint_loss",
    "joint_loss": "joint_loss",
    "joint_loss_and_grad": "joint_loss",
    "locate_student": "locate",
    "locate_teacher": "locate",
    "HHDLoss": "losses",
    "IntegralHHDLoss": "losses",
    "normalize": "normalize",
    "soft_argmax": "soft_argmax",
    "start_from_zero_maps": "start",
    "TeacherTargets": "teacher_targets",
    "teacher_targets": "teacher_targets",
}
_SUBMODULES = ("coordinates", "host")

__version__ = "0.1.0"
__all__ = sorted([*_MODULE_OF, *_SUBMODULES])


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _MODULE_OF[name]
    if module != "host":
        # It imports the file of every op, and so registers all their shapes and derivatives.
        import_module(f"{__name__}.losses")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `hhd_kernels.crop` the function although the file that defines it is `crop.py`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in _MODULE_OF:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
register_safe_globals()
