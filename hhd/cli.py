"""The ``hhd`` command.

Each subcommand imports what it needs itself, so that a missing extra is named and not traced.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hhd.checks import check_positive
from hhd.extras import missing_extra_message

HELP = """usage: hhd COMMAND ...

  hhd train RECIPE [--field value]...   train a teacher or a student; --help lists the fields
  hhd eval MODEL --annotations JSON     accuracy of a model.safetensors: PCK, AUC and COCO AP
  hhd data check JSON --skeleton NAME   what is broken in a data set, file by file
  hhd data preview RECIPE               a sheet of its augmented training crops, joints drawn
  hhd predict MODEL IMAGE...            joints of the person that fills each picture
  hhd convert FILE --model NAME ...     a public checkpoint to a model.safetensors
  hhd demo                              a smoke test of it all on generated data, a few minutes
  hhd --version                         the version
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. What the user can mend is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(HELP)
        return 0
    if words[0] == "--version":
        print(f"hhd {version('hhd')}")
        return 0
    if words[0] not in COMMANDS:
        print(
            f"hhd: {words[0]!r} is not a command; it takes one of {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    try:
        status = COMMANDS[words[0]](words[1:])
    except ModuleNotFoundError as error:
        message = missing_extra_message(error.name or "")
        if message is None:
            raise
        print(f"hhd: {message}", file=sys.stderr)
        return 1
    except (OSError, ValueError, FloatingPointError) as error:
        # What a file spells may hold line breaks.
        print("hhd:", *str(error).splitlines(), file=sys.stderr)
        return 1
    except RuntimeError as error:
        # The kernels refuse, by name, a backend that was chosen and cannot run.
        if not str(error).startswith("hhd_kernels."):
            raise
        print(f"hhd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"hhd: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130
    return status or 0


def train_command(words: Sequence[str]) -> None:
    """``hhd train RECIPE [--field value]...``"""
    from rich.console import Console

    from hhd.data.skeleton import load_skeleton
    from hhd.evaluation.report import print_report
    from hhd.train.loop import checkpoint_path, train
    from hhd.train.recipe import parse_recipe

    recipe = parse_recipe(words)
    console = Console()
    try:
        trained = train(recipe, console)
    except KeyboardInterrupt as error:
        checkpoint = checkpoint_path(recipe)
        found = "the same command goes on from" if checkpoint.is_file() else "there is not yet a"
        raise KeyboardInterrupt(f"interrupted; {found} {checkpoint}") from error
    print_report(console, trained.report, load_skeleton(recipe.skeleton))
    console.print(
        f"{trained.images_per_second:.0f} images/s; model and log in {recipe.output}",
        highlight=False,
    )


def eval_command(words: Sequence[str]) -> None:
    """``hhd eval MODEL --annotations JSON``"""
    parser = argparse.ArgumentParser(
        prog="hhd eval",
        description="Accuracy of a model on annotated pictures. What no option says, the model's "
        "card does, or the recipe in it.",
    )
    parser.add_argument("model", type=Path, help="model.safetensors that hhd train wrote")
    parser.add_argument(
        "--annotations", type=Path, required=True, help="COCO-style JSON, MPII's JSON or .mat"
    )
    parser.add_argument(
        "--images", type=Path, help="folder of the pictures (default: images beside it)"
    )
    parser.add_argument("--detections", type=Path, help="COCO detection JSON: its boxes instead")
    parser.add_argument("--mpii-truth", type=Path, help="MPII's gt_valid.mat or .mat: PCKh too")
    parser.add_argument("--no-coco-ap", action="store_true", help="PCK only")
    add_decoding(parser)
    add_rules(parser)
    parser.add_argument("--batch-size", type=from_up(1), default=32)
    parser.add_argument("--workers", type=from_up(0), default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(words)
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

    from rich.console import Console

    from hhd.data.dataset import CropDataset
    from hhd.data.mpii import read_mpii_truth
    from hhd.data.read import is_mpii, read_annotations
    from hhd.evaluation.coco_ap import ApRules
    from hhd.evaluation.decode import Decoder
    from hhd.evaluation.report import check_evaluation, evaluate, print_report
    from hhd.models.files import load_model
    from hhd.train.loop import choose_device
    from hhd.train.recipe import Recipe

    model, card = load_model(options.model)
    card = replace(card, **decoding_of(options))
    # As the model's own run evaluated; another's checkpoint has no recipe.
    rules = argparse.Namespace(**Recipe().as_dict() | (card.recipe or {}) | vars(options))
    check_positive("nms_threshold", rules.nms_threshold)
    device = choose_device(options.device)
    persons = read_annotations(
        options.annotations,
        options.images or options.annotations.parent / "images",
        card.skeleton,
        boxes=rules.boxes,
        detections=options.detections,
        score_threshold=rules.detection_threshold,
    )
    data = CropDataset(
        persons,
        card.skeleton,
        input_size=card.input_size,
        stride=model.stride,
        padding=card.padding,
        affine=card.affine,
    )
    no_ap = options.no_coco_ap or is_mpii(options.annotations)
    measured: dict[str, Any] = {
        "coco_annotations": None if no_ap else options.annotations,
        "missing_area": "box" if rules.area_of_box else "refuse",
        "mpii_truth": None if options.mpii_truth is None else read_mpii_truth(options.mpii_truth),
    }
    check_evaluation(data, **measured)
    report = evaluate(
        model.to(device),
        Decoder(card),
        data,
        batch_size=options.batch_size,
        workers=options.workers,
        device=device,
        ap_rules=ApRules(rules.score, nms=rules.nms, nms_threshold=rules.nms_threshold),
        **measured,
    )
    print_report(Console(), report, card.skeleton)
    if options.json:
        options.json.write_text(json.dumps(report.as_dict(), indent=1))


def predict_command(words: Sequence[str]) -> None:
    """``hhd predict MODEL IMAGE...``"""
    parser = argparse.ArgumentParser(
        prog="hhd predict",
        description="Joints of the person that fills each picture, drawn and as JSON.",
    )
    parser.add_argument("model", type=Path, help="model.safetensors that hhd train wrote")
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/predict"), help="folder for pictures and JSON"
    )
    add_decoding(parser)
    parser.add_argument(
        "--min-confidence", type=float, default=0.0, help="draw joints from here on"
    )
    options = parser.parse_args(words)

    from hhd.evaluation.decode import Decoder
    from hhd.models.files import load_model
    from hhd.predict import predict_pictures

    model, card = load_model(options.model)
    decoder = Decoder(replace(card, **decoding_of(options)))
    predict_pictures(model, decoder, options.images, options.output, options.min_confidence)
    print(f"pictures and predictions.json in {options.output}")


def from_up(least: int) -> Callable[[str], int]:
    """The type of options that take a whole number from ``least`` up."""

    def number(word: str) -> int:
        try:
            value = int(word)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{word!r}; it takes a whole number from {least} up")
        return value

    return number


def window_side(word: str) -> int | None:
    """The type of ``--decode-window``; which numbers can be is the model card's to say."""
    try:
        return None if word == "whole" else int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{word!r}; it takes whole or an odd number") from None


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """Options that replace what the model's card says of decoding; without them it holds."""
    parser.add_argument(
        "--decode-window",
        type=window_side,
        default=argparse.SUPPRESS,
        metavar="SIDE",
        help="side of the local soft-argmax, or whole for the whole map (default: the model's own)",
    )
    parser.add_argument(
        "--flip-test",
        choices=("none", "coordinates", "heatmaps"),
        default=argparse.SUPPRESS,
        help="average with the mirrored picture (default: the model's own)",
    )
    for name, choices in (
        ("--flip-shift", ("exact", "cell", "none")),
        ("--heatmap-decode", ("plain", "quarter", "quarter_hrnet", "dark", "dark_udp")),
        ("--confidence", ("mass", "constant")),
    ):
        parser.add_argument(
            name,
            choices=choices,
            default=argparse.SUPPRESS,
            help="see hhd/evaluation/decode.py (default: the model's own)",
        )


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Options that replace what the recipe in a model's card says of evaluation."""
    group = parser.add_argument_group(
        "rules of evaluation", "see hhd train --help (default: the model's own recipe's)"
    )
    for name, choices in (
        ("--boxes", ("as_given", "hrnet", "mmpose")),
        ("--score", ("bbox", "keypoint", "bbox_keypoint", "bbox_rle")),
        ("--nms", ("oks", "soft_oks", "none")),
    ):
        group.add_argument(name, choices=choices, default=argparse.SUPPRESS)
    for name, unit in (("--nms-threshold", "OKS"), ("--detection-threshold", "SCORE")):
        group.add_argument(name, type=float, metavar=unit, default=argparse.SUPPRESS)
    group.add_argument(
        "--area-of-box", action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS
    )


def decoding_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a model's card that :func:`add_decoding`'s options replace."""
    fields = {"decode_window", "flip_test", "flip_shift", "heatmap_decode", "confidence"}
    return {k: v for k, v in vars(options).items() if k in fields}


def demo_command(words: Sequence[str]) -> None:
    """``hhd demo``"""
    parser = argparse.ArgumentParser(
        prog="hhd demo", description="A smoke test of it all on generated data."
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/demo"), help="folder for data, runs and pictures"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tiny", action="store_true", help="seconds instead of minutes; numbers mean nothing"
    )
    options = parser.parse_args(words)

    from hhd.demo import run_demo

    run_demo(options.output, seed=options.seed, tiny=options.tiny)


def data_command(words: Sequence[str]) -> int:
    """``hhd data check|preview``"""
    from hhd.data.command import run

    return run(words)


def convert_command(words: Sequence[str]) -> None:
    """``hhd convert FILE --model NAME --output SAFETENSORS``"""
    from hhd.convert import run

    run(words)


COMMANDS: dict[str, Callable[[Sequence[str]], int | None]] = {
    "train": train_command,
    "eval": eval_command,
    "data": data_command,
    "predict": predict_command,
    "convert": convert_command,
    "demo": demo_command,
}
