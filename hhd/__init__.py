"""Heatmap distillation for pose estimation: a heatmap teacher teaches a small integral student.

The package trains, evaluates, predicts and draws. Its dependencies are the extra
``hhd-kernels[train]``.
"""
