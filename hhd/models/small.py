"""A small U-shaped network for the demonstration, trained from scratch."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hhd.models.base import PoseModel


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm, added to the input: [B, C, H, W] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(x + self.bn2(self.conv2(y)))


class SmallPose(PoseModel):
    """Images [B, 3, H, W] -> maps [B, K, H/2, W/2]. H and W are multiples of 2 ** len(channels).

    Down by strided convolutions, a residual block at each size; up by bilinear interpolation, added
    to the way down. ``channels`` are those of the sizes, the largest size first.
    """

    stride = 2

    def __init__(self, joints: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.multiple = 2 ** len(channels)
        self.down = nn.ModuleList()
        before = 3
        for width in channels:
            convolution = nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False)
            stage = [
                convolution,
                nn.BatchNorm2d(width),
                nn.ReLU(),
                Residual(width),
            ]
            self.down.append(nn.Sequential(*stage))
            before = width
        self.up = nn.ModuleList(
            nn.Conv2d(a, b, 1) for a, b in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.merge = nn.ModuleList(Residual(width) for width in channels[-2::-1])
        self.final = nn.Conv2d(channels[0], joints, 1)

    def last_convolution(self) -> nn.Conv2d:
        return self.final

    def forward(self, images: Tensor) -> Tensor:
        x = images
        way_down = []
        for stage in self.down:
            x = stage(x)
            way_down.append(x)
        for lateral, merge, skip in zip(self.up, self.merge, way_down[-2::-1], strict=True):
            x = F.interpolate(lateral(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = merge(x + skip)
        maps: Tensor = self.final(x)
        return maps
