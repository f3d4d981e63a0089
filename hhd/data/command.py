"""``hhd data check`` and ``hhd data preview``."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from hhd.data.check import KINDS, check_data
from hhd.data.preview import preview
from hhd.data.skeleton import load_skeleton
from hhd.draw import check_picture_name, write_picture

HELP = """usage: hhd data check ANNOTATIONS --skeleton NAME ...
       hhd data preview RECIPE [--field value]... [--count N] [--file PNG]

  check     what is broken in an annotation file and its pictures; the exit status is 1 if anything
  preview   a sheet of a recipe's augmented training crops, joints drawn
"""


def run(words: Sequence[str]) -> int:
    """Run a subcommand; the exit status."""
    commands = {"check": check_command, "preview": preview_command}
    if words and words[0] in commands:
        return commands[words[0]](words[1:])
    if words and words[0] not in ("-h", "--help"):
        raise ValueError(f"data: {words[0]!r} is not a subcommand; it takes check or preview")
    print(HELP)
    return 0


def check_command(words: Sequence[str]) -> int:
    """``hhd data check ANNOTATIONS --skeleton NAME``"""
    parser = argparse.ArgumentParser(
        prog="hhd data check",
        description="Broken annotations, missing or undecodable pictures, boxes and joints outside "
        "of them, empty area bins. The exit status is 1 if anything is found.",
    )
    parser.add_argument("annotations", type=Path, help="COCO-style JSON, MPII's JSON or .mat")
    parser.add_argument("--skeleton", required=True, help="a shipped skeleton, or a YAML file")
    parser.add_argument(
        "--images", type=Path, help="folder of the pictures (default: images beside it)"
    )
    parser.add_argument("--no-decode", action="store_true", help="do not open the pictures")
    parser.add_argument(
        "--ignore", nargs="+", choices=KINDS, default=[], help="kinds that are no reason to fail"
    )
    parser.add_argument("--most", type=int, default=20, help="findings printed of each kind")
    options = parser.parse_args(words)
    console = Console()

    def progress(items: Iterable[Any], total: int) -> Iterable[Any]:
        return track(items, "pictures", total, console=console, disable=not console.is_terminal)

    checked = check_data(
        options.annotations,
        options.images or options.annotations.parent / "images",
        load_skeleton(options.skeleton),
        decode=not options.no_decode,
        progress=progress,
    )
    findings = [finding for finding in checked.findings if finding.kind not in options.ignore]
    shown: Counter[str] = Counter()
    for kind, text in findings:
        shown[kind] += 1
        if shown[kind] <= options.most:
            print(f"{kind}: {text}")
    for kind, count in shown.items():
        if count > options.most:
            print(f"{kind}: and {count - options.most} more; --most {count} prints them")
    counts = ", ".join(f"{count} {kind}" for kind, count in shown.items()) or "nothing wrong"
    print(f"{checked.persons} persons in {checked.pictures} pictures: {counts}")
    return 1 if findings else 0


def preview_command(words: Sequence[str]) -> int:
    """``hhd data preview RECIPE [--field value]...``"""
    parser = argparse.ArgumentParser(
        prog="hhd data preview",
        usage="hhd data preview [RECIPE] [--field value]... [--count N] [--file PNG]",
        description="A sheet of a recipe's augmented training crops, joints drawn. "
        "hhd train --help lists the fields.",
        allow_abbrev=False,
    )
    parser.add_argument("--count", type=int, default=24, metavar="N", help="crops on the sheet")
    parser.add_argument(
        "--file", type=Path, metavar="PNG", help="the sheet (default: preview.png in output)"
    )
    options, rest = parser.parse_known_args(words)
    if options.file is not None:
        check_picture_name(options.file)

    from hhd.train.loop import build_train_data
    from hhd.train.recipe import parse_recipe

    recipe = parse_recipe(rest, prog="hhd data preview")
    plain = replace(recipe, loss="none", teacher=None, teacher_maps=None, match_gradients=False)
    skeleton = load_skeleton(recipe.skeleton)
    data = build_train_data(plain, skeleton, 1, Console())
    order = np.random.default_rng(recipe.seed).permutation(len(data))
    # Persons again in later epochs, augmented anew, where there are not enough of them.
    indices = [int(order[i % len(data)]) + i // len(data) * len(data) for i in range(options.count)]
    file = options.file or Path(recipe.output) / "preview.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_picture(file, preview(data, skeleton, indices))
    print(f"{options.count} crops in {file}")
    return 0
