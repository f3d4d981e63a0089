"""Files of a run: the checkpoint, written whole or not at all, and the log."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from hhd.files import json_text, parse_json, replacing, write_bytes
from hhd.models.digest import DIGEST, state_digest
from hhd.models.torch_files import read_torch_file

FIELDS: dict[str, Any] = {
    "recipe": dict,
    "inputs": dict,
    "model": dict,
    "optimiser": dict,
    "schedule": dict,
    "average": dict | type(None),
    "scaler": dict,
    "rng": list,
    "precision": str,
    "step": int,
    "train_seconds": int | float,
}


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace ``path`` by ``state`` and its digest; the file that it replaces stays beside it."""
    with replacing(path) as file:
        torch.save({**state, DIGEST: state_digest(state)}, file)
        if path.is_file():
            spare = previous(path)
            # A second name of the file; not every file system has them.
            with suppress(OSError):
                spare.unlink(missing_ok=True)
                os.link(path, spare)


def previous(path: Path) -> Path:
    """Where the checkpoint before ``path`` is."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; tensors and plain values only. ``ValueError`` where it is not as it was
    written, with the way on."""
    try:
        return _read(path)
    except ValueError as error:
        raise ValueError(f"checkpoint {path} cannot be read ({error}): {_way_on(path)}") from error


def _read(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = read_torch_file(path)
    found = state if isinstance(state, dict) else {}
    absent = [name for name, kind in FIELDS.items() if not isinstance(found.get(name), kind)]
    if absent:
        raise ValueError(f"it lacks {', '.join(absent)}")
    if found.get(DIGEST) != state_digest(found):
        raise ValueError("it is damaged, or was changed: its digest does not match")
    return state


def _way_on(path: Path) -> str:
    spare = previous(path)
    try:
        step = _read(spare)["step"]
    except (ValueError, OSError):
        return "remove it to train from the start"
    return f"{spare}, of step {step}, is whole: move it there to go on"


class JsonLog:
    """``log.jsonl``, a JSON object a line; a resumed run keeps the lines up to its checkpoint."""

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        kept = []
        if first_step:
            try:
                for line in self._lines():
                    content = parse_json(line)
                    if content["step"] <= first_step:
                        kept.append(line)
                        self.lines.append(content)
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"log {path} has a line that is no step of a run: remove it to go on without"
                ) from error
        write_bytes(path, "".join(line + "\n" for line in kept).encode())

    def _lines(self) -> list[str]:
        """Whole lines; a killed run may have left the last one unfinished."""
        return self.path.read_text().split("\n")[:-1] if self.path.is_file() else []

    def evaluated(self, step: int) -> bool:
        """Whether a kept line is the evaluation after ``step``."""
        return any(line["step"] == step and "epoch" in line for line in self.lines)

    def write(self, **values: Any) -> None:
        """Append one line."""
        try:
            with self.path.open("a") as file:
                file.write(json_text(values) + "\n")
        except OSError as error:
            raise OSError(f"{self.path} cannot be written: {error.strerror or error}") from error
