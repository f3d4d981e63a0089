"""``hhd demo``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hhd.commands.options import command_parser
from hhd.demo import run_demo

EXAMPLES = """  hhd demo
  hhd demo --tiny --output /tmp/demo
"""


def run(words: Sequence[str]) -> None:
    """A teacher and four students on generated data."""
    parser = command_parser(
        "demo",
        "What a teacher is worth where labels are few, on generated people: draws them, trains a "
        "heatmap teacher on every label and four integral students on 64 of them, two of "
        "which the teacher teaches on the other pictures, too; a table and four pictures. Minutes "
        "on two cores; nothing is downloaded.",
        EXAMPLES,
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/demo"),
        help="folder for data, runs and pictures (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the people and of training (default: 0)"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="seconds instead of minutes; numbers mean nothing"
    )
    options = parser.parse_args(words)
    run_demo(options.output, seed=options.seed, tiny=options.tiny)
