"""Heads, and the networks made of a backbone and a head.

A heatmap network and an integral one have the same head, which ends at the maps: the first reads
them as heatmaps, the second as logits of a soft-argmax, which the loss and the decoder hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hhd.models.base import PoseModel
from hhd.models.layers import Backbone, initialise


class MapHead(nn.Module):
    """Features [B, C, h, w] -> maps [B, K, 2^n h, 2^n w]: n deconvolutions, then a 1x1 convolution.

    SimpleBaseline's head, in mmpose's names. ``deconv`` are the deconvolutions' widths, maybe none.
    """

    def __init__(self, channels: int, joints: int, deconv: Sequence[int] = ()) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in deconv:
            up = nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1, bias=False)
            layers += [up, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(channels, joints, 1)
        # The last convolution keeps torch's start, which heatmap training replaces (as mmpose).
        initialise(self.deconv_layers, std=0.001)

    def forward(self, features: Tensor) -> Tensor:
        maps: Tensor = self.final_layer(self.deconv_layers(features))
        return maps


class TopDownPose(PoseModel):
    """A backbone and a :class:`MapHead`, under the names that mmpose gives them."""

    def __init__(self, backbone: Backbone, joints: int, deconv: Sequence[int] = ()) -> None:
        super().__init__()
        if 2 ** len(deconv) > backbone.stride or any(width <= 0 for width in deconv):
            raise ValueError(
                f"deconv is {list(deconv)}; it takes positive widths, up to "
                f"{backbone.stride.bit_length() - 1} of them after features of stride "
                f"{backbone.stride}"
            )
        self.stride = backbone.stride >> len(deconv)
        self.multiple = backbone.multiple
        self.backbone = backbone
        self.head = MapHead(backbone.channels, joints, deconv)

    def last_convolution(self) -> nn.Conv2d:
        return self.head.final_layer

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.head(self.backbone(images))
        return maps
