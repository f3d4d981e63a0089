"""Pieces that several backbones are made of."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


class Backbone(nn.Module):
    """Images [B, 3, H, W] -> features [B, channels, H / stride, W / stride].

    H and W are multiples of ``multiple``.
    """

    channels: int
    stride: int
    multiple: int


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    norm: bool = True,
    activation: nn.Module | None = None,
) -> nn.Sequential:
    """Convolution, batch norm, activation, under the names that mmcv's ConvModule gives them.

    Without ``norm`` the convolution has a bias.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv"] = nn.Conv2d(
        inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=not norm
    )
    if norm:
        layers["bn"] = nn.BatchNorm2d(outputs)
    if activation is not None:
        layers["activate"] = activation
    return nn.Sequential(layers)


def depthwise(
    channels: int, kernel: int = 3, *, stride: int = 1, activation: nn.Module | None = None
) -> nn.Sequential:
    """:func:`conv_norm` with a filter of its own for each channel."""
    return conv_norm(
        channels, channels, kernel, stride=stride, groups=channels, activation=activation
    )


def channel_shuffle(x: Tensor) -> Tensor:
    """Interleave the two halves of the channels: a0 b0 a1 b1 ..."""
    # Not unflatten, which torch.onnx writes for the traced batch size alone.
    batch, channels, height, width = x.shape
    halves = x.reshape(batch, 2, channels // 2, height, width)
    return halves.transpose(1, 2).reshape(x.shape)


def initialise(module: nn.Module, std: float | None = None) -> None:
    """Convolutions from N(0, std), or He's fan-out rule if ``std`` is None; no bias to start with.

    The batch norms keep torch's 1 and 0.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            if std is None:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
