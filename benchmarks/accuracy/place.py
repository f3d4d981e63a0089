"""Where the study reads and writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.accuracy.rows import HERE, UNLABELLED, Row
from hhd.train.recipe import Recipe

UNLABELLED_FILE = "lspet_unlabelled/annotations/lspet_unlabelled.json"
VAL_FILE = "lspet/annotations/lspet_val.json"


@dataclass(frozen=True)
class Place:
    """``data`` holds ``lspet`` and ``lspet_unlabelled``; ``work`` annotation files, cache, targets
    and runs, which are not kept; ``results`` a JSON for each run, which are."""

    data: Path
    work: Path
    results: Path

    def result(self, row: Row, seed: int) -> Path:
        """The file of a run's result."""
        return self.results / f"{plain(row.name)}.{seed}.json"

    def run(self, row: Row, seed: int) -> Path:
        """The folder of a run."""
        return self.work / "runs" / f"{plain(row.name)}.{seed}"

    def model(self, row: str, seed: int) -> Path:
        """The network of a finished run."""
        return self.work / "runs" / f"{plain(row)}.{seed}" / "model.safetensors"

    def heavy(self) -> Path:
        """The card of BlazePose heavy, which `benchmarks/blazepose.py` writes."""
        return self.work / "teachers" / "blazepose_heavy.yaml"

    def targets(self, name: str, seed: int) -> Path:
        """A folder of a teacher's targets; each student has its own of itself."""
        return self.work / "targets" / (f"{name}.{seed}" if name.startswith("itself") else name)

    def taught(self, name: str, seed: int) -> Path:
        """What says that a folder of targets is complete."""
        folder = self.targets(name, seed)
        return folder.with_name(folder.name + ".done")

    def annotations(self, name: str) -> Path:
        """An annotation file, absolute."""
        if name == UNLABELLED:
            return self.data / UNLABELLED_FILE
        if name == "val":
            return self.data / VAL_FILE
        return self.work / "annotations" / f"{name}.json"

    def images(self, name: str) -> str:
        """The pictures' folder of an annotation file, in ``data``."""
        return "lspet_unlabelled/images" if name == UNLABELLED else "lspet/images"

    def recipe(self, row: Row, seed: int, device: str) -> Recipe:
        """What a row trains."""
        fields: dict[str, Any] = yaml.safe_load((HERE / "base.yaml").read_text())
        fields |= {
            "data_root": str(self.data),
            "train_annotations": str(self.annotations(row.train)),
            "val_annotations": str(self.annotations(row.test)),
            "cache": str(self.work / "cache"),
            "output": str(self.run(row, seed)),
            "seed": seed,
            "device": device,
        }
        if row.further:
            fields |= {
                "further_annotations": [str(self.annotations(name)) for name in row.further],
                "further_images": [self.images(name) for name in row.further],
                "further_batch": list(row.further.values()),
            }
        if row.targets is not None:
            fields["targets"] = str(self.targets(row.targets, seed))
        if row.weights is not None:
            fields["weights"] = str(self.model(row.weights, seed))
        fields |= row.changes
        return Recipe(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})


def plain(name: str) -> str:
    """A row's name as a file's."""
    kept = "".join(c if c.isalnum() or c in ".-" else " " for c in name)
    return "-".join(kept.split())


def read_result(path: Path) -> dict[str, Any]:
    """What a run left."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content
