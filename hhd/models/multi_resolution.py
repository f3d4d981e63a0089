"""What HRNet and Lite-HRNet share: branches at several resolutions, and the layers between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn


class MakeConvolution(Protocol):
    """How a network convolves 3x3 on the way from one width to another, batch norm included."""

    def __call__(self, inputs: int, outputs: int, stride: int, relu: bool) -> nn.Sequential: ...


def transition_layers(
    before: Sequence[int], after: Sequence[int], convolution: MakeConvolution
) -> nn.ModuleList:
    """From the branches of one stage to those of the next, which has one more, at half the size."""
    layers: list[nn.Module] = [
        nn.Identity() if inputs == outputs else convolution(inputs, outputs, 1, True)
        for inputs, outputs in zip(before, after, strict=False)
    ]
    layers.append(nn.Sequential(convolution(before[-1], after[-1], 2, True)))
    return nn.ModuleList(layers)


def branch_out(transitions: nn.ModuleList, branches: Sequence[Tensor]) -> list[Tensor]:
    """Run :func:`transition_layers`; the new branch comes from the smallest one before it."""
    return [
        transition(branches[min(index, len(branches) - 1)])
        for index, transition in enumerate(transitions)
    ]


def fuse_layers(
    channels: Sequence[int], outputs: int, convolution: MakeConvolution
) -> nn.ModuleList:
    """``layers[i][j]`` brings branch j to the width and size of branch i, for i < ``outputs``."""

    def layer(target: int, source: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            return nn.Sequential(
                nn.Conv2d(channels[source], channels[target], 1, bias=False),
                nn.BatchNorm2d(channels[target]),
                nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
            )
        halvings = []
        for step in range(source, target):
            last = step == target - 1
            width = channels[target] if last else channels[source]
            halvings.append(convolution(channels[source], width, 2, not last))
        return nn.Sequential(*halvings)

    return nn.ModuleList(
        nn.ModuleList(layer(target, source) for source in range(len(channels)))
        for target in range(outputs)
    )
