"""The study's annotation files, made of LSP Extended's by the hashes of its ids."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

Annotation = dict[str, Any]

DEV = 0.14
LABELLED = {"10": 0.1, "30": 0.3}
"""The shares of the training pictures that keep their labels; the first are among the second."""


def make_split(data: Path, folder: Path) -> None:
    """Write ``dev``, ``train`` and, for each share, the part with labels and the rest without."""
    source = json.loads((data / "lspet/annotations/lspet_train.json").read_text())
    held_out = [a for a in source["annotations"] if _draw("dev", a["id"]) < DEV]
    known = {a["id"] for a in held_out}
    # Never filtered: what is evaluated on.
    rest = [a for a in source["annotations"] if a["id"] not in known and not _looks_swapped(a)]
    files = {"dev": held_out, "train": rest, "all": rest + _drop_swapped(held_out)}
    for name, share in LABELLED.items():
        files[f"labelled_{name}"] = [a for a in rest if _draw("labels", a["id"]) < share]
        hidden = [a for a in rest if _draw("labels", a["id"]) >= share]
        files[f"hidden_{name}"] = [_without_labels(a) for a in hidden]
    folder.mkdir(parents=True, exist_ok=True)
    for name, chosen in files.items():
        _write(folder / f"{name}.json", source, chosen)


def _draw(salt: str, number: int) -> float:
    """A fixed number in [0, 1) for an id."""
    digest = hashlib.sha256(f"{salt} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _looks_swapped(annotation: Annotation) -> bool:
    return bool(annotation["ref_agree_swapped"] - annotation["ref_agree"] > 0.2)


def _drop_swapped(annotations: list[Annotation]) -> list[Annotation]:
    return [a for a in annotations if not _looks_swapped(a)]


def _without_labels(annotation: Annotation) -> Annotation:
    return annotation | {"keypoints": [0] * len(annotation["keypoints"]), "num_keypoints": 0}


def _write(path: Path, source: dict[str, Any], annotations: list[Annotation]) -> None:
    used = {a["image_id"] for a in annotations}
    images = [image for image in source["images"] if image["id"] in used]
    content = source | {"images": images, "annotations": annotations}
    text = json.dumps(content)
    # A new date would make the cache of crops anew.
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
