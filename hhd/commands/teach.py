"""``hhd teach TEACHER ...`` and ``hhd teach views RECIPE ...``"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from hhd.commands.options import command_parser, from_up
from hhd.console import say
from hhd.data.read import picture_folder, read_annotations
from hhd.data.skeleton import load_skeleton
from hhd.draw import check_picture_name
from hhd.teach.canonical import PATCH
from hhd.teach.networks import open_teachers
from hhd.teach.store import TargetStore
from hhd.teach.viewer import Looking
from hhd.teaching.check import write_check
from hhd.teaching.persons import teach_persons
from hhd.teaching.views import teach_views
from hhd.train.ownership import Stop, Terminated
from hhd.train.processes import joined_processes
from hhd.train.recipe import parse_recipe

USUAL = Looking()
OPTIONS: dict[str, dict[str, Any]] = {
    "teacher": {
        "nargs": "+", "metavar": "TEACHER",
        "help": "a teacher card (YAML), a model.safetensors, an .onnx, a folder of ViTPose, hf:ID "
        "or python:package.module:function; of several the mean of their maps is kept, and the "
        "first says how persons are turned",
    },
    "--annotations": {
        "type": Path, "nargs": "+", "required": True, "metavar": "JSON",
        "help": "COCO-style annotation files; a box is enough",
    },
    "--images": {
        "type": Path, "nargs": "+", "default": [], "metavar": "DIR",
        "help": "their picture folders in the same order (default: images beside each file)",
    },
    "--skeleton": {"required": True, "help": "the student's joints: a shipped skeleton or a YAML"},
    "--output": {
        "type": Path, "required": True, "metavar": "FOLDER", "help": "where the targets are kept",
    },
    "--category": {"help": "the persons' category in a file of several"},
    "--images-outside": {
        "action": "store_true", "help": "read pictures outside of their folder too",
    },
    "--padding": {"type": float, "help": "the crop's size in boxes (default: the teacher's own)"},
    "--flip": {
        "action": argparse.BooleanOptionalAction, "default": USUAL.flip,
        "help": "average with the mirrored crop",
    },
    "--upright": {
        "choices": ("no", "labels", "own"), "default": USUAL.upright,
        "help": "turn persons upright, by their labels or by the teacher's own first answers "
        "(default: %(default)s)",
    },
    "--angles": {
        "type": float, "nargs": "+", "default": list(USUAL.angles), "metavar": "DEGREES",
        "help": "where --upright own begins, and goes on if the first is not confident (default: "
        "0 90 180 270)",
    },
    "--confident": {
        "type": float, "default": USUAL.confident,
        "help": "confidence of the torso from which one angle is enough (default: %(default)s)",
    },
    "--floor": {
        "type": float, "default": 0.05,
        "help": "values below this share of a map's peak count as nothing (default: %(default)s)",
    },
    "--patch": {
        "type": from_up(3), "default": PATCH, "metavar": "CELLS",
        "help": "side of what is kept around a joint, in cells of the map (default: %(default)s)",
    },
    "--check": {
        "type": Path, "metavar": "PNG",
        "help": "then draw a sheet of persons, what the teacher sees in them, and how far from the "
        "labels, if there are any",
    },
    "--check-count": {
        "type": from_up(1), "default": 8, "metavar": "N",
        "help": "persons on that sheet (default: %(default)s)",
    },
    "--batch-size": {
        "type": from_up(1), "default": 16, "help": "crops at once (default: %(default)s)",
    },
    "--device": {"default": "auto", "help": "cpu, cuda or auto (default: %(default)s)"},
}  # fmt: skip

EXAMPLES = """\
  hhd teach teacher.safetensors --annotations train.json --skeleton lsp14 --output targets
  hhd teach blazepose.yaml --annotations train.json unlabelled.json --images A B \\
    --skeleton lsp14 --upright own --flip --output targets --check sheet.png
  hhd teach hf:usyd-community/vitpose-base --annotations train.json --skeleton coco17 \\
    --output targets
  hhd teach blazepose.yaml teacher.safetensors --annotations train.json --skeleton lsp14 \\
    --upright own --flip --output targets
  torchrun --nproc-per-node 8 -m hhd teach ...
"""


def run(words: Sequence[str]) -> None:
    """Store a teacher's targets; a signal to end keeps what is whole."""
    stop = Stop()
    try:
        with stop:
            if words and words[0] == "views":
                _views(words[1:], stop)
            else:
                _persons(words, stop)
    except Terminated as error:
        raise Terminated("terminated; the same command goes on where it was") from error
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("interrupted; the same command goes on where it was") from error


def _persons(words: Sequence[str], stop: Stop) -> None:
    options = _parser().parse_args(words)
    if options.check is not None:
        check_picture_name(options.check)
    looking = Looking(
        options.padding, options.flip, options.upright, tuple(options.angles), options.confident
    )
    skeleton = load_skeleton(options.skeleton)
    with joined_processes(options.device) as processes:
        console = Console() if processes.first else Console(quiet=True)
        networks = open_teachers(options.teacher, skeleton, processes.device)
        persons = []
        for number, file in enumerate(options.annotations):
            images = options.images[number] if number < len(options.images) else None
            reading = read_annotations(
                file,
                picture_folder(file, images),
                skeleton,
                category=options.category,
                outside=options.images_outside,
                unlabelled=True,
            )
            persons += reading.require()
            say(console, reading.left_out_text())
        teach_persons(
            networks,
            persons,
            skeleton,
            looking,
            options.output,
            processes,
            patch=options.patch,
            floor=options.floor,
            batch_size=options.batch_size,
            console=console,
            stop=stop,
        )
        if options.check is not None and processes.first:
            store = TargetStore(options.output)
            line = write_check(
                options.check, networks, store, persons, looking, options.check_count
            )
            say(console, f"{line}; a sheet in {options.check}")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "teach",
        "Run a teacher once over the persons of annotation files, labelled or not, and keep what "
        "training needs of its answers: hhd train --targets FOLDER. More files may be added to a "
        "folder, and a killed run goes on. hhd teach views RECIPE stores the answers to a recipe's "
        "own augmented views instead.",
        EXAMPLES,
    )
    for flags, options in OPTIONS.items():
        parser.add_argument(*flags.split(), **options)
    return parser


def _views(words: Sequence[str], stop: Stop) -> None:
    parser = command_parser(
        "teach views",
        "Store what a recipe's own teacher answers to the augmented views that the recipe shows in "
        "turn (its field views). Train with  --teacher null --targets FOLDER  and the same recipe.",
        "  hhd teach views lspet_kl --data-root DATA --views 8 --folder views8\n",
        usage="hhd teach views [RECIPE] [--field value]... --folder FOLDER",
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the targets are kept")
    options, rest = parser.parse_known_args(words)
    teach_views(parse_recipe(rest, prog="hhd teach views"), options.folder, Console(), stop)
