"""PCK of a teacher on labelled pictures, by its way of looking; persons per second of one core.

    python benchmarks/teacher_views.py blazepose_heavy.yaml --skeleton lsp14 \
        --annotations lspet/annotations/lspet_val.json
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

import hhd_kernels as hk
from hhd.data.affine import invert, transform_points
from hhd.data.person import Person
from hhd.data.read import picture_folder, read_annotations
from hhd.data.skeleton import load_skeleton
from hhd.evaluation.pck import pck
from hhd.teach.networks import TeacherNetwork, open_teachers
from hhd.teach.viewer import Looking
from hhd.teach.views import look_many

VIEWS = {
    "plain": Looking(flip=False),
    "flip": Looking(flip=True),
    "upright by labels": Looking(flip=False, upright="labels"),
    "upright by labels, flip": Looking(flip=True, upright="labels"),
    "upright by its own answer": Looking(flip=False, upright="own"),
    "upright by its own answer, flip": Looking(flip=True, upright="own"),
}


def places(
    networks: list[TeacherNetwork], persons: list[Person], looking: Looking, refine: str
) -> np.ndarray:
    """Joints [N, K, 2] in picture pixels."""
    found = []
    for maps, to_cells in look_many(networks, persons, looking):
        peaks = hk.locate_teacher(maps[None], refine=refine)[0].double().cpu().numpy()
        found.append(transform_points(peaks, invert(to_cells)))
    return np.stack(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "teacher", nargs="+", help="teacher cards, or networks that need none: their mean"
    )
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--skeleton", default="lsp14")
    parser.add_argument("--refine", choices=("none", "dark"), default="dark")
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=list(VIEWS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    skeleton = load_skeleton(options.skeleton)
    networks = open_teachers(options.teacher, skeleton)
    folder = picture_folder(options.annotations, options.images)
    persons = read_annotations(options.annotations, folder, skeleton).require()
    for name in options.views:
        start = time.process_time()
        coords = places(networks, persons, VIEWS[name], options.refine)
        rate = len(persons) / (time.process_time() - start)
        report = pck(coords, persons, skeleton)
        print(
            f"{name}: PCK@0.2 {100 * report.at_02:.1f}, PCK@0.5 {100 * report.at_05:.1f}, "
            f"{len(persons)} persons, {rate:.1f} per second of one core",
            flush=True,
        )


if __name__ == "__main__":
    main()
