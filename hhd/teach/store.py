"""Teacher targets on disk: a folder of safetensors shards, and one JSON of how they were made.

A shard holds the records of up to ``SHARD`` persons and is written whole or not at all, so a
killed run leaves whole shards and goes on with the persons that are in none. What lies in a shard
is a function of the persons and the settings alone. Readers map the files into memory, and any
number of processes may share them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hhd.data.person import Person
from hhd.files import (
    is_file,
    json_text,
    make_folder,
    parse_json,
    read_json,
    write_bytes,
    write_json,
)
from hhd.text import one_line, shown

SHARD = 256
SETTINGS = "targets.json"
FORMAT = 1
KEYS = "keys"

Records = Mapping[str, NDArray[Any]]
Key = bytes


class Shard(NamedTuple):
    """A file to be written: its number, and the positions of its persons in the list planned."""

    number: int
    positions: list[int]


def key_of(person: Person) -> Key:
    """16 bytes that name a person by annotation, picture and box."""
    box = ",".join(repr(float(side)) for side in person.box)
    text = f"{person.annotation_id} {person.image.name} {box}"
    return hashlib.sha256(text.encode()).digest()[:16]


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"{number:05d}.safetensors"


def begin_store(folder: Path, settings: dict[str, Any]) -> None:
    """Make ``folder`` a store of these settings; ``ValueError`` where it holds others' targets."""
    path = folder / SETTINGS
    # As they will be read: tuples are lists in a file.
    settings = parse_json(json_text(settings))
    if is_file(path):
        check_settings(read_settings(folder), settings, folder)
        return
    make_folder(folder, "targets")
    if any(folder.glob("*.safetensors")):
        raise ValueError(f"{folder} holds safetensors files that are no targets: choose another")
    write_json(path, {"format": FORMAT, "settings": settings})


def read_settings(folder: Path) -> dict[str, Any]:
    """How the targets in a folder were made."""
    path = folder / SETTINGS
    content = read_json(path, "targets")
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        raise ValueError(f"targets {path} is {shown(content)}; it takes what hhd teach wrote")
    if content.get("format") != FORMAT:
        raise ValueError(
            f"targets {path} has format {shown(content.get('format'))}; this version reads {FORMAT}"
        )
    settings: dict[str, Any] = content["settings"]
    return settings


def check_settings(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """``ValueError`` names what differs between a store's settings and those that are wanted."""
    found, wanted = _flat(found), _flat(wanted)
    differing = [
        f"{name} {shown(found.get(name))} instead of {shown(wanted.get(name))}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if differing:
        raise ValueError(f"{folder} holds targets made with {'; '.join(differing)}")


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def plan_shards(folder: Path, keys: Sequence[Key]) -> list[Shard]:
    """The files still to be written for ``keys``, in their order, under the lowest free numbers."""
    have = set(TargetStore(folder).index)
    todo = [position for position, key in enumerate(keys) if key not in have]
    free = (number for number in count() if not shard_path(folder, number).is_file())
    return [Shard(next(free), todo[start : start + SHARD]) for start in range(0, len(todo), SHARD)]


def write_shard(folder: Path, number: int, keys: Sequence[Key], records: Records) -> None:
    """Write one shard; each record array has as many rows as there are keys."""
    arrays = {KEYS: np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 16)}
    arrays |= {name: np.ascontiguousarray(array) for name, array in records.items()}
    assert all(len(array) == len(keys) for array in arrays.values())
    data = save(dict(sorted(arrays.items())), metadata={"digest": _digest(arrays)})
    write_bytes(shard_path(folder, number), data)


class TargetStore:
    """The records of a folder by person; picklable, and each process opens the files for itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = read_settings(folder)
        self.paths = sorted(folder.glob("[0-9]*.safetensors"))
        self.index: dict[Key, tuple[int, int]] = {}
        digest = hashlib.sha256(repr(sorted(self.settings.items())).encode())
        for number, path in enumerate(self.paths):
            with _opened(path) as file:
                digest.update(f"{path.name} {(file.metadata() or {}).get('digest')} ".encode())
                for row, key in enumerate(file.get_tensor(KEYS)):
                    self.index[key.tobytes()] = number, row
        self.digest = digest.hexdigest()
        self._slices: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.index)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_slices": {}}

    def read(self, person: Person) -> dict[str, NDArray[Any]]:
        """The person's record, an array for each field."""
        number, row = self.index[key_of(person)]
        slices = self._slices.get(number)
        if slices is None:
            slices = self._slices[number] = self._open(number)
        return {name: part[row] for name, part in slices.items()}

    def check_covers(self, persons: Iterable[Person]) -> None:
        """``ValueError`` unless every person has a record."""
        missing = [person for person in persons if key_of(person) not in self.index]
        if missing:
            raise ValueError(
                f"targets {self.folder} lack {len(missing)} of the persons, the first of "
                f"annotation {missing[0].annotation_id} in {missing[0].image.name}: they were made "
                "of other annotations, pictures or boxes, or are not finished"
            )

    def shards(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The records, a shard at a time."""
        for number in range(len(self.paths)):
            yield {name: part[:] for name, part in self._open(number).items()}

    def _open(self, number: int) -> dict[str, Any]:
        """The fields of a shard, whose digest must be right."""
        path = self.paths[number]
        with _opened(path) as file:
            names = list(file.keys())
            arrays = {name: file.get_tensor(name) for name in names}
            if (file.metadata() or {}).get("digest") != _digest(arrays):
                raise ValueError(
                    f"targets {path} are damaged: remove that file, and hhd teach makes it anew"
                )
        opened = safe_open(path, framework="numpy")
        return {name: opened.get_slice(name) for name in names if name != KEYS}


def _opened(path: Path) -> Any:
    try:
        file = safe_open(path, framework="numpy")
        if KEYS not in file.keys():  # noqa: SIM118 - no dict
            raise ValueError(f"targets {path} hold no keys: remove that file")
        return file
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"targets {path} cannot be read ({one_line(str(error))}): remove that file, and hhd "
            "teach makes it anew"
        ) from error


def _digest(arrays: Records) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
