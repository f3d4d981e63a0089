"""Layouts of public files: how each names a network's parts, and how its keys become ours.

Ours are mmpose 1.x's: ``backbone.*`` and ``head.*``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from torch import Tensor

from hhd.models.imagenet_names import (
    timm_mobilenet_v2,
    torchvision_mobilenet_v2,
    torchvision_shufflenet_v2,
)

Renames = tuple[tuple[str, str | None], ...]


class Layout(NamedTuple):
    """Keys of one network. The first layout with a key that begins like ``mark`` is the file's;
    the first rename whose pattern a key begins with holds, None drops the key.

    ``refusal``: why a network of this layout cannot be loaded, whatever its keys.
    """

    name: str
    mark: str
    renames: Renames = ()
    refusal: str | None = None


def _backbone(names: dict[str, str]) -> Renames:
    """A classifier, whose modules ``names`` gives by ours."""
    renamed = ((re.escape(theirs) + r"\.", f"backbone.{ours}.") for theirs, ours in names.items())
    return ((r"(classifier|fc)\.", None), *renamed)


# Pose networks read the largest map alone: the last fusion's other three are for classifiers.
SMALLER_MAPS = r"stage4\.2\.fuse_layers\.[123]\."

LAYOUTS = (
    Layout("mmpose 0.x", r"keypoint_head\.", ((r"keypoint_head\.", "head."),)),
    Layout(
        "mmpose 1.x",
        r"(head|backbone)\.",
        (
            (r"data_preprocessor\.", None),
            # An integral head's grid, and where it has deconvolutions, the head inside it.
            (r"head\.linspace_[xy]", None),
            (r"head\.simplebaseline_head\.", "head."),
            # mmpretrain's classifier, and what leads HRNet's four maps to it.
            (r"head\.fc\.", None),
            (r"neck\.(0\.)?(increase_layers|downsample_layers|final_layer)\.", None),
            (rf"backbone\.{SMALLER_MAPS}", None),
        ),
    ),
    # What HRNet's authors trained on ImageNet, and timm's, has a convolution called final_layer,
    # too.
    Layout(
        "HRNet for ImageNet",
        r"incre_modules\.",
        (
            (r"(incre_modules|downsamp_modules|final_layer|classifier)\.", None),
            (SMALLER_MAPS, None),
            (r"", "backbone."),
        ),
    ),
    Layout(
        "HRNet",
        r"final_layer\.",
        ((r"(?=deconv_layers\.|final_layer\.)", "head."), (r"", "backbone.")),
    ),
    Layout(
        "TensorFlow MobileNetV2 of transformers",
        r"(mobilenet_v2\.)?conv_stem\.first_conv\.",
        refusal="was trained with TensorFlow's padding and batch norm eps, which mobilenetv2 does "
        "not have: take torchvision's, timm's or mmpretrain's",
    ),
    Layout("torchvision MobileNetV2", r"features\.18\.", _backbone(torchvision_mobilenet_v2())),
    Layout("timm MobileNetV2", r"blocks\.\d\.\d\.conv_pwl\.", _backbone(timm_mobilenet_v2())),
    Layout("torchvision ShuffleNetV2", r"conv5\.", _backbone(torchvision_shufflenet_v2())),
    Layout("torchvision", r"fc\.", ((r"fc\.", None), (r"", "backbone."))),
    Layout(
        "backbone alone",
        r"(layer4\.0|layers\.2\.0|stage4\.2|stage2\.0)\.",
        ((SMALLER_MAPS, None), (r"", "backbone.")),
    ),
)


def find_layout(tensors: dict[str, Tensor]) -> Layout | None:
    """The layout that a key of ``tensors`` marks."""
    return next((x for x in LAYOUTS if any(re.match(x.mark, key) for key in tensors)), None)


def rename(tensors: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """``tensors`` under our keys; a key that no rename knows keeps its own."""
    renamed = {}
    for key, value in tensors.items():
        for pattern, ours in layout.renames:
            if re.match(pattern, key):
                if ours is not None:
                    renamed[re.sub(pattern, ours, key, count=1)] = value
                break
        else:
            renamed[key] = value
    return renamed
