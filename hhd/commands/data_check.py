"""``hhd data check ANNOTATIONS --skeleton NAME``"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from hhd.commands.options import add_data, command_parser, rules_of
from hhd.data.check import KINDS, Checked, check_data
from hhd.data.read import picture_folder
from hhd.data.skeleton import load_skeleton
from hhd.text import one_line

EXAMPLES = """  hhd data check person_keypoints.json --skeleton coco17
  hhd data check my/annotations.json --skeleton my/skeleton.yaml --ignore area
"""


def run(words: Sequence[str]) -> int:
    """Print what is wrong, kind by kind; 1 if anything is."""
    parser = command_parser(
        "data check",
        "What hhd train and hhd eval refuse of a data set (annotation, missing, picture), and what "
        "they take although it looks wrong (outside, box, units, area, id). The exit status is 1 "
        "if anything is found.",
        EXAMPLES,
    )
    parser.add_argument("annotations", type=Path, help="COCO-style JSON, MPII's JSON or .mat")
    parser.add_argument("--skeleton", required=True, help="a shipped skeleton, or a YAML file")
    add_data(parser)
    parser.add_argument(
        "--boxes",
        choices=("as_given", "hrnet", "mmpose"),
        default="as_given",
        help="how boxes are cut to their pictures (default: as_given)",
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

    rules = rules_of(options)
    checked = check_data(
        options.annotations,
        picture_folder(options.annotations, options.images),
        load_skeleton(options.skeleton),
        boxes=options.boxes,
        category=rules.get("category"),
        outside=rules.get("images_outside", False),
        area_of_box=rules.get("area_of_box", False),
        decode=not options.no_decode,
        progress=progress,
    )
    return _print(checked, options.ignore, options.most)


def _print(checked: Checked, ignored: Sequence[str], most: int) -> int:
    findings = [finding for finding in checked.findings if finding.kind not in ignored]
    shown: Counter[str] = Counter()
    for kind, text in findings:
        shown[kind] += 1
        if shown[kind] <= most:
            print(f"{kind}: {one_line(text)}")
    for kind, count in shown.items():
        if count > most:
            print(f"{kind}: and {count - most} more; --most {count} prints them")
    counts = ", ".join(f"{count} {kind}" for kind, count in shown.items()) or "nothing wrong"
    print(f"{checked.persons} persons in {checked.pictures} pictures: {counts}")
    if checked.left_out:
        print(one_line(checked.left_out))
    print("hhd train and hhd eval", "refuse this" if checked.refused else "take this")
    return 1 if findings else 0
