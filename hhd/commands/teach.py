"""``hhd teach TEACHER ...`` and ``hhd teach views RECIPE ...``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hhd.commands.options import command_parser
from hhd.teaching.views import teach_views
from hhd.train.ownership import Stop, Terminated
from hhd.train.recipe import parse_recipe


def run(words: Sequence[str]) -> None:
    """Store a teacher's targets; a signal to end keeps what is whole."""
    stop = Stop()
    try:
        with stop:
            if words and words[0] == "views":
                _views(words[1:], stop)
            else:
                raise ValueError("teach: it takes views RECIPE")
    except Terminated as error:
        raise Terminated("terminated; the same command goes on where it was") from error
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("interrupted; the same command goes on where it was") from error


def _views(words: Sequence[str], stop: Stop) -> None:
    parser = command_parser(
        "teach views",
        "Store what a recipe's own teacher answers to the augmented views that the recipe shows in "
        "turn (its field views). Train with  --teacher null --targets FOLDER  and the same recipe.",
        usage="hhd teach views [RECIPE] [--field value]... --folder FOLDER",
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the targets are kept")
    options, rest = parser.parse_known_args(words)
    teach_views(parse_recipe(rest, prog="hhd teach views"), options.folder, Console(), stop)
