"""What stored targets cost: bytes a person, and targets a second on one core.

    python -m benchmarks.stored_targets

A target is one joint's centre, window and confidence in an augmented view. The persons and their
maps are drawn; the time is that of reading a person's record from the store, bringing it into a
view, and of the windows of a batch.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

import hhd_kernels as hk
from hhd.data.affine import crop_affine
from hhd.data.person import Person
from hhd.data.skeleton import load_skeleton
from hhd.data.targets import gaussian_maps
from hhd.teach.canonical import PATCH, Stored, canonical_records, targets_in_view
from hhd.teach.store import TargetStore, begin_store, key_of, write_shard
from hhd.teach.stored import FIELD, CanonicalTargets

BATCH, PERSONS = 64, 512
MAPS, STUDENT = (48, 64), (48, 64)
LEAST_TARGETS, MOST_BYTES = 20_000, 12_000


def persons(joints: int) -> list[Person]:
    """Persons in pictures that need not exist."""
    box, keypoints = (10.0, 20.0, 150.0, 200.0), np.zeros((joints, 3))
    return [Person(n, n, 1, Path(f"{n}.jpg"), 640, 480, box, keypoints) for n in range(PERSONS)]


def write(folder: Path, who: list[Person], joints: int) -> None:
    """A store of Gaussians."""
    coords = torch.rand(len(who), joints, 2) * torch.tensor(MAPS)
    maps, _ = gaussian_maps(coords, torch.ones(len(who), joints), MAPS, 2.0, "dark")
    to_cells = np.stack([crop_affine([85.0, 120.0], [187.5, 250.0], 0.0, MAPS)] * len(who))
    begin_store(folder, {"form": "canonical", "map_size": list(MAPS)})
    write_shard(folder, 0, [key_of(p) for p in who], canonical_records(maps, to_cells))


def main() -> int:
    """The exit status is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    skeleton = load_skeleton("coco17")
    who, joints = persons(len(skeleton)), len(skeleton)
    options = hk.HHDLoss()._target
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, who, joints)
        source = CanonicalTargets(TargetStore(folder), skeleton, partly=False)
        times = []
        for _ in range(rounds + 1):
            began = perf_counter()
            for start in range(0, PERSONS, BATCH):
                items = [
                    source.item(
                        person,
                        crop_affine([85.0, 120.0], [187.5, 250.0], float(angle), STUDENT),
                        bool(angle > 0),
                        0,
                    )
                    for person, angle in zip(
                        who[start : start + BATCH], rng.normal(0, 30, BATCH), strict=True
                    )
                ]
                stored = Stored(
                    *(
                        torch.from_numpy(np.stack([item[FIELD + field] for item in items]))
                        for field in Stored._fields
                    )
                )
                targets_in_view(stored, STUDENT, options, 1.0)
            times.append(perf_counter() - began)
        seconds = median(times[1:])
        size = (folder / "00000.safetensors").stat().st_size / PERSONS
    rate = PERSONS * joints / seconds
    print(f"{size:.0f} bytes a person of {joints} joints, patches of {PATCH}x{PATCH} cells")
    print(f"{rate:.0f} targets/s on one core ({PERSONS / seconds:.0f} persons/s)")
    window = options.rows * options.columns
    print(f"views: {joints * (2 * window + 12)} bytes a person and view")
    return int(rate < LEAST_TARGETS or size > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
