"""HRNet (Sun et al. 2019) for top-down poses, in the names of its authors' code."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hhd.models.layers import Backbone, initialise
from hhd.models.multi_resolution import branch_out, fuse_layers, transition_layers
from hhd.models.resnet import bottlenecks


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + x, inplace=True)


def convolution(inputs: int, outputs: int, stride: int, relu: bool) -> nn.Sequential:
    """3x3 with batch norm: what leads from one resolution to the next."""
    layers = [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class HighResolutionModule(nn.Module):
    """Four blocks on each branch, then each of ``outputs`` branches gets the sum of all."""

    def __init__(self, channels: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width) for _ in range(4))) for width in channels
        )
        self.fuse_layers = fuse_layers(channels, outputs, convolution)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        branches = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        fused = []
        for row in self.fuse_layers:
            first, *others = row.children()
            y = first(branches[0])
            for layer, x in zip(others, branches[1:], strict=True):
                y = y + layer(x)
            fused.append(F.relu(y, inplace=True))
        return fused


def stage(channels: tuple[int, ...], modules: int, outputs: int | None = None) -> nn.Sequential:
    """``modules`` modules; the last one gives ``outputs`` branches, all if None."""
    counts = [len(channels)] * modules
    counts[-1] = outputs or len(channels)
    return nn.Sequential(*(HighResolutionModule(channels, count) for count in counts))


class HRNet(Backbone):
    """Images -> ``width`` channels at stride 4: 32 is HRNet-W32, 48 HRNet-W48."""

    stride, multiple = 4, 32

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channels = width
        widths = width, 2 * width, 4 * width, 8 * width
        self.conv1 = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = bottlenecks(64, 64, 4)
        self.transition1 = transition_layers((256,), widths[:2], convolution)
        self.stage2 = stage(widths[:2], 1)
        self.transition2 = transition_layers(widths[:2], widths[:3], convolution)
        self.stage3 = stage(widths[:3], 4)
        self.transition3 = transition_layers(widths[:3], widths, convolution)
        self.stage4 = stage(widths, 3, outputs=1)
        initialise(self, std=0.001)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        branches = [self.layer1(x)]
        branches = self.stage2(branch_out(self.transition1, branches))
        branches = self.stage3(branch_out(self.transition2, branches))
        branches = self.stage4(branch_out(self.transition3, branches))
        return branches[0]
