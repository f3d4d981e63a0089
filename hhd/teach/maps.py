"""Teacher maps from outside: one array [N, k, h, w] beside the pictures, read as needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from hhd.data.affine import Array, compose, invert
from hhd.data.skeleton import Skeleton
from hhd.files import is_file, read_json
from hhd.teach.grid import GridConvention, grid_axis
from hhd.text import one_line, shown


class TeacherMaps:
    """Maps of the *unaugmented* crops, taken through the same affine change as the picture.

    ``path``: float16 or float32 [N, k, h, w] (``.npy``, memory-mapped). ``ids``: the N annotation
    ids in the same order, a JSON list or an ``.npz`` with ``ids``. ``activation`` is applied first,
    so that 0 means "no joint here" and outside of the teacher's crop there is none. ``joint_map``
    names for each joint of the student the teacher's channel, or -1 for none (a map of zeros, which
    is not taught).
    """

    def __init__(
        self,
        path: Path,
        ids: Path,
        skeleton: Skeleton,
        *,
        input_size: tuple[int, int],
        stride: int,
        activation: Literal["none", "sigmoid"] = "none",
        joint_map: Sequence[int] | None = None,
        grid: GridConvention = "stride",
    ) -> None:
        if not is_file(path):
            raise FileNotFoundError(f"teacher_maps {path} does not exist")
        self.path = path
        try:
            self.maps = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"teacher_maps {path} is no whole .npy file: {error}") from error
        shape, dtype = self.maps.shape, self.maps.dtype
        if len(shape) != 4 or 0 in shape or dtype not in (np.float16, np.float32):
            raise ValueError(
                f"teacher_maps {path} is {dtype} {shape}; it takes float16 or float32 [N, k, h, w]"
            )
        self.row_of = _read_ids(ids, len(self.maps))
        self.channels = check_joint_map(joint_map, self.maps.shape[1], skeleton)
        self.flip_order = skeleton.flip_order()
        self.activation = activation
        self.size = input_size[0] // stride, input_size[1] // stride
        height, width = self.maps.shape[2:]
        columns, rows = (
            grid_axis(width, input_size[0], grid),
            grid_axis(height, input_size[1], grid),
        )
        self.cells_to_input = np.array(
            [[columns.scale, 0, columns.offset], [0, rows.scale, rows.offset]]
        )
        self.input_to_student = invert(np.array([[stride, 0.0, 0.0], [0.0, stride, 0.0]]))

    def check_covers(self, annotation_ids: Iterable[int]) -> None:
        """Raise unless every annotation has a row."""
        missing = [i for i in annotation_ids if i not in self.row_of]
        if missing:
            raise ValueError(
                f"teacher_maps {self.path} lacks {len(missing)} annotations, {missing[0]} the first"
            )

    def crop(self, annotation_id: int, change: Array, flip: bool) -> NDArray[np.float32]:
        """Maps [K, H, W] of a person; ``change`` [2, 3]: unaugmented input -> augmented input."""
        stored = self.maps[self.row_of[annotation_id]].astype(np.float32)
        if self.activation == "sigmoid":
            stored = 1 / (1 + np.exp(-np.clip(stored, -80, 80)))
        matrix = compose(compose(self.input_to_student, change), self.cells_to_input)
        maps = np.zeros((len(self.channels), self.size[1], self.size[0]), dtype=np.float32)
        for joint, channel in enumerate(self.channels):
            if channel >= 0:
                maps[joint] = cv2.warpAffine(
                    stored[channel], matrix, self.size, flags=cv2.INTER_LINEAR
                )
        return maps[self.flip_order] if flip else maps


def check_joint_map(
    joint_map: Sequence[int] | None, channels: int, skeleton: Skeleton
) -> list[int]:
    """The teacher's channel for each joint; without a map they are the same joints in order."""
    if joint_map is None:
        if channels != len(skeleton):
            raise ValueError(
                f"the teacher has {channels} maps, {skeleton.name} has {len(skeleton)} joints: "
                "give teacher_joint_map, the teacher's channel for each joint (-1 for none)"
            )
        return list(range(channels))
    if len(joint_map) != len(skeleton) or not all(
        -1 <= channel < channels for channel in joint_map
    ):
        raise ValueError(
            f"teacher_joint_map is {list(joint_map)}; "
            f"it takes {len(skeleton)} numbers from -1 to {channels - 1}"
        )
    return list(joint_map)


def _read_ids(path: Path, rows: int) -> dict[int, int]:
    if path.suffix == ".npz":
        if not is_file(path):
            raise FileNotFoundError(f"teacher_ids {path} does not exist")
        try:
            with np.load(path) as arrays:
                ids = arrays["ids"].tolist()
        except (ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ValueError(
                f"teacher_ids {path} cannot be read: {one_line(str(error))}"
            ) from error
    else:
        ids = read_json(path, "teacher_ids")
    if not isinstance(ids, list) or not all(isinstance(number, int) for number in ids):
        raise ValueError(f"teacher_ids {path} is {shown(ids)}; it takes a list of whole numbers")
    if len(ids) != rows or len(set(ids)) != rows:
        raise ValueError(
            f"teacher_ids {path} has {len(ids)} ids ({len(set(ids))} distinct) for {rows} maps"
        )
    return {annotation_id: row for row, annotation_id in enumerate(ids)}
