"""The pictures of docs/method.md, made by the ops: `python -m benchmarks.method_pictures`."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import hhd_kernels as hk

matplotlib.use("Agg")
from matplotlib import pyplot  # after the choice of how it draws

OUT = Path(__file__).parents[1] / "docs" / "images"
WINDOW = 7


def gaussian(x: float, y: float, sigma: float, height: int = 24, width: int = 18) -> torch.Tensor:
    """A map [1, 1, H, W]."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    values = torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return values[None, None].float()


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """A teacher's map whose peak is near the border, with noise below zero, and logits that are
    right but for a second peak."""
    generator = torch.Generator().manual_seed(3)
    noise = 0.03 * torch.randn(1, 1, 24, 18, generator=generator)
    teacher = 0.8 * gaussian(1.3, 12, 2.0) + noise
    logits = 0.55 * gaussian(3, 10.6, 2.2) + 0.35 * gaussian(12, 17, 1.5) + noise / 3
    return teacher, logits


def inside(maps: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    """The window's cells that lie in the map, without their mirror images."""
    x, y = (int(value) for value in center[0, 0])
    half = WINDOW // 2
    return maps[..., max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]


def show(axis: Axes, values: torch.Tensor, title: str, center: torch.Tensor | None = None) -> None:
    axis.imshow(values[0, 0].numpy(), cmap="viridis")
    axis.set_title(title, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])
    if center is not None:
        x, y = (float(value) for value in center[0, 0])
        low = np.floor([x + 0.5, y + 0.5]) - WINDOW // 2 - 0.5
        axis.add_patch(
            Rectangle(tuple(low), WINDOW, WINDOW, fill=False, color="white", clip_on=False)
        )


def steps_picture() -> None:
    """Two maps on their way into the loss: each normalised its own way, both cut around the
    teacher's peak."""
    teacher, logits = example()
    taught = hk.normalize(teacher, "l1_positive")
    learnt = hk.normalize(10 * logits, "softmax")
    center = hk.locate_teacher(teacher)
    windows = [hk.crop(maps, center, window=WINDOW) for maps in (taught, learnt)]
    figure, axes = pyplot.subplots(2, 3, figsize=(6.4, 5.2), layout="constrained")
    rest = 1 - float(inside(learnt, center).sum())
    show(axes[0, 0], teacher, "teacher's map")
    show(axes[0, 1], taught, "its positive part / sum", center)
    show(axes[0, 2], windows[0], "its window, mirrored\nbeyond the border")
    show(axes[1, 0], logits, "student's logits")
    show(axes[1, 1], learnt, "softmax(10 x logits)", center)
    show(axes[1, 2], windows[1], f"its window; the rest bin\nholds the other {rest:.2f}")
    figure.savefig(OUT / "steps.png", dpi=110)
    pyplot.close(figure)


def decoding_picture() -> None:
    """Where the joint is read: the expectation of the whole map lies between two peaks."""
    _, logits = example()
    figure, axis = pyplot.subplots(figsize=(3.2, 3.6), layout="constrained")
    show(axis, hk.normalize(10 * logits, "softmax"), "softmax(10 x logits)")
    for window, marker, name in ((None, "x", "whole map"), (9, "o", "9x9 at the peak")):
        coords, _ = hk.soft_argmax(logits, beta=10.0, window=window)
        axis.plot(*coords[0, 0].tolist(), marker, color="red", label=name, fillstyle="none")
    axis.legend(fontsize=8, loc="upper right")
    figure.savefig(OUT / "decoding.png", dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    steps_picture()
    decoding_picture()
    print(f"steps.png and decoding.png in {OUT}")
