"""Data loading against bare OpenCV, on the same photographs in the same run.

    python -m benchmarks.loading                            on pictures it makes itself
    python -m benchmarks.loading --annotations DATA/person_keypoints.json --images DATA/images
    ... --augmentation mmpose --input-size 192 256 --rounds 20

The contestants take turns, and each figure is the median over rounds:

- bare: one process, one thread; cv2.imread, cv2.warpAffine by a matrix made beforehand, BGR to RGB,
  and normalisation to float32. Nothing is drawn at random and there are no labels.
- loader: what `hhd train` does with one worker process: random crop, decode, warp, joints, targets,
  collation, the way to the main process, and normalisation there.
- data set: the same items made in this process, without a worker.
- cache: the same from a cache that is filled (`hhd data cache`).

The exit status is 1 where the loader is below .75 of bare OpenCV, or the cache below 3.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import environment
from hhd.data.augment import UNCHANGED, Augmentation
from hhd.data.cache import CropCache
from hhd.data.dataset import RGB_MEAN, RGB_STD, CropDataset, normalise_images
from hhd.data.loading import MixedData, StepBatches, make_loader, use_one_thread
from hhd.data.person import Person
from hhd.data.read import read_annotations
from hhd.data.skeleton import load_skeleton

BATCH = 16
# Batches that a worker has ready when its turn begins: they are taken before the clock starts.
READY = 2
TARGET, CACHED = 0.75, 3.0


def generated(folder: Path, count: int = 64) -> list[Person]:
    """JPEGs of COCO's usual size whose content is about as hard to decode as a photograph's."""
    rng = np.random.default_rng(0)
    persons = []
    for number in range(count):
        coarse = rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)
        picture = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
        picture = cv2.add(picture, rng.integers(0, 24, picture.shape).astype(np.uint8))
        path = folder / f"{number}.jpg"
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        keypoints = np.concatenate([rng.uniform(150, 400, (17, 2)), np.full((17, 1), 2.0)], axis=1)
        box = (150.0, 60.0, 250.0, 350.0)
        persons.append(Person(number, number, 1, path, 640, 480, box, keypoints))
    return persons


def bare(data: CropDataset) -> Callable[[int], NDArray[np.float32]]:
    """A function that loads n crops with OpenCV alone, and gives the last, [H, W, 3]."""
    crops = [(str(p.image), data.crop_matrix(p, UNCHANGED)) for p in data.persons]
    mean, scale = np.float32(RGB_MEAN), 1 / np.float32(RGB_STD)
    turn = _forever(len(crops))

    def load(count: int) -> NDArray[np.float32]:
        values = np.empty(0, dtype=np.float32)
        for _ in range(count):
            path, matrix = crops[next(turn)]
            picture = cv2.imread(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            crop = cv2.warpAffine(picture, matrix, data.input_size, flags=cv2.INTER_LINEAR)
            values = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB).astype(np.float32)
            values -= mean
            values *= scale
        return values

    return load


def in_process(data: CropDataset) -> Callable[[int], None]:
    """A function that makes n items of the data set here."""
    turn = _forever(len(data))

    def load(count: int) -> None:
        for _ in range(count):
            normalise_images(torch.from_numpy(data[next(turn)]["image"])[None])

    return load


def through_worker(data: CropDataset) -> Callable[[int], None]:
    """A function that takes n crops from a loader with one worker."""
    batches = StepBatches([len(data)], [BATCH], epochs=1_000_000, seed=0)
    loader = iter(make_loader(MixedData([data]), batches, workers=1))

    def load(count: int) -> None:
        for _ in range(count // BATCH):
            normalise_images(next(loader)["image"])

    return load


def _forever(length: int) -> Iterator[int]:
    number = 0
    while True:
        yield number % length
        number += 1


def cached(data: CropDataset, folder: Path) -> CropDataset:
    """The same crops, from pictures that are cut to their persons and decoded."""
    other = copy(data)
    other.pictures = CropCache(
        folder, data.persons, input_size=data.input_size, padding=data.padding, room=1.5
    )
    for index in range(len(other)):
        other[index]
    return other


def measure(data: CropDataset, folder: Path, rounds: int, count: int) -> dict[str, list[float]]:
    """Images per second of every round, by contestant."""
    contestants: dict[str, Callable[[int], object]] = {
        "bare": bare(data),
        "loader": through_worker(data),
        "data set": in_process(data),
        "cache": in_process(cached(data, folder)),
    }
    for load in contestants.values():
        load(BATCH * 4)
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 else reversed(names):
            if name == "loader":
                contestants[name](BATCH * READY)
            began = perf_counter()
            contestants[name](count)
            speeds[name].append(count / (perf_counter() - began))
    return speeds


def main() -> int:
    """The exit status is 1 where the loader is below its target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=Path, help="COCO-style or MPII file")
    parser.add_argument("--images", type=Path, help="default: images beside it")
    parser.add_argument("--skeleton", default="coco17")
    parser.add_argument("--input-size", type=int, nargs=2, default=[192, 256])
    parser.add_argument("--augmentation", choices=("hrnet", "mmpose"), default="mmpose")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--count", type=int, default=128, help="crops a turn")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    use_one_thread()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        skeleton = load_skeleton(options.skeleton)
        if options.annotations is None:
            persons = generated(Path(folder))
        else:
            images = options.images or options.annotations.parent / "images"
            persons = read_annotations(options.annotations, images, skeleton).require()
        data = CropDataset(
            persons,
            skeleton,
            input_size=tuple(options.input_size),
            stride=4,
            augmentation=Augmentation(0.5, 80.0, rule=options.augmentation),
        )
        speeds = measure(data, Path(folder) / "cache", options.rounds, options.count)
    size = "x".join(map(str, options.input_size))
    print(f"{len(persons)} crops of {size}, images/s over {options.rounds} rounds")
    for name, values in speeds.items():
        low, middle, high = quantiles(values, n=4)
        print(f"{name:10} {middle:7.1f}   quartiles {low:.1f} {high:.1f}")
    ratios = {
        name: median(a / b for a, b in zip(speeds[name], speeds["bare"], strict=True))
        for name in ("loader", "data set", "cache")
    }
    for name, ratio in ratios.items():
        print(f"{name} / bare, median of the rounds' ratios: {ratio:.2f}")
    print(f"target for the loader: {TARGET}; for the cache, which waits for no decoder: {CACHED}")
    if options.json:
        found = {"speeds": speeds, "ratios": ratios, "environment": environment.collect()}
        options.json.write_text(json.dumps(found, indent=1))
    return int(ratios["loader"] < TARGET or ratios["cache"] < CACHED)


if __name__ == "__main__":
    sys.exit(main())
