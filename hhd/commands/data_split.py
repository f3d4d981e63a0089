"""``hhd data split ANNOTATIONS``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hhd.commands.options import command_parser
from hhd.data.split import split_annotations

EXAMPLES = """  hhd data split my/annotations.json --share 0.1
"""


def run(words: Sequence[str]) -> None:
    """Two annotation files of one."""
    parser = command_parser(
        "data split",
        "Hold pictures out to evaluate on: NAME_train.json and NAME_val.json beside a COCO-style "
        "NAME.json. Which, is by their file names: the same each time, whatever is added.",
        EXAMPLES,
    )
    parser.add_argument("annotations", type=Path, help="COCO-style JSON")
    parser.add_argument(
        "--share", type=float, default=0.2, help="of the pictures held out (default: %(default)s)"
    )
    options = parser.parse_args(words)
    train, val, kept, held = split_annotations(options.annotations, options.share)
    print(f"{kept} pictures in {train}, {held} in {val}")
