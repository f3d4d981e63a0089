"""Heatmap distillation for pose estimation: a heatmap teacher teaches a small integral student.

The package trains, evaluates, predicts and draws. Its dependencies are the extra
``hhd-kernels[train]``.
"""

from typing import Any

__all__ = ["Pose"]


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: its dependencies are the extra's.
    if name == "Pose":
        from hhd.pose import Pose

        return Pose
    raise AttributeError(f"module 'hhd' has no attribute {name!r}")
