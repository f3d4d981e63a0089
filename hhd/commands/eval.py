"""``hhd eval MODEL --annotations JSON``"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hhd.commands.options import (
    add_data,
    add_decoding,
    add_rules,
    command_parser,
    decoding_of,
    from_up,
    rules_of,
)
from hhd.evaluate import evaluate_file
from hhd.evaluation.report import print_report
from hhd.files import write_json

EXAMPLES = """  hhd eval runs/mine/model.safetensors --annotations val.json --images val2017
  hhd eval MODEL --annotations val.json --detections boxes.json --json numbers.json
  hhd eval MODEL --annotations val.json --flip-test none --decode-window whole
"""


def run(words: Sequence[str]) -> None:
    """Evaluate, print, and write the numbers where asked to."""
    options = _parser().parse_args(words)
    if options.detections and options.mpii_truth:
        raise ValueError(
            "--detections and --mpii-truth are both given, but PCKh is of annotated persons"
        )
    if options.detections and options.no_coco_ap:
        raise ValueError(
            "--detections with --no-coco-ap: detected boxes have no labels, so there is nothing to "
            "evaluate"
        )
    # Before the minutes that the evaluation takes.
    if options.json and not options.json.parent.is_dir():
        raise FileNotFoundError(f"json is {options.json}: its folder does not exist")
    if options.json and options.json.is_dir():
        raise IsADirectoryError(f"json is {options.json}, which is a folder")
    console = Console()
    report, skeleton = evaluate_file(
        options.model,
        options.annotations,
        console,
        images=options.images,
        detections=options.detections,
        mpii_truth=options.mpii_truth,
        coco_ap=not options.no_coco_ap,
        decoding=decoding_of(options),
        rules=rules_of(options),
        batch_size=options.batch_size,
        workers=options.workers,
        device=options.device,
    )
    print_report(console, report, skeleton)
    if options.json:
        write_json(options.json, report.as_dict())


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "eval",
        "Accuracy of a model on annotated pictures. What no option says, the model's card does, or "
        "the recipe in it.",
        EXAMPLES,
    )
    parser.add_argument("model", type=Path, help="model.safetensors that hhd train wrote")
    parser.add_argument(
        "--annotations", type=Path, required=True, help="COCO-style JSON, MPII's JSON or .mat"
    )
    parser.add_argument("--detections", type=Path, help="COCO detection JSON: its boxes instead")
    parser.add_argument("--mpii-truth", type=Path, help="MPII's gt_valid.mat or .mat: PCKh too")
    parser.add_argument("--no-coco-ap", action="store_true", help="PCK only")
    add_data(parser)
    add_decoding(parser)
    add_rules(parser)
    parser.add_argument(
        "--batch-size", type=from_up(1), default=32, help="persons at once (default: %(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=from_up(0),
        default=1,
        help="processes that load crops (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    return parser
