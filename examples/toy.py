"""What the other examples train on: pictures of three spots, their places, a teacher's maps.

Stands in for a data set, a teacher and a student of your own; nothing here is a part of hhd.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import hhd_kernels as hk

JOINTS, SIDE, STRIDE, SIGMA = 3, 64, 2, 1.5
CELLS = SIDE // STRIDE


def make_batch(count: int, seed: int) -> dict[str, Tensor]:
    """``image`` [N, 3, 64, 64], ``coords`` [N, 3, 2] (x, y) in heatmap pixels, ``heatmaps``
    [N, 3, 32, 32]: what a teacher answers to the pictures, Gaussians here."""
    generator = torch.Generator().manual_seed(seed)
    coords = 3 + torch.rand(count, JOINTS, 2, generator=generator) * (CELLS - 7)
    fine = _gaussians(coords * STRIDE, SIDE, 3.0)
    noise = torch.rand(count, 3, SIDE, SIDE, generator=generator)
    return {
        "image": fine + 0.3 * noise,
        "coords": coords,
        "heatmaps": _gaussians(coords, CELLS, SIGMA),
    }


def _gaussians(places: Tensor, side: int, sigma: float) -> Tensor:
    axis = torch.arange(side, dtype=torch.float32)
    x = (axis - places[..., :1]).square()
    y = (axis - places[..., 1:]).square()
    return torch.exp(-(y[..., :, None] + x[..., None, :]) / (2 * sigma**2))


class Spots(Dataset[dict[str, Tensor]]):
    """Pictures with their teacher's maps and labels."""

    def __init__(self, count: int) -> None:
        self.data = make_batch(count, seed=0)

    def __len__(self) -> int:
        return len(self.data["image"])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: values[index] for name, values in self.data.items()}


class Student(nn.Sequential):
    """Pictures to logits [N, 3, 32, 32], whose softmax is where a joint may be."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 5, stride=STRIDE, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 5, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, JOINTS, 1),
        )
        hk.start_from_zero_maps(self[-1])


def error_in_pixels(student: nn.Module, batch: dict[str, Tensor]) -> float:
    """Mean distance of the student's joints from the right ones, in heatmap pixels."""
    training = student.training
    student.eval()
    with torch.no_grad():
        logits = student(batch["image"].to(next(student.parameters()).device)).cpu()
    student.train(training)
    coords, _ = hk.soft_argmax(logits, beta=10.0, window=9)
    return float((coords - batch["coords"]).norm(dim=-1).mean())
