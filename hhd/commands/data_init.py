"""``hhd data init ANNOTATIONS``"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hhd.commands.options import command_parser
from hhd.data.propose import Proposal, propose_skeleton, skeleton_text
from hhd.data.read import picture_folder
from hhd.files import write_bytes

PARTS = ("train", "val")
EXAMPLES = """  hhd data init my/annotations.json          writes my/skeleton.yaml
  hhd data check my/annotations.json --skeleton my/skeleton.yaml
"""


def run(words: Sequence[str]) -> None:
    """Write the skeleton file, once its flip pairs are confirmed, and say what comes next."""
    parser = command_parser(
        "data init",
        "A skeleton file from the joint names in a COCO-style file (COCO, CVAT, Label Studio, "
        "COCO-annotator, Roboflow). Pairs of left and right are guessed from the names and shown "
        "for confirmation.",
        EXAMPLES,
    )
    parser.add_argument("annotations", type=Path, help="COCO-style JSON")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="YAML",
        help="the skeleton file (default: skeleton.yaml beside the annotations)",
    )
    parser.add_argument(
        "--category", metavar="NAME", help="by name or id, where several have joints"
    )
    parser.add_argument("--name", help="the skeleton's (default: the output's)")
    parser.add_argument(
        "--yes",
        action="store_true",
        help="ask nothing, and replace the output if it is there (default: ask on a terminal; "
        "elsewhere write, but replace nothing)",
    )
    options = parser.parse_args(words)
    output = options.output or options.annotations.parent / "skeleton.yaml"
    found = propose_skeleton(options.annotations, options.name or output.stem, options.category)
    _print(found)
    if output.exists() and not options.yes and not _agreed(f"{output} exists: replace it?"):
        raise ValueError(f"{output} exists; --yes replaces it")
    if not options.yes and not _agreed(f"write {output}?"):
        print("nothing is written; --output elsewhere, or mend the file afterwards by hand")
        return
    write_bytes(output, skeleton_text(found.skeleton).encode())
    images = picture_folder(options.annotations, None)
    width, height = found.input_size
    parts = [options.annotations.with_stem(f"{options.annotations.stem}_{p}") for p in PARTS]
    print(
        f"skeleton in {output}; next:\n"
        f"  hhd data check {options.annotations} --skeleton {output}\n"
        f"  hhd data split {options.annotations}\n"
        f"  hhd train own_data --skeleton {output} --input-size [{width},{height}] \\\n"
        f"    --train-annotations {parts[0]} --train-images {images} \\\n"
        f"    --val-annotations {parts[1]} --val-images {images}"
    )


def _print(found: Proposal) -> None:
    skeleton = found.skeleton
    counts = found.labelled or (0,) * len(skeleton)
    print(f"{found.persons} persons, {len(skeleton)} joints:")
    for joint, side, count in zip(skeleton.joints, skeleton.sides(), counts, strict=True):
        print(f"  {joint:24} {side or 'middle':7} labelled {count} times")
    if not found.named:
        print("the file names no joints: name them in the skeleton file, and pair left and right")
    pairs = ", ".join(f"{left} - {right}" for left, right in skeleton.flip_pairs)
    print(f"change places in a mirrored picture: {pairs or 'none'}")
    if found.unpaired:
        print(f"no partner was found for {', '.join(found.unpaired)}")
    print(f"limbs: {len(skeleton.limbs)}; PCK in units of {skeleton.normaliser_name()}")
    for text in found.left_out:
        print(f"not used: {text}")
    if found.box is not None:
        print(
            f"boxes are {found.box[0]:.0f} x {found.box[1]:.0f} pixels (median); input_size "
            f"{list(found.input_size)} fits them"
        )


def _agreed(question: str) -> bool:
    """Whether the user says yes; where nobody can be asked, files are not replaced."""
    if not sys.stdin.isatty():
        return "replace" not in question
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
