"""``hhd convert``: any checkpoint that hhd reads, to a model file of its own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hhd.cli import add_decoding, decoding_of
from hhd.data.skeleton import load_skeleton
from hhd.models import build_model
from hhd.models.checkpoints import Part, load_weights, read_weights
from hhd.models.files import ModelCard, save_model
from hhd.train.checkpoint import file_digest


def run(words: Sequence[str]) -> None:
    """Read a checkpoint, check it against the network, write weights and card."""
    options = parser().parse_args(words)
    part: Part | None = "student" if options.student else "teacher" if options.teacher else None
    weights = read_weights(options.file, part, options.trust)
    skeleton = load_skeleton(options.skeleton)
    if weights.joints != len(skeleton):
        raise weights.refuse(
            f"has {weights.joints} joints, skeleton {skeleton.name} {len(skeleton)}"
        )
    model = build_model(options.model, len(skeleton), deconv=options.deconv)
    size = tuple(options.input_size)
    model.check_input_size(size)
    load_weights(model, weights, options.model)
    card = ModelCard(
        options.model,
        options.task or ("integral" if weights.integral else "heatmap"),
        size,
        options.padding,
        options.beta,
        options.sigma,
        skeleton,
        affine=options.affine,
        deconv=None if options.deconv is None else tuple(options.deconv),
        source=f"{options.file.name} ({weights.layout}), sha256 {file_digest(options.file)}",
    )
    card = replace(card, **decoding_of(options))
    save_model(options.output, model, card)
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{options.output}: {options.model}, {card.task}, {len(skeleton)} joints of "
        f"{skeleton.name}, {millions:.2f} M parameters, from {weights.layout}"
    )


def parser() -> argparse.ArgumentParser:
    """The command's options; what a checkpoint does not say of itself is asked here."""
    parser = argparse.ArgumentParser(
        prog="hhd convert",
        description="A checkpoint of HRNet, mmpose 0.x or 1.x, mmrazor, DWPose or the official HHD "
        "code, to a safetensors file that hhd eval, hhd predict and recipes take.",
    )
    parser.add_argument("file", type=Path, help=".pth, .pt or .safetensors")
    parser.add_argument("--model", required=True, help="the network, by hhd's name: hrnet_w48 ...")
    parser.add_argument("--output", type=Path, required=True, metavar="SAFETENSORS")
    parser.add_argument("--skeleton", default="coco17", help="its joints (default: coco17)")
    parser.add_argument(
        "--input-size", type=int, nargs=2, default=(192, 256), metavar=("WIDTH", "HEIGHT")
    )
    parser.add_argument(
        "--task", choices=("heatmap", "integral"), help="(default: what the file's head is)"
    )
    parser.add_argument("--beta", type=float, default=1.0, help="of integral heads (HHD's: 10)")
    parser.add_argument("--sigma", type=float, default=2.0, help="of its targets (default: 2)")
    parser.add_argument("--padding", type=float, default=1.25, help="of boxes (default: 1.25)")
    parser.add_argument("--affine", choices=("standard", "udp"), default="standard")
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
