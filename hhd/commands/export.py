"""``hhd export [MODEL] --output FILE.onnx``"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hhd.commands.options import add_decoding, command_parser, decoding_of, from_up
from hhd.models.shipped import SHIPPED

EXAMPLES = """\
  hhd export --output student.onnx                        the network that comes with hhd
  hhd export run/model.safetensors --output student.onnx --check val.json --images DIR
  hhd export run/model.safetensors --output small.onnx --int8 --calibrate "pictures/*.jpg"
  hhd predict student.onnx picture.jpg                    the file, run by ONNX Runtime

The graph takes images, uint8 [N, height, width, 3] in RGB, and gives keypoints [N, K, 2], x and y
in pixels of the crop, and confidence [N, K]. Its metadata hold the card: joints, input_size,
padding, affine ... examples/onnxruntime_decode.py runs it without torch; docs/deploy.md says more.
"""


def run(words: Sequence[str]) -> None:
    """Export, check, and say what came of it."""
    options = _parser().parse_args(words)
    # Here, so that --help needs no more than the extra train.
    from hhd.export.graph import OPSET
    from hhd.export.run import CALIBRATION, export_model

    export_model(
        options.model,
        options.output,
        Console(),
        decoding=decoding_of(options),
        opset=options.opset or OPSET,
        precision="int8" if options.int8 else "float16" if options.half else "float32",
        calibrate=options.calibrate,
        calibration=options.calibration or CALIBRATION,
        images=options.images,
        check=options.check,
        limit=options.limit,
    )


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "export",
        "A model as one ONNX file, pixels in, keypoints out: normalisation, network, decoding and "
        "confidence are in the graph. The file is compared with PyTorch before it is written.",
        EXAMPLES,
    )
    parser.add_argument(
        "model",
        type=Path,
        nargs="?",
        default=SHIPPED,
        help="model.safetensors that hhd train or hhd convert wrote (default: the network that "
        "comes with hhd)",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE.onnx", help="the file to write"
    )
    parser.add_argument(
        "--opset", type=from_up(1), help="of ONNX, 13 to 20 (default: 17, which all runtimes take)"
    )
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        "--int8",
        action="store_true",
        help="the network in int8 (QDQ), decoding in float32; takes --calibrate",
    )
    precision.add_argument(
        "--half",
        action="store_true",
        help="weights kept as float16, half the file; computed in float32",
    )
    parser.add_argument(
        "--calibrate",
        metavar="PICTURES|ANNOTATIONS",
        help="int8: what the network will see: a folder or pattern of pictures that one person "
        "fills each, or an annotation file",
    )
    parser.add_argument(
        "--calibration", type=from_up(1), metavar="N", help="int8: crops of them (default: 100)"
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="ANNOTATIONS",
        help="print the accuracy of PyTorch and of the graph on annotated pictures",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the annotation files' pictures (default: images beside them, or one folder "
        "above)",
    )
    parser.add_argument(
        "--limit",
        type=float,
        metavar="PIXELS",
        help="write nothing where the graph differs more from PyTorch (default: .1 at most; --half "
        "and --int8: 1 in the median)",
    )
    group = parser.add_argument_group(
        "decoding in the graph",
        "the model's own but for the flip test, which doubles the time: none unless --flip-test "
        "is given",
    )
    add_decoding(group, flip_default="none")
    return parser
