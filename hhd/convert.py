"""``hhd convert``: any checkpoint that hhd reads, to a model file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hhd.data.skeleton import Skeleton, load_skeleton
from hhd.files import file_digest
from hhd.models import build_model
from hhd.models.checkpoints import Part, Weights, load_weights, read_weights
from hhd.models.files import ModelCard, save_model
from hhd.train.recipe import Recipe

# What neither the file nor an option says.
USUAL: dict[str, Any] = {
    "skeleton": "coco17",
    "input_size": (192, 256),
    "padding": 1.25,
    "beta": 1.0,
    "sigma": 2.0,
    "affine": "standard",
    "deconv": None,
}
# Of mmpose's configuration of that head.
DEBIAS_BETA = 10.0
DEBIAS = (
    "its head is mmpose's debiased one, which differs from a soft-argmax by a shift of at most "
    "1 / (2 C) of the picture, C the sum of exp over the map: a tenth of a pixel, left out here"
)
DECODING = ("flip_test", "flip_shift", "heatmap_decode", "confidence")


def convert(
    file: Path,
    output: Path,
    *,
    part: Part | None = None,
    given: Mapping[str, Any],
) -> str:
    """Read a checkpoint, check it against the network, write weights and card; a line about them.

    ``given``: fields of the card that the file does not say, or says otherwise.
    """
    if output.suffix != ".safetensors" or output.resolve() == file.resolve():
        raise ValueError(f"output is {output}; it takes a file of its own, NAME.safetensors")
    weights = read_weights(file, part)
    fields = USUAL | {"task": "integral" if weights.integral else "heatmap"}
    if weights.debias:
        fields["beta"] = DEBIAS_BETA
    fields |= _said_by(weights)
    fields |= given
    if fields["affine"] == "udp":
        fields.setdefault("heatmap_decode", "dark_udp")
    if "model" not in fields:
        raise weights.refuse("does not say which network it holds: name it with --model")
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    named = fields.pop("skeleton")
    # A card holds all of its skeleton, whose file need not be here.
    skeleton = named if isinstance(named, Skeleton) else load_skeleton(str(named))
    if weights.joints != len(skeleton):
        raise weights.refuse(
            f"has {weights.joints} joints, skeleton {skeleton.name} {len(skeleton)}"
        )
    source = f"{file.name} ({weights.layout}), sha256 {file_digest(file)}"
    try:
        card = ModelCard(**fields, skeleton=skeleton, recipe=weights.recipe, source=source)
    except (ValueError, TypeError) as error:
        raise ValueError(f"model file of {file}: {error}") from error
    model = build_model(card.model, len(skeleton), deconv=card.deconv)
    model.check_input_size(card.input_size)
    load_weights(model, weights, card.model)
    save_model(output, model, card)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    return (
        f"{output}: {card.model}, {card.task}, {len(skeleton)} joints of "
        f"{skeleton.name}, {millions:.2f} M parameters, from {weights.layout}"
        + (f"; {DEBIAS} (beta {card.beta:g})" if weights.debias else "")
    )


def _said_by(weights: Weights) -> dict[str, Any]:
    """The fields of the card that a file of ours gives by its own card or its run's recipe."""
    names = ("model", "task", *USUAL, *DECODING)
    if weights.card is not None:
        return {name: getattr(weights.card, name) for name in (*names, "decode_window", "preset")}
    recipe = weights.recipe or {}
    said = {name: recipe[name] for name in names if name in recipe}
    if recipe.get("decode") == "local":
        said["decode_window"] = recipe.get("decode_window", Recipe.decode_window)
    return said
