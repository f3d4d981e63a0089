"""MobileNetV2 (Sandler et al. 2018), in mmpose's names."""

from __future__ import annotations

from torch import Tensor, nn

from hhd.models.layers import Backbone, conv_norm, depthwise, initialise

# Expansion, channels, blocks and first stride of layer1 to layer7.
LAYERS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1; added to the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers = [
            depthwise(hidden, stride=stride, activation=nn.ReLU6(inplace=True)),
            conv_norm(hidden, outputs),
        ]
        if expand != 1:
            layers.insert(0, conv_norm(inputs, hidden, activation=nn.ReLU6(inplace=True)))
        self.conv = nn.Sequential(*layers)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


def inverted_residuals(
    inputs: int, outputs: int, repeats: int, stride: int, expand: int
) -> nn.Sequential:
    """``repeats`` blocks, the first with the stride."""
    rest = (InvertedResidual(outputs, outputs, 1, expand) for _ in range(repeats - 1))
    return nn.Sequential(InvertedResidual(inputs, outputs, stride, expand), *rest)


class MobileNetV2(Backbone):
    """Images -> 1280 channels at stride 32."""

    channels = 1280
    stride = multiple = 32

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv_norm(3, 32, 3, stride=2, activation=nn.ReLU6(inplace=True))
        inputs = 32
        for number, (expand, outputs, repeats, stride) in enumerate(LAYERS, start=1):
            layer = inverted_residuals(inputs, outputs, repeats, stride, expand)
            self.add_module(f"layer{number}", layer)
            inputs = outputs
        self.conv2 = conv_norm(inputs, self.channels, activation=nn.ReLU6(inplace=True))
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        # In the order they were added: conv1, layer1 to layer7, conv2.
        x = images
        for layer in self.children():
            x = layer(x)
        return x
