"""ResNet, the backbone of SimpleBaseline (Xiao et al. 2018), in torchvision's names."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from hhd.models.layers import Backbone, initialise


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 to four times ``width``, added to the input. The stride is the 3x3's."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x), inplace=True)


def bottlenecks(inputs: int, width: int, repeats: int, stride: int = 1) -> nn.Sequential:
    """``repeats`` bottlenecks, the first with the stride."""
    after = width * Bottleneck.expansion
    rest = (Bottleneck(after, width) for _ in range(repeats - 1))
    return nn.Sequential(Bottleneck(inputs, width, stride), *rest)


class ResNet(Backbone):
    """Images -> 2048 channels at stride 32; ``repeats`` (3, 4, 6, 3) is ResNet-50."""

    channels = 2048
    stride = multiple = 32

    def __init__(self, repeats: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = bottlenecks(64, 64, repeats[0])
        self.layer2 = bottlenecks(256, 128, repeats[1], stride=2)
        self.layer3 = bottlenecks(512, 256, repeats[2], stride=2)
        self.layer4 = bottlenecks(1024, 512, repeats[3], stride=2)
        initialise(self)
        for layer in self.modules():
            # mmpose: every block starts as the identity.
            if isinstance(layer, Bottleneck):
                nn.init.zeros_(layer.bn3.weight)

    def forward(self, images: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(images)), inplace=True))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features
