"""``hhd convert FILE --model NAME --output SAFETENSORS``"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hhd.commands.options import add_decoding, command_parser, decoding_of
from hhd.convert import USUAL, convert
from hhd.models.checkpoints import Part

EXAMPLES = """  hhd convert hrnet_w48_mpii_256x256.pth --model hrnet_w48 --skeleton mpii16 \\
    --input-size 256 256 --output hrnet_w48.safetensors
  hhd convert runs/mine/checkpoint.pt --output student.safetensors
"""


def run(words: Sequence[str]) -> None:
    """Convert, and say what came of it."""
    options = _parser().parse_args(words)
    part: Part | None = "student" if options.student else "teacher" if options.teacher else None
    given = {name: getattr(options, name, None) for name in (*USUAL, "task", "model")}
    given = {name: value for name, value in given.items() if value is not None}
    given |= decoding_of(options)
    print(convert(options.file, options.output, part=part, given=given))


def _parser() -> argparse.ArgumentParser:
    """What a checkpoint does not say of itself is asked here."""
    parser = command_parser(
        "convert",
        "A checkpoint of HRNet, mmpose 0.x or 1.x, mmrazor, DWPose or the official HHD code, to a "
        "safetensors file that hhd eval, hhd predict and recipes take. The options say what the "
        "file does not; what hhd train wrote needs none but --output.",
        EXAMPLES,
    )
    parser.add_argument("file", type=Path, help=".pth, .pt or .safetensors")
    parser.add_argument("--model", help="the network, by hhd's name: hrnet_w48 ...")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="SAFETENSORS", help="the file to write"
    )
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
        "--trust",
        action="store_true",
        help="has no effect: nothing that a file holds is run, and it is read without",
    )
    add_decoding(parser, beta="of integral heads (HHD's: 10; default: 1)")
    return parser
