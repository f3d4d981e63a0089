"""The state of a run on disk: written whole or not at all, enough to go on to the same result."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch

# What a checkpoint holds at least; those of old lack what came since.
FIELDS: dict[str, Any] = {
    "recipe": dict,
    "model": dict,
    "optimiser": dict,
    "schedule": dict,
    "rng": torch.Tensor,
    "step": int,
    "hhd_weight": int | float,
    "train_seconds": int | float,
}


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: at any moment it is the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """``torch.save`` through a temporary file in the same folder."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; tensors and plain values only."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = state if isinstance(state, dict) else {}
        absent = [name for name, kind in FIELDS.items() if not isinstance(found.get(name), kind)]
        if absent:
            raise ValueError(f"it lacks {', '.join(absent)}")
    except Exception as error:
        # What damaged bytes spell can raise anything; an empty file does, without a word.
        reason = str(error).partition("\n")[0] or "it is cut short"
        raise ValueError(
            f"checkpoint {path} cannot be read ({reason}): remove it to train from the start"
        ) from error
    return state


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class JsonLog:
    """``log.jsonl``, a JSON object a line; a resumed run keeps the lines up to its checkpoint."""

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        kept = []
        if first_step:
            try:
                kept = [line for line in self._lines() if json.loads(line)["step"] <= first_step]
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"log {path} has a line that is no step of a run: remove it to go on without"
                ) from error
        write_atomically(path, "".join(line + "\n" for line in kept).encode())

    def _lines(self) -> list[str]:
        """Whole lines; a killed run may have left the last one unfinished."""
        return self.path.read_text().split("\n")[:-1] if self.path.is_file() else []

    def write(self, **values: Any) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")
