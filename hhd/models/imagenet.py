"""ImageNet weights that torchvision (extra ``imagenet``) and timm (extra ``timm``) download."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from hhd.extras import import_extra
from hhd.models.layers import Backbone
from hhd.models.layouts import find_layout, rename
from hhd.text import one_line


class Source(NamedTuple):
    """A library, and the name by which it knows the weights."""

    library: str
    weights: str


# ResNet-50's first weights, from which mmpose and SimpleBaseline start; those of a longer ImageNet
# training (V2) are not what the published numbers began with.
SOURCES = {
    "mobilenetv2": Source("torchvision", "MobileNet_V2_Weights.IMAGENET1K_V1"),
    "shufflenetv2": Source("torchvision", "ShuffleNet_V2_X1_0_Weights.IMAGENET1K_V1"),
    "resnet50": Source("torchvision", "ResNet50_Weights.IMAGENET1K_V1"),
    "hrnet_w32": Source("timm", "hrnet_w32.ms_in1k"),
    "hrnet_w48": Source("timm", "hrnet_w48.ms_in1k"),
}


def load_imagenet(backbone: Backbone, name: str) -> None:
    """Fill every parameter of the backbone ``name``; the library keeps what it downloads.

    ``ModuleNotFoundError`` names the extra of an absent library, ``ValueError`` a library that does
    not load beside this torch, a failed download, and weights that do not fit.
    """
    source = SOURCES[name]
    library = import_extra(source.library)
    try:
        tensors: dict[str, Tensor] = (
            library.models.get_weight(source.weights).get_state_dict(check_hash=True)
            if source.library == "torchvision"
            else library.create_model(source.weights, pretrained=True).state_dict()
        )
    except Exception as error:
        # Each library's own of the network, of its cache, of a damaged download.
        raise ValueError(
            f"pretrained is true, but {source.library} gives no {source.weights}: "
            f"{one_line(str(error)) or type(error).__name__}; a file that is already there goes "
            "into weights"
        ) from error
    layout = find_layout(tensors)
    if layout is not None:
        tensors = rename(tensors, layout)
    try:
        backbone.load_state_dict({k.removeprefix("backbone."): v for k, v in tensors.items()})
    except RuntimeError as error:
        raise ValueError(
            f"{source.weights} of {source.library} does not fit {name}: {one_line(str(error))}"
        ) from error
