"""The torch Dataset of top-down crops, and the batches that make a run resumable at any step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from hhd.data.affine import box_to_crop, compose, crop_affine, flip_affine, invert, transform_points
from hhd.data.augment import UNCHANGED, Augmentation, CropChange
from hhd.data.coco import Person
from hhd.data.skeleton import Skeleton

# ImageNet's mean and standard deviation of RGB in 0..255 (HRNet, mmpose).
RGB_MEAN = (123.675, 116.28, 103.53)
RGB_STD = (58.395, 57.12, 57.375)


class MapSource(Protocol):
    """Teacher maps that lie beside the pictures; see :class:`hhd.teach.maps.TeacherMaps`."""

    def crop(
        self, annotation_id: int, change: NDArray[np.float64], flip: bool
    ) -> NDArray[np.float32]:
        """Maps [K, h, w] of one person in a crop that ``change`` makes of the unaugmented one."""


class CropDataset(Dataset[dict[str, Any]]):
    """Crops of persons; an index is ``epoch * len(self) + position``, which seed the augmentation.

    An item holds ``image`` uint8 [3, H, W] RGB; ``coords`` float32 [K, 2], heatmap pixels under the
    stride convention (x_heatmap = x_input / stride); ``weight`` float32 [K], 1 where a joint is
    labelled and inside the crop; ``to_image`` float64 [2, 3], input pixels -> image pixels;
    ``position``, its place in ``persons``; and ``teacher_maps`` float32 [K, h, w] if the dataset
    was given some.
    """

    def __init__(
        self,
        persons: Sequence[Person],
        skeleton: Skeleton,
        *,
        input_size: tuple[int, int],
        stride: int,
        padding: float = 1.25,
        augmentation: Augmentation | None = None,
        teacher_maps: MapSource | None = None,
        seed: int = 0,
    ) -> None:
        self.persons = list(persons)
        self.flip_order = skeleton.flip_order()
        self.input_size = input_size
        self.stride = stride
        self.padding = padding
        self.augmentation = augmentation
        self.teacher_maps = teacher_maps
        self.seed = seed

    def __len__(self) -> int:
        return len(self.persons)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch, position = divmod(index, len(self.persons))
        person = self.persons[position]
        change = UNCHANGED
        if self.augmentation is not None:
            change = self.augmentation.draw(np.random.default_rng((self.seed, epoch, position)))
        matrix = self.crop_matrix(person, change)
        crop = cv2.warpAffine(read_image(person), matrix, self.input_size, flags=cv2.INTER_LINEAR)
        coords, weight = self.targets(person, matrix, change.flip)
        item = {
            "image": np.ascontiguousarray(crop[:, :, ::-1].transpose(2, 0, 1)),
            "coords": coords,
            "weight": weight,
            "to_image": invert(matrix),
            "position": position,
        }
        if self.teacher_maps is not None:
            unaugmented = self.crop_matrix(person, UNCHANGED)
            between = compose(matrix, invert(unaugmented))
            item["teacher_maps"] = self.teacher_maps.crop(
                person.annotation_id, between, change.flip
            )
        return item

    def crop_matrix(self, person: Person, change: CropChange) -> NDArray[np.float64]:
        """Image pixels -> input pixels, [2, 3]. One matrix mirrors, scales, turns and crops.

        HRNet mirrors the image and the centre (c_x -> W - c_x - 1) before it crops; here that
        mirror is composed into the matrix, which is the same map without a second copy of the
        image.
        """
        width, height = self.input_size
        center, size = box_to_crop(person.box, width / height, self.padding)
        if not change.flip:
            return crop_affine(center, size * change.scale, change.rotation, self.input_size)
        center[0] = person.width - center[0] - 1
        matrix = crop_affine(center, size * change.scale, change.rotation, self.input_size)
        return compose(matrix, flip_affine(person.width))

    def targets(
        self, person: Person, matrix: NDArray[np.float64], flip: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Coordinates [K, 2] in heatmap pixels and weights [K].

        The weight is mmpose's (``codecs/regression_label.py``): labelled and 0 <= x <= W - 1 in the
        input.
        """
        keypoints = person.keypoints[self.flip_order] if flip else person.keypoints
        points = transform_points(keypoints[:, :2], matrix)
        inside = ((points >= 0) & (points <= np.array(self.input_size) - 1.0)).all(axis=1)
        weight = inside & (keypoints[:, 2] > 0)
        return (points / self.stride).astype(np.float32), weight.astype(np.float32)


def read_image(person: Person) -> NDArray[np.uint8]:
    """The person's picture, BGR [H, W, 3], EXIF orientation ignored as annotations do (HRNet)."""
    image = cv2.imread(str(person.image), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ValueError(
            f"image {person.image} of annotation {person.annotation_id} cannot be decoded"
        )
    if image.shape[:2] != (person.height, person.width):
        raise ValueError(
            f"image {person.image} of annotation {person.annotation_id} has {image.shape[1]}x"
            f"{image.shape[0]} pixels, its annotation file says {person.width}x{person.height}"
        )
    return np.asarray(image, dtype=np.uint8)


class StepBatches(Sampler[list[int]]):
    """Batches of a whole run, from step ``start`` on: shuffled in each epoch, whole batches only.

    The order is a function of the seed alone, so a resumed run sees what an uninterrupted one
    would.
    """

    def __init__(
        self, length: int, batch_size: int, epochs: int, seed: int, start: int = 0
    ) -> None:
        self.per_epoch = length // batch_size
        if self.per_epoch == 0:
            raise ValueError(f"batch_size is {batch_size}, more than the {length} training persons")
        self.length, self.batch_size, self.epochs, self.seed, self.start = (
            length,
            batch_size,
            epochs,
            seed,
            start,
        )

    def __len__(self) -> int:
        return self.per_epoch * self.epochs - self.start

    def __iter__(self) -> Iterator[list[int]]:
        for epoch in range(self.start // self.per_epoch, self.epochs):
            order = (
                np.random.default_rng((self.seed, epoch)).permutation(self.length)
                + epoch * self.length
            )
            first = max(0, self.start - epoch * self.per_epoch)
            for batch in range(first, self.per_epoch):
                yield order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()


def use_one_thread(_worker: int = 0) -> None:
    """OpenCV's own threads only fight with the data workers and torch."""
    cv2.setNumThreads(0)


def make_loader(
    dataset: CropDataset, batches: Sampler[list[int]] | int, workers: int
) -> DataLoader[Any]:
    """A loader over a run's ``batches`` or, given a batch size, over the data once, in order."""
    use_one_thread()
    # A generator of its own: a loader must not draw from the stream that a checkpoint restores.
    generator = torch.Generator()
    options: dict[str, Any] = {
        "num_workers": workers,
        "worker_init_fn": use_one_thread,
        "generator": generator,
    }
    if isinstance(batches, int):
        return DataLoader(dataset, batch_size=batches, **options)
    return DataLoader(dataset, batch_sampler=batches, **options)


def read_batches(loader: DataLoader[Any]) -> Iterator[dict[str, torch.Tensor]]:
    """The loader's batches; what a worker process raises says what the worker said, and no more."""
    try:
        yield from loader
    except (ValueError, OSError) as error:
        # torch puts the worker's traceback into the message; its last line is "Type: message".
        text = str(error).strip()
        if not text.startswith("Caught "):
            raise
        raise ValueError(text.splitlines()[-1].partition(": ")[2]) from error


def normalise_images(images: torch.Tensor) -> torch.Tensor:
    """uint8 [B, 3, H, W] RGB -> float32 by ImageNet's mean and deviation, on the same device."""
    mean = torch.tensor(RGB_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(RGB_STD, device=images.device).view(1, 3, 1, 1)
    return (images.float() - mean) / std
