"""Options that several commands have."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hhd.text import meant


class CommandParser(argparse.ArgumentParser):
    """argparse's, whose errors name the option or the choice that was meant."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._words = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        # A misspelt option is often why another one is missing.
        for word in self._words:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in self._option_string_actions:
                near = meant(name, self._option_string_actions)
                message = f"unrecognized argument {name}{near}" if near else message
        if found := re.search(r"invalid choice: '(.+?)' \(choose from (.+)\)", message):
            message += meant(found[1], re.findall(r"[\w.-]+", found[2]))
        super().error(message)


class _Help(argparse.HelpFormatter):
    """argparse's, but that examples keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(EXAMPLES):
            return text
        return super()._fill_text(text, width, indent)


EXAMPLES = "examples:\n"


def command_parser(
    command: str, description: str, examples: str, **options: Any
) -> argparse.ArgumentParser:
    """The parser of ``hhd`` ``command``, which takes no option by a part of its name.

    ``examples``: lines that end its help.
    """
    return CommandParser(
        prog=f"hhd {command}",
        description=description,
        epilog=EXAMPLES + examples,
        formatter_class=_Help,
        allow_abbrev=False,
        **options,
    )


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


def add_decoding(
    parser: argparse._ActionsContainer,
    beta: str = "integral networks: the softmax's inverse temperature (default: the model's own)",
    flip_default: str = "the model's own",
) -> None:
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
        help=f"average with the mirrored picture (default: {flip_default})",
    )
    parser.add_argument("--beta", type=float, default=argparse.SUPPRESS, help=beta)
    for name, choices, text in (
        (
            "--flip-shift",
            ("exact", "cell", "none"),
            "how far mirrored heatmaps move: the grids' offset, or a whole cell (HRNet, mmpose)",
        ),
        (
            "--heatmap-decode",
            ("plain", "quarter", "quarter_hrnet", "dark", "dark_udp"),
            "heatmap networks: the peak's cell, moved by a quarter towards its higher neighbours "
            "(mmpose's or HRNet's rule at the border), or refined by DARK",
        ),
        (
            "--confidence",
            ("mass", "constant"),
            "integral networks: the softmax's mass around the joint, or 1 as in mmpose",
        ),
    ):
        parser.add_argument(
            name,
            choices=choices,
            default=argparse.SUPPRESS,
            help=f"{text} (default: the model's own)",
        )


def yes_or_no(word: str) -> bool:
    """The type of options that a recipe has as true or false; the bare option is true."""
    if word.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{word!r}; it takes true or false")
    return word.lower() == "true"


def add_data(parser: argparse.ArgumentParser) -> None:
    """Options of how an annotation file is read, in a recipe's own names."""
    parser.add_argument(
        "--images",
        type=Path,
        help="folder of the pictures (default: images beside the annotations, or one folder above)",
    )
    parser.add_argument(
        "--category",
        metavar="NAME",
        default=argparse.SUPPRESS,
        help="the persons' category, by name or id, in a file of several",
    )
    _add_switch(parser, "--images-outside", "read pictures outside of their folder too")
    _add_switch(
        parser, "--area-of-box", "AP: an area that is none or cannot be is .53 of the box's"
    )


def _add_switch(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    parser.add_argument(
        name,
        type=yes_or_no,
        nargs="?",
        const=True,
        default=argparse.SUPPRESS,
        metavar="true|false",
        help=text,
    )


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Options that replace what the recipe in a model's card says of evaluation."""
    group = parser.add_argument_group("rules of evaluation", "default: the model's own recipe's")
    for name, choices, text in (
        ("--boxes", ("as_given", "hrnet", "mmpose"), "how boxes are cut to their pictures"),
        (
            "--score",
            ("bbox", "keypoint", "bbox_keypoint", "bbox_rle"),
            "a person's score in AP, of its box's and its joints'",
        ),
        ("--nms", ("oks", "soft_oks", "none"), "suppression of poses that are alike"),
    ):
        group.add_argument(name, choices=choices, default=argparse.SUPPRESS, help=text)
    for name, unit, text in (
        ("--nms-threshold", "OKS", "from which poses are alike"),
        ("--detection-threshold", "SCORE", "leave out detected boxes below this"),
    ):
        group.add_argument(name, type=float, metavar=unit, default=argparse.SUPPRESS, help=text)
    group.add_argument(
        "--detection-category",
        type=int,
        metavar="ID",
        default=argparse.SUPPRESS,
        help="the persons' category in the detection file",
    )


DECODING = ("decode_window", "flip_test", "beta", "flip_shift", "heatmap_decode", "confidence")
RULES = (
    *("boxes", "score", "nms", "nms_threshold", "detection_threshold", "detection_category"),
    *("category", "images_outside", "area_of_box"),
)


def decoding_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a model's card that :func:`add_decoding`'s options replace."""
    return {name: getattr(options, name) for name in DECODING if name in options}


def rules_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a recipe that the options of data and rules replace."""
    return {name: getattr(options, name) for name in RULES if name in options}
