"""The seven ops of `hhd_kernels` in NumPy float64, from their formulas, independent of the package.

Plain loops over maps; every function takes array-likes, works in float64 and returns new arrays.
Maps are `[B, K, H, W]`, coordinates `(x, y)` in heatmap pixels. Gradients are analytic.
"""

from oracle.crop import crop, crop_backward
from oracle.hhd_loss import LOG_TINY, hhd_loss
from oracle.joint_loss import JointResult, joint_loss
from oracle.locate import locate_student, locate_teacher
from oracle.normalize import normalize, normalize_backward
from oracle.soft_argmax import soft_argmax, soft_argmax_backward
from oracle.targets import teacher_targets

__all__ = [
    "LOG_TINY",
    "JointResult",
    "crop",
    "crop_backward",
    "hhd_loss",
    "joint_loss",
    "locate_student",
    "locate_teacher",
    "normalize",
    "normalize_backward",
    "soft_argmax",
    "soft_argmax_backward",
    "teacher_targets",
]
