"""Lite-HRNet (Yu et al. 2021), in the names of its authors' code and of mmpose."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hhd.models.layers import Backbone, channel_shuffle, conv_norm, depthwise, initialise
from hhd.models.multi_resolution import branch_out, fuse_layers, transition_layers

WIDTHS = 40, 80, 160, 320
STEM = 32


def separable(inputs: int, outputs: int, stride: int, relu: bool) -> nn.Sequential:
    """Depthwise 3x3 and 1x1, each with batch norm: leads from one resolution to the next."""
    layers = [
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))


class Stem(nn.Module):
    """A strided convolution, then a strided shuffle unit: images -> 32 channels at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        half = STEM // 2
        self.conv1 = conv_norm(3, STEM, 3, stride=2, activation=nn.ReLU(inplace=True))
        self.branch1 = nn.Sequential(
            depthwise(half, stride=2), conv_norm(half, half, activation=nn.ReLU(inplace=True))
        )
        self.expand_conv = conv_norm(half, STEM, activation=nn.ReLU(inplace=True))
        self.depthwise_conv = depthwise(STEM, stride=2)
        self.linear_conv = conv_norm(STEM, half, activation=nn.ReLU(inplace=True))

    def forward(self, images: Tensor) -> Tensor:
        first, second = self.conv1(images).chunk(2, dim=1)
        second = self.linear_conv(self.depthwise_conv(self.expand_conv(second)))
        return channel_shuffle(torch.cat((self.branch1(first), second), dim=1))


class SpatialWeighting(nn.Module):
    """Channels weighted by what their means say: squeeze and excitation, to a quarter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = channels // 4
        self.conv1 = conv_norm(channels, squeezed, norm=False, activation=nn.ReLU(inplace=True))
        self.conv2 = conv_norm(squeezed, channels, norm=False, activation=nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.conv2(self.conv1(x.mean((2, 3), keepdim=True)))
        return x * weights


class CrossResolutionWeighting(nn.Module):
    """Channels of every branch weighted by what all branches say at the smallest size."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.channels = channels
        total = sum(channels)
        squeezed = total // 8
        self.conv1 = conv_norm(total, squeezed, activation=nn.ReLU(inplace=True))
        self.conv2 = conv_norm(squeezed, total, activation=nn.Sigmoid())

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        # Each branch is half the one before it, so plain pooling gives what the adaptive pooling of
        # the authors' code gives, and exports: its window does not depend on the input's size.
        ratios = [2**halvings for halvings in reversed(range(len(branches)))]
        pooled = [F.avg_pool2d(x, ratio) for x, ratio in zip(branches, ratios, strict=True)]
        weights = self.conv2(self.conv1(torch.cat(pooled, dim=1))).split(self.channels, dim=1)
        return [
            x * F.interpolate(weight, scale_factor=float(ratio), mode="nearest")
            for x, weight, ratio in zip(branches, weights, ratios, strict=True)
        ]


class ConditionalChannelWeighting(nn.Module):
    """A shuffle unit on every branch at once, whose 1x1 convolutions are channel weights."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        halves = [width // 2 for width in channels]
        self.cross_resolution_weighting = CrossResolutionWeighting(halves)
        self.depthwise_convs = nn.ModuleList(depthwise(width) for width in halves)
        self.spatial_weighting = nn.ModuleList(SpatialWeighting(width) for width in halves)

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        halves = [x.chunk(2, dim=1) for x in branches]
        changed = self.cross_resolution_weighting([second for _, second in halves])
        changed = [f(x) for f, x in zip(self.depthwise_convs, changed, strict=True)]
        changed = [f(x) for f, x in zip(self.spatial_weighting, changed, strict=True)]
        return [
            channel_shuffle(torch.cat((kept, x), dim=1))
            for (kept, _), x in zip(halves, changed, strict=True)
        ]


class LiteHRModule(nn.Module):
    """Two channel weighting blocks, then every branch gets the sum of all, as upstream sums it."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(ConditionalChannelWeighting(channels) for _ in range(2)))
        self.fuse_layers = fuse_layers(channels, len(channels), separable)

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        """Public weights were trained with the authors' in-place sum, which is not the plain one.

        There, branch 0 is added to itself and everything is added into it in place: it counts
        twice, and the other branches read the sum in its stead. They too count it twice, by
        evaluating its layer twice, so that batch norms there update twice a training step.
        """
        branches = self.layers(inputs)
        top = 2 * branches[0]
        rows = [list(row.children()) for row in self.fuse_layers]
        for layer, x in zip(rows[0][1:], branches[1:], strict=True):
            top = top + layer(x)
        fused = [F.relu(top)]
        for first, *others in rows[1:]:
            y = first(top)
            y = y + (first(top) if self.training else y)
            for layer, x in zip(others, branches[1:], strict=True):
                y = y + layer(x)
            fused.append(F.relu(y))
        return fused


class SeparableConv(nn.Module):
    """Depthwise 3x3 and 1x1, each with batch norm, a ReLU at the end."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise_conv = depthwise(inputs)
        self.pointwise_conv = conv_norm(inputs, outputs, activation=nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pointwise_conv(self.depthwise_conv(x))
        return y


class IterativeHead(nn.Module):
    """From the smallest branch up: each is projected to the next one's width and added to it."""

    def __init__(self) -> None:
        super().__init__()
        widths = WIDTHS[::-1]
        self.projects = nn.ModuleList(
            SeparableConv(inputs, outputs)
            for inputs, outputs in zip(widths, (*widths[1:], widths[-1]), strict=True)
        )

    def forward(self, branches: list[Tensor]) -> Tensor:
        y: Tensor = self.projects[0](branches[-1])
        for project, x in zip(self.projects[1:], branches[-2::-1], strict=True):
            y = project(x + F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=True))
        return y


class LiteHRNet(Backbone):
    """Images -> 40 channels at stride 4; ``modules`` (2, 4, 2) is Lite-HRNet-18, (3, 8, 3) -30."""

    channels = WIDTHS[0]
    stride, multiple = 4, 32

    def __init__(self, modules: tuple[int, int, int]) -> None:
        super().__init__()
        self.stem = Stem()
        self.transition0 = transition_layers((STEM,), WIDTHS[:2], separable)
        self.transition1 = transition_layers(WIDTHS[:2], WIDTHS[:3], separable)
        self.transition2 = transition_layers(WIDTHS[:3], WIDTHS, separable)
        self.stage0, self.stage1, self.stage2 = (
            nn.Sequential(*(LiteHRModule(WIDTHS[:branches]) for _ in range(count)))
            for branches, count in zip((2, 3, 4), modules, strict=True)
        )
        self.head_layer = IterativeHead()
        initialise(self, std=0.001)

    def forward(self, images: Tensor) -> Tensor:
        branches = [self.stem(images)]
        branches = self.stage0(branch_out(self.transition0, branches))
        branches = self.stage1(branch_out(self.transition1, branches))
        branches = self.stage2(branch_out(self.transition2, branches))
        features: Tensor = self.head_layer(branches)
        return features
