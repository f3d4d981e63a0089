"""ShuffleNetV2 (Ma et al. 2018), in mmpose's names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hhd.models.layers import Backbone, channel_shuffle, conv_norm, depthwise, initialise

# Channels and units of each stage, at width 1.0.
STAGES = (116, 4), (232, 8), (464, 4)


class InvertedResidual(nn.Module):
    """A shuffle unit: half of the channels go through ``branch2``, then the halves interleave.

    At stride 2 both branches see all channels, and the result is half the size.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.stride = stride
        if stride == 2:
            self.branch1 = nn.Sequential(
                depthwise(inputs, stride=2),
                conv_norm(inputs, half, activation=nn.ReLU(inplace=True)),
            )
        self.branch2 = nn.Sequential(
            conv_norm(inputs if stride == 2 else half, half, activation=nn.ReLU(inplace=True)),
            depthwise(half, stride=stride),
            conv_norm(half, half, activation=nn.ReLU(inplace=True)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            halves = self.branch1(x), self.branch2(x)
        else:
            kept, changed = x.chunk(2, dim=1)
            halves = kept, self.branch2(changed)
        return channel_shuffle(torch.cat(halves, dim=1))


class ShuffleNetV2(Backbone):
    """Images -> 1024 channels at stride 32 (width 1.0)."""

    channels = 1024
    stride = multiple = 32

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv_norm(3, 24, 3, stride=2, activation=nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layers = nn.ModuleList()
        inputs = 24
        for outputs, repeats in STAGES:
            units = [InvertedResidual(inputs, outputs, 2)]
            units += [InvertedResidual(outputs, outputs, 1) for _ in range(repeats - 1)]
            self.layers.append(nn.Sequential(*units))
            inputs = outputs
        self.layers.append(conv_norm(inputs, self.channels, activation=nn.ReLU(inplace=True)))
        self._initialise()

    def _initialise(self) -> None:
        """mmpose: N(0, .01) in the stem, N(0, 1 / fan-in of a pixel) elsewhere, shifts of 1e-4."""
        initialise(self.conv1, std=0.01)
        for layer in self.layers.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=1 / layer.weight.shape[1])
        for layer in self.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.constant_(layer.bias, 1e-4)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(images))
        for layer in self.layers:
            x = layer(x)
        return x
