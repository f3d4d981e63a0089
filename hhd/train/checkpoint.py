"""The state of a run on disk: written whole or not at all, enough to go on to the same result."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch


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
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


class JsonLog:
    """``log.jsonl``, a JSON object a line; a resumed run keeps the lines up to its checkpoint."""

    def __init__(self, path: Path, first_step: int) -> None:
        self.path = path
        kept = (
            [line for line in self._lines() if json.loads(line)["step"] <= first_step]
            if first_step
            else []
        )
        write_atomically(path, "".join(line + "\n" for line in kept).encode())

    def _lines(self) -> list[str]:
        """Whole lines; a killed run may have left the last one unfinished."""
        return self.path.read_text().split("\n")[:-1] if self.path.is_file() else []

    def write(self, **values: Any) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(values) + "\n")
