"""Modules of other libraries' classifiers, by their names there, and ours.

torchvision and timm number what mmpose, and so we, give a name. The order and the arithmetic of the
layers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from hhd.models.mobilenet_v2 import LAYERS
from hhd.models.shufflenet_v2 import STAGES


def _mobilenet_v2_blocks() -> Iterator[tuple[int, int, bool]]:
    """Layer (from 1), block in it, and whether the block expands."""
    for layer, (expand, _, repeats, _) in enumerate(LAYERS, start=1):
        yield from ((layer, block, expand != 1) for block in range(repeats))


def torchvision_mobilenet_v2() -> dict[str, str]:
    """``torchvision.models.mobilenet_v2``."""
    names = {
        "features.0.0": "conv1.conv",
        "features.0.1": "conv1.bn",
        "features.18.0": "conv2.conv",
        "features.18.1": "conv2.bn",
    }
    for number, (layer, block, expands) in enumerate(_mobilenet_v2_blocks(), start=1):
        theirs, ours = f"features.{number}.conv", f"layer{layer}.{block}.conv"
        last = 2 if expands else 1
        for part in range(last):
            names[f"{theirs}.{part}.0"] = f"{ours}.{part}.conv"
            names[f"{theirs}.{part}.1"] = f"{ours}.{part}.bn"
        # The projection has no activation, and no module of its own there.
        names[f"{theirs}.{last}"] = f"{ours}.{last}.conv"
        names[f"{theirs}.{last + 1}"] = f"{ours}.{last}.bn"
    return names


def timm_mobilenet_v2() -> dict[str, str]:
    """timm's ``mobilenetv2_100``."""
    names = {
        "conv_stem": "conv1.conv",
        "bn1": "conv1.bn",
        "conv_head": "conv2.conv",
        "bn2": "conv2.bn",
    }
    for layer, block, expands in _mobilenet_v2_blocks():
        theirs, ours = f"blocks.{layer - 1}.{block}", f"layer{layer}.{block}.conv"
        parts = ("conv_pw", "conv_dw", "conv_pwl") if expands else ("conv_dw", "conv_pw")
        for part, name in enumerate(parts):
            names[f"{theirs}.{name}"] = f"{ours}.{part}.conv"
            names[f"{theirs}.bn{part + 1}"] = f"{ours}.{part}.bn"
    return names


def torchvision_shufflenet_v2() -> dict[str, str]:
    """``torchvision.models.shufflenet_v2_x1_0``."""
    names = {
        "conv1.0": "conv1.conv",
        "conv1.1": "conv1.bn",
        "conv5.0": f"layers.{len(STAGES)}.conv",
        "conv5.1": f"layers.{len(STAGES)}.bn",
    }
    for stage, (_, repeats) in enumerate(STAGES):
        for unit in range(repeats):
            theirs, ours = f"stage{stage + 2}.{unit}", f"layers.{stage}.{unit}"
            # Counted there with the activations; a depthwise convolution has none.
            branches = {"branch2": (0, 3, 5)} | ({} if unit else {"branch1": (0, 2)})
            for branch, places in branches.items():
                for part, place in enumerate(places):
                    names[f"{theirs}.{branch}.{place}"] = f"{ours}.{branch}.{part}.conv"
                    names[f"{theirs}.{branch}.{place + 1}"] = f"{ours}.{branch}.{part}.bn"
    return names
