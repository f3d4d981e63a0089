"""``hhd convert``: any checkpoint that hhd reads, to a model file of its own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hhd.cli import add_decoding, decoding_of
from hhd.data.skeleton import Skeleton, load_skeleton
from hhd.models import build_model
from hhd.models.checkpoints import Part, Weights, load_weights, read_weights
from hhd.models.files import ModelCard, save_model
from hhd.train.checkpoint import file_digest
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
DECODING = ("flip_test", "flip_shift", "heatmap_decode", "confidence")


def run(words: Sequence[str]) -> None:
    """Read a checkpoint, check it against the network, write weights and card."""
    options = parser().parse_args(words)
    output = options.output
    if output.suffix != ".safetensors" or output.resolve() == options.file.resolve():
        raise ValueError(f"output is {output}; it takes a file of its own, NAME.safetensors")
    part: Part | None = "student" if options.student else "teacher" if options.teacher else None
    weights = read_weights(options.file, part, options.trust)
    fields = USUAL | {"task": "integral" if weights.integral else "heatmap"}
    fields |= _said_by(weights)
    given = {name: getattr(options, name) for name in (*USUAL, "task", "model")}
    fields |= {name: value for name, value in given.items() if value is not None}
    fields |= decoding_of(options)
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
    source = f"{options.file.name} ({weights.layout}), sha256 {file_digest(options.file)}"
    try:
        card = ModelCard(**fields, skeleton=skeleton, recipe=weights.recipe, source=source)
    except (ValueError, TypeError) as error:
        raise ValueError(f"model file of {options.file}: {error}") from error
    model = build_model(card.model, len(skeleton), deconv=card.deconv)
    model.check_input_size(card.input_size)
    load_weights(model, weights, card.model)
    save_model(output, model, card)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{output}: {card.model}, {card.task}, {len(skeleton)} joints of "
        f"{skeleton.name}, {millions:.2f} M parameters, from {weights.layout}"
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


def parser() -> argparse.ArgumentParser:
    """The command's options; what a checkpoint does not say of itself is asked here."""
    parser = argparse.ArgumentParser(
        prog="hhd convert",
        description="A checkpoint of HRNet, mmpose 0.x or 1.x, mmrazor, DWPose or the official HHD "
        "code, to a safetensors file that hhd eval, hhd predict and recipes take. The options say "
        "what the file does not; what hhd train wrote needs none but --output.",
    )
    parser.add_argument("file", type=Path, help=".pth, .pt or .safetensors")
    parser.add_argument("--model", help="the network, by hhd's name: hrnet_w48 ...")
    parser.add_argument("--output", type=Path, required=True, metavar="SAFETENSORS")
    parser.add_argument("--skeleton", help="its joints (default: coco17)")
    parser.add_argument(
        "--input-size",
        type=int,
        nargs=2,
        metavar=("WIDTH", "HEIGHT"),
        help="of its crops (default: 192 256)",
    )
    parser.add_argument(
        "--task", choices=("heatmap", "integral"), help="(default: what the file's head is)"
    )
    parser.add_argument("--beta", type=float, help="of integral heads (HHD's: 10; default: 1)")
    parser.add_argument("--sigma", type=float, help="of its targets (default: 2)")
    parser.add_argument("--padding", type=float, help="of boxes (default: 1.25)")
    parser.add_argument("--affine", choices=("standard", "udp"), help="(default: standard)")
    parser.add_argument(
        "--deconv", type=int, nargs="*", metavar="WIDTH", help="(default: as the authors have it)"
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--student", action="store_true", help="of a distiller's file (default)")
    part.add_argument("--teacher", action="store_true", help="of a distiller's file")
    parser.add_argument(
        "--trust", action="store_true", help="read more than tensors: runs code that the file holds"
    )
    add_decoding(parser)
    return parser
