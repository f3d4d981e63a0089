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

from hhd.extras import missing_extra_message

HELP = """usage: hhd COMMAND ...

  hhd train RECIPE [--field value]...   train a teacher or a student; --help lists the fields
  hhd eval MODEL --annotations JSON     accuracy of a model.safetensors: PCK, AUC and COCO AP
  hhd predict MODEL IMAGE...            joints of the person that fills each picture
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
        COMMANDS[words[0]](words[1:])
    except ModuleNotFoundError as error:
        message = missing_extra_message(error.name or "")
        if message is None:
            raise
        print(f"hhd: {message}", file=sys.stderr)
        return 1
    except (OSError, ValueError, FloatingPointError) as error:
        print(f"hhd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"hhd: {error or 'interrupted'}", file=sys.stderr)
        return 130
    return 0


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
        prog="hhd eval", description="Accuracy of a model on annotated pictures."
    )
    parser.add_argument("model", type=Path, help="model.safetensors that hhd train wrote")
    parser.add_argument("--annotations", type=Path, required=True, help="COCO-style keypoint JSON")
    parser.add_argument(
        "--images", type=Path, help="folder of the pictures (default: images beside it)"
    )
    add_decoding(parser)
    parser.add_argument("--no-coco-ap", action="store_true", help="PCK only")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(words)

    from rich.console import Console

    from hhd.data.coco import read_persons
    from hhd.data.dataset import CropDataset
    from hhd.evaluation.decode import Decoder
    from hhd.evaluation.report import evaluate, print_report
    from hhd.models.files import load_model
    from hhd.train.loop import choose_device

    model, card = load_model(options.model)
    card = replace(card, **decoding_of(options))
    device = choose_device(options.device)
    images = options.images or options.annotations.parent / "images"
    persons = read_persons(options.annotations, images, card.skeleton)
    data = CropDataset(
        persons,
        card.skeleton,
        input_size=card.input_size,
        stride=model.stride,
        padding=card.padding,
    )
    report = evaluate(
        model.to(device),
        Decoder(card),
        data,
        batch_size=options.batch_size,
        workers=options.workers,
        device=device,
        coco_annotations=None if options.no_coco_ap else options.annotations,
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


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """Options that replace what the model's card says of decoding; without them it holds."""
    parser.add_argument(
        "--decode-window",
        type=lambda word: None if word == "whole" else int(word),
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


def decoding_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a model's card that :func:`add_decoding`'s options replace."""
    return {k: v for k, v in vars(options).items() if k in ("decode_window", "flip_test")}


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


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train_command,
    "eval": eval_command,
    "predict": predict_command,
    "demo": demo_command,
}
