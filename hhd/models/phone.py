"""A very small network for phones, of operators that mobile runtimes have and quantise well."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hhd.models.layers import Backbone, conv_norm, depthwise, initialise
from hhd.models.mobilenet_v2 import inverted_residuals

# Channels and blocks at stride 4, 8, 16 and 32.
LEVELS = ((16, 1), (24, 2), (40, 3), (64, 3))
WIDTH = 32


class PhoneNet(Backbone):
    """Images -> 32 channels at stride 4: inverted residuals down, a light pyramid up."""

    channels = WIDTH
    stride, multiple = 4, 32

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm(3, 16, 3, stride=2, activation=nn.ReLU6(inplace=True))
        self.down = nn.ModuleList()
        inputs = 16
        for outputs, repeats in LEVELS:
            self.down.append(inverted_residuals(inputs, outputs, repeats, stride=2, expand=4))
            inputs = outputs
        self.lateral = nn.ModuleList(conv_norm(outputs, WIDTH) for outputs, _ in LEVELS)
        self.merge = nn.ModuleList(
            nn.Sequential(
                depthwise(WIDTH, 5), conv_norm(WIDTH, WIDTH, activation=nn.ReLU6(inplace=True))
            )
            for _ in LEVELS
        )
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        levels = []
        for down, lateral in zip(self.down, self.lateral, strict=True):
            x = down(x)
            levels.append(lateral(x))
        y = self.merge[-1](levels[-1])
        for merge, level in zip(self.merge[-2::-1], levels[-2::-1], strict=True):
            y = merge(level + F.interpolate(y, scale_factor=2.0, mode="nearest"))
        return y
