"""``hhd data preview RECIPE [--field value]...``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hhd.commands.options import command_parser, from_up
from hhd.draw import check_picture_name
from hhd.preview import write_preview
from hhd.train.recipe import parse_recipe

EXAMPLES = """  hhd data preview lspet_kl --data-root DATA --count 48
  hhd data preview own_data --skeleton my/skeleton.yaml --train-annotations my/train.json
"""


def run(words: Sequence[str]) -> None:
    """Write the sheet, and say where."""
    parser = command_parser(
        "data preview",
        "A sheet of a recipe's augmented training crops, joints drawn. "
        "hhd train --help lists the fields.",
        EXAMPLES,
        usage="hhd data preview [RECIPE] [--field value]... [--count N] [--file PNG]",
    )
    parser.add_argument(
        "--count", type=from_up(1), default=24, metavar="N", help="crops on the sheet"
    )
    parser.add_argument(
        "--file", type=Path, metavar="PNG", help="the sheet (default: preview.png in output)"
    )
    options, rest = parser.parse_known_args(words)
    if options.file is not None:
        check_picture_name(options.file)
    recipe = parse_recipe(rest, prog="hhd data preview")
    file = options.file or Path(recipe.output) / "preview.png"
    write_preview(recipe, file, options.count, Console())
    print(f"{options.count} crops in {file}")
