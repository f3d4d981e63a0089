"""Pictures cut to their persons and decoded, on disk: what training reads again in every epoch.

One array for a data set, [N, h, w, 3] uint8 BGR, mapped into memory by every process that reads it.
A row is filled by whoever needs it first and is a function of its person alone, so it does not
matter who that was, nor if a row is filled twice. Its checksum is written after it: a row that was
cut short by a kill does not have it, and is filled anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hhd.data.affine import Array, box_to_center, crop_affine, fix_aspect
from hhd.data.person import Person
from hhd.data.picture import read_picture
from hhd.files import make_folder


class CropCache:
    """The rows of ``persons``: their padded boxes, ``room`` times as large, at the scale of the
    crops that the network gets.

    Boxes, pictures and their dates name the files, so that of changed data there are new ones.
    """

    def __init__(
        self,
        folder: Path,
        persons: Sequence[Person],
        *,
        input_size: tuple[int, int],
        padding: float,
        room: float,
    ) -> None:
        self.padding, self.room = padding, room
        self.aspect = input_size[0] / input_size[1]
        self.size = round(input_size[0] * room), round(input_size[1] * room)
        self.row_of = {(p.annotation_id, p.image): row for row, p in enumerate(persons)}
        self.persons = list(persons)
        name = self._name()
        shape = (len(persons), self.size[1], self.size[0], 3)
        make_folder(folder, "cache")
        # One process makes the files, and those that wait find them.
        with (folder / ".lock").open("a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            self.crops = _mapped(folder / f"crops-{name}.npy", np.dtype(np.uint8), shape)
            # Checksum and the picture's width.
            self.known = _mapped(
                folder / f"crops-{name}.known.npy", np.dtype(np.int64), (len(persons), 2)
            )
        self.checked = np.zeros(len(persons), dtype=bool)

    def _name(self) -> str:
        digest = hashlib.sha256(repr((self.size, self.padding, self.room)).encode())
        dates: dict[Path, str] = {}
        for person in self.persons:
            if person.image not in dates:
                status = person.image.stat()
                dates[person.image] = f"{person.image.name} {status.st_size} {status.st_mtime_ns}"
            digest.update(f"{dates[person.image]} {person.box}".encode())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.persons)

    def read(self, person: Person) -> tuple[NDArray[np.uint8], Array, int]:
        """A row's pixels [h, w, 3], the matrix [2, 3] from picture to row, the picture's width."""
        row = self.row_of[person.annotation_id, person.image]
        matrix = self.matrix(person)
        if not self.checked[row]:
            self._fill(row, person, matrix)
        return self.crops[row], matrix, int(self.known[row, 1])

    def matrix(self, person: Person) -> Array:
        """Picture pixels -> pixels of the row, [2, 3]."""
        center, size = box_to_center(person.box, self.padding * self.room)
        return crop_affine(center, fix_aspect(size, self.aspect), 0.0, self.size)

    def is_filled(self, row: int) -> bool:
        """Whether a row holds what its checksum says."""
        return int(self.known[row, 0]) == _checksum(self.crops[row])

    def _fill(self, row: int, person: Person, matrix: Array) -> None:
        if not self.is_filled(row):
            picture = read_picture(person.image, person.picture_size)
            crop = cv2.warpAffine(picture, matrix, self.size, flags=cv2.INTER_LINEAR)
            self.crops[row] = crop
            self.known[row, 1] = picture.shape[1]
            self.known[row, 0] = _checksum(crop)
        self.checked[row] = True


def _checksum(crop: NDArray[Any]) -> int:
    """Never 0, which is what a new file holds."""
    return 1 + zlib.crc32(crop.data)


def _mapped(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """An array in a file, of zeros if it is new, which takes no room on the disk."""
    if not path.is_file():
        partial = path.with_suffix(".partial")
        np.lib.format.open_memmap(partial, mode="w+", dtype=dtype, shape=shape).flush()
        os.replace(partial, path)
    try:
        array = np.lib.format.open_memmap(path, mode="r+")
    except (ValueError, EOFError) as error:
        raise ValueError(f"cache {path} is damaged: remove it, and it is made anew") from error
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"cache {path} is damaged: remove it, and it is made anew")
    return array
