"""The torch Dataset of top-down crops."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from hhd.data.affine import (
    Affine,
    box_to_center,
    cells_per_pixel,
    compose,
    crop_affine,
    fix_aspect,
    flip_affine,
    invert,
    transform_points,
)
from hhd.data.augment import UNCHANGED, Augmentation, CropChange, half_body_crop
from hhd.data.person import Person
from hhd.data.picture import read_picture
from hhd.data.skeleton import Skeleton

# ImageNet's mean and standard deviation of RGB in 0..255 (HRNet, mmpose).
RGB_MEAN = (123.675, 116.28, 103.53)
RGB_STD = (58.395, 57.12, 57.375)

# A user's own augmentation: (image, keypoints, visible) -> the same three.
Transform = Callable[
    [NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_]],
    tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_]],
]


class MapSource(Protocol):
    """Teacher maps that lie beside the pictures; see :class:`hhd.teach.maps.TeacherMaps`."""

    def crop(
        self, annotation_id: int, change: NDArray[np.float64], flip: bool
    ) -> NDArray[np.float32]:
        """Maps [K, h, w] of one person in a crop that ``change`` makes of the unaugmented one."""


class StoredTargets(Protocol):
    """What a teacher's targets on disk give to an item, see :mod:`hhd.teach.stored`."""

    def item(
        self, person: Person, to_cells: NDArray[np.float64], flip: bool, view: int
    ) -> dict[str, NDArray[Any]]:
        """The batch's fields of one view of a person; ``to_cells`` [2, 3] takes picture pixels to
        heatmap pixels."""


class PictureSource(Protocol):
    """Where pictures come from, see :class:`hhd.data.cache.CropCache`."""

    def read(self, person: Person) -> tuple[NDArray[np.uint8], NDArray[np.float64], int]:
        """BGR pixels [h, w, 3], the matrix [2, 3] from the picture to them, and the picture's
        width."""


class CropDataset(Dataset[dict[str, Any]]):
    """Crops of persons; an index is ``epoch * len(self) + position``, which seed the augmentation.

    An item holds ``image`` uint8 [3, H, W] RGB; ``coords`` float32 [K, 2], heatmap pixels
    (``affine`` says of which input pixels, :func:`hhd.data.affine.cells_per_pixel`); ``labelled``
    float32 [K], 1 where a joint is labelled; ``weight`` float32 [K], 1 where it is inside the crop
    too; ``to_image`` float64 [2, 3], input pixels -> image pixels; ``size`` float64 [2], the crop's
    in image pixels; ``position``, its place in ``persons``; ``importance`` float32, what its joints
    weigh in the loss; ``teacher_maps`` float32 [K, h, w] if the dataset was given some, and the
    fields of ``stored`` targets if it was given those.

    ``views`` is the number of augmented views of a person that are shown in turn, 0 for a new one
    in every epoch. ``part`` tells apart the draws of data sets of one seed.

    ``transform(image, keypoints, visible)`` is a user's own augmentation of the finished crop:
    uint8 [H, W, 3] RGB, [K, 2] in input pixels, bool [K]; it gives the same three. It may draw from
    ``random`` and ``numpy.random``, which are seeded for every item.
    """

    def __init__(
        self,
        persons: Sequence[Person],
        skeleton: Skeleton,
        *,
        input_size: tuple[int, int],
        stride: int,
        padding: float = 1.25,
        affine: Affine = "standard",
        augmentation: Augmentation | None = None,
        transform: Transform | None = None,
        teacher_maps: MapSource | None = None,
        stored: StoredTargets | None = None,
        pictures: PictureSource | None = None,
        importance: float = 1.0,
        views: int = 0,
        seed: int = 0,
        part: int = 0,
    ) -> None:
        self.persons = list(persons)
        self.flip_order = skeleton.flip_order()
        self.upper_body = skeleton.indices(skeleton.upper_body)
        self.input_size = input_size
        self.padding = padding
        self.affine: Affine = affine
        heatmap_size = input_size[0] // stride, input_size[1] // stride
        self.to_cells = cells_per_pixel(input_size, heatmap_size, affine)
        self.augmentation = augmentation
        self.transform = transform
        self.teacher_maps = teacher_maps
        self.stored = stored
        self.pictures = pictures
        self.importance = np.float32(importance)
        self.views = views
        self.seed, self.part = seed, part
        if augmentation is not None and augmentation.half_body_probability and not self.upper_body:
            raise ValueError(
                f"half_body_probability is {augmentation.half_body_probability}, but skeleton "
                f"{skeleton.name} does not name its upper_body"
            )

    def __len__(self) -> int:
        return len(self.persons)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch, position = divmod(index, len(self.persons))
        person = self.persons[position]
        view, rng, change = self.draw(epoch, position)
        pixels, to_pixels, width = self.read(person)
        matrix, size = self.crop_geometry(person, change, width)
        between = matrix if to_pixels is None else compose(matrix, invert(to_pixels))
        crop = cv2.warpAffine(pixels, between, self.input_size, flags=cv2.INTER_LINEAR)
        points, labelled = self.joints(person, matrix, change.flip)
        image = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        if self.transform is not None:
            image, points, labelled = self.apply_transform(image, points, labelled, rng)
        coords, weight = self.targets(points, labelled)
        item = {
            "image": np.ascontiguousarray(image.transpose(2, 0, 1)),
            "coords": coords,
            "labelled": labelled.astype(np.float32),
            "weight": weight,
            "to_image": invert(matrix),
            "size": size,
            "position": position,
            "importance": self.importance,
        }
        if self.stored is not None:
            grid = np.array([[self.to_cells[0], 0.0, 0.0], [0.0, self.to_cells[1], 0.0]])
            item |= self.stored.item(person, compose(grid, matrix), change.flip, view)
        if self.teacher_maps is not None:
            unaugmented = self.crop_matrix(person, UNCHANGED)
            between = compose(matrix, invert(unaugmented))
            item["teacher_maps"] = self.teacher_maps.crop(
                person.annotation_id, between, change.flip
            )
        return item

    def draw(self, epoch: int, position: int) -> tuple[int, np.random.Generator, CropChange]:
        """The number of the view that an epoch shows, its random numbers, and its crop."""
        view = epoch % self.views if self.views else epoch
        # Zeros at the end of a seed change nothing.
        rng = np.random.default_rng((self.seed, view, position, self.part))
        change = UNCHANGED if self.augmentation is None else self.augmentation.draw(rng)
        return view, rng, change

    def read(
        self, person: Person
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64] | None, int | None]:
        """Pixels, the matrix from the picture to them (None: they are it), the picture's width."""
        if self.pictures is not None:
            return self.pictures.read(person)
        picture = read_image(person)
        return picture, None, picture.shape[1]

    def crop_matrix(
        self, person: Person, change: CropChange, image_width: int | None = None
    ) -> NDArray[np.float64]:
        """Image pixels -> input pixels, [2, 3]; see :meth:`crop_geometry`."""
        return self.crop_geometry(person, change, image_width)[0]

    def crop_geometry(
        self, person: Person, change: CropChange, image_width: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Image pixels -> input pixels, [2, 3], and the crop's size [2] in image pixels.

        One matrix mirrors, scales, turns and crops. HRNet and mmpose mirror the image and the
        centre (c_x -> W - c_x - 1) before they crop; here that mirror is composed into the matrix,
        which is the same map without a second copy of the image.
        """
        aspect = self.input_size[0] / self.input_size[1]
        center, size = box_to_center(person.box, self.padding)
        if change.half != "none" and self.augmentation is not None:
            half = half_body_crop(
                person.keypoints, self.upper_body, change.half, aspect, self.augmentation.rule
            )
            center, size = (center, size) if half is None else half
        width = person.width if image_width is None else image_width
        if change.flip:
            if width is None:
                raise ValueError(f"the width of {person.image} is not known; a mirror needs it")
            center = np.array([width - center[0] - 1, center[1]])
        center = center + np.array(change.shift) * size
        size = fix_aspect(size * change.scale, aspect)
        matrix = crop_affine(center, size, change.rotation, self.input_size, self.affine)
        if change.flip and width is not None:
            matrix = compose(matrix, flip_affine(width))
        return matrix, size

    def joints(
        self, person: Person, matrix: NDArray[np.float64], flip: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The person's joints [K, 2] in input pixels, left and right exchanged in a mirrored crop,
        and whether each is labelled."""
        keypoints = person.keypoints[self.flip_order] if flip else person.keypoints
        return transform_points(keypoints[:, :2], matrix), keypoints[:, 2] > 0

    def targets(
        self, points: NDArray[np.float64], labelled: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Coordinates [K, 2] in heatmap pixels and weights [K] of joints in input pixels.

        The weight is mmpose's (``codecs/regression_label.py``): labelled and 0 <= x <= W - 1 in the
        input.
        """
        inside = ((points >= 0) & (points <= np.array(self.input_size) - 1.0)).all(axis=1)
        weight = inside & labelled
        return (points * self.to_cells).astype(np.float32), weight.astype(np.float32)

    def apply_transform(
        self,
        image: NDArray[np.uint8],
        points: NDArray[np.float64],
        labelled: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_]]:
        """The user's own augmentation, seeded, with what it gives checked."""
        assert self.transform is not None
        seed = int(rng.integers(2**32))
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the stream that other people's code draws from
        image, moved, visible = self.transform(image, points.copy(), labelled.copy())
        image, moved = np.asarray(image), np.asarray(moved, dtype=np.float64)
        visible = np.asarray(visible, dtype=bool)
        width, height = self.input_size
        got = (image.dtype, image.shape, moved.shape, visible.shape)
        takes = (np.dtype(np.uint8), (height, width, 3), points.shape, labelled.shape)
        if got != takes:
            raise ValueError(
                "transform gave an image of {} {}, keypoints of {} and visible of {}; "
                "it must give {} {}, {} and {}".format(*got, *takes)
            )
        kept = self.teacher_maps is not None or self.stored is not None
        if kept and not np.array_equal(moved, points):
            raise ValueError(
                "transform moves keypoints, but stored teacher maps stay where they are"
            )
        return image, moved, visible


def read_image(person: Person) -> NDArray[np.uint8]:
    """The person's picture, BGR [H, W, 3], which must be of the size that its annotation says."""
    return read_picture(person.image, person.picture_size)


def normalise_images(images: torch.Tensor) -> torch.Tensor:
    """uint8 [B, 3, H, W] RGB -> float32 by ImageNet's mean and deviation, on the same device."""
    mean = torch.tensor(RGB_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(RGB_STD, device=images.device).view(1, 3, 1, 1)
    # uint8 - float32 is float32 in one pass.
    return (images - mean).div_(std)
