"""Keys of torchvision's and timm's ImageNet networks, under ours."""

from __future__ import annotations

from hhd.models.mobilenet_v2 import LAYERS

Renames = tuple[tuple[str, str | None], ...]

# ImageNet's classes are no joints.
CLASSIFIER: Renames = ((r"(classifier|fc)\.", None),)


def _conv_norm(theirs: str, ours: str, conv: int = 0, norm: int = 1) -> Renames:
    """A convolution and its norm, which they number."""
    return (rf"{theirs}\.{conv}\.", f"{ours}.conv."), (rf"{theirs}\.{norm}\.", f"{ours}.bn.")


def _named(theirs: str, conv: str, norm: str, ours: str) -> Renames:
    """A convolution and its norm, which they name."""
    return (rf"{theirs}{conv}\.", f"{ours}.conv."), (rf"{theirs}{norm}\.", f"{ours}.bn.")


def torchvision_mobilenet_v2() -> Renames:
    """torchvision ``mobilenet_v2``: all blocks in a row."""
    renames = [*CLASSIFIER, *_conv_norm(r"features\.0", "backbone.conv1")]
    number = 0
    for layer, (expand, _, repeats, _) in enumerate(LAYERS, start=1):
        for block in range(repeats):
            number += 1
            theirs = rf"features\.{number}\.conv"
            ours = f"backbone.layer{layer}.{block}.conv"
            before = 1 if expand == 1 else 2
            for part in range(before):
                renames += _conv_norm(rf"{theirs}\.{part}", f"{ours}.{part}")
            renames += _conv_norm(theirs, f"{ours}.{before}", before, before + 1)
    renames += _conv_norm(rf"features\.{number + 1}", "backbone.conv2")
    return tuple(renames)


def torchvision_shufflenet_v2() -> Renames:
    """torchvision ``shufflenet_v2_x1_0``."""
    renames = [*CLASSIFIER, *_conv_norm("conv1", "backbone.conv1")]
    for stage in (2, 3, 4):
        theirs, ours = rf"stage{stage}\.(\d+)", rf"backbone.layers.{stage - 2}.\1"
        # Branch, their number of the convolution, our number of the part.
        for branch, first, part in ((1, 0, 0), (1, 2, 1), (2, 0, 0), (2, 3, 1), (2, 5, 2)):
            renames += _conv_norm(
                rf"{theirs}\.branch{branch}", f"{ours}.branch{branch}.{part}", first, first + 1
            )
    renames += _conv_norm("conv5", "backbone.layers.3")
    return tuple(renames)


def timm_mobilenet_v2() -> Renames:
    """timm ``mobilenetv2_100``; those it took from TensorFlow pad otherwise, and are none of it."""
    renames = [*CLASSIFIER, *_named("", "conv_stem", "bn1", "backbone.conv1")]
    first = r"blocks\.0\.0\."
    renames += _named(first, "conv_dw", "bn1", "backbone.layer1.0.conv.0")
    renames += _named(first, "conv_pw", "bn2", "backbone.layer1.0.conv.1")
    for layer in range(2, len(LAYERS) + 1):
        theirs, ours = rf"blocks\.{layer - 1}\.(\d+)\.", rf"backbone.layer{layer}.\1.conv"
        renames += _named(theirs, "conv_pw", "bn1", f"{ours}.0")
        renames += _named(theirs, "conv_dw", "bn2", f"{ours}.1")
        renames += _named(theirs, "conv_pwl", "bn3", f"{ours}.2")
    renames += _named("", "conv_head", "bn2", "backbone.conv2")
    return tuple(renames)
