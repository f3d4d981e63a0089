"""Files: replaced whole or not at all, and JSON and YAML that no content can turn into a traceback.

What is written is valid JSON: a number that is not one is null.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from hhd.text import one_line


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write in place of ``path``, which is the old file or the whole new one at any time.

    A link at ``path`` is replaced, not followed. ``OSError`` names the file where the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        # "x": whatever appears there meanwhile is not written through.
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written: {error.strerror or error}; what was there is whole"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def make_folder(path: Path, what: str) -> None:
    """Make a folder that ``what`` calls by its role, and those above it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{what} {path} cannot be made: {error.strerror or error}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``."""
    with replacing(path) as file:
        file.write(data)


def json_text(value: Any, indent: int | None = None) -> str:
    """Valid JSON, with null for NaN and the infinities."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as :func:`json_text`."""
    write_bytes(path, json_text(value, indent=1).encode())


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def read_text(path: Path, what: str) -> str:
    """The text of a file that ``what`` calls by its role; ``FileNotFoundError``, ``ValueError``."""
    if not is_file(path):
        raise FileNotFoundError(f"{what} {path} does not exist")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} {path} is no text in UTF-8: {error}") from error


def is_file(path: Path) -> bool:
    """Whether ``path`` is a file; a name that no file system takes is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def parse_json(text: str) -> Any:
    """What JSON text says; ``ValueError`` on any other text, however deep or long."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path, what: str) -> Any:
    """What a JSON file holds; ``FileNotFoundError``, ``ValueError``."""
    try:
        return parse_json(read_text(path, what))
    except ValueError as error:
        raise ValueError(f"{what} {path} is not JSON: {error}") from error


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, whose expansion has no bound, and without a key given twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "it has an alias (*), which is not taken")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"it gives more than one value of {', '.join(twice)}"
            )
        return dict(super().construct_mapping(node, deep))


def read_yaml(path: Path, what: str) -> Any:
    """What a YAML file holds; ``FileNotFoundError``, ``ValueError``."""
    text = read_text(path, what)
    try:
        return yaml.load(text, _PlainLoader)
    except RecursionError:
        raise ValueError(f"{what} {path} is not YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{what} {path} is not YAML: {one_line(str(error))}") from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
