"""Some of a COCO-style file's pictures held out, to evaluate on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hhd.data.coco import coco_content
from hhd.files import write_json


def split_annotations(annotations: Path, share: float) -> tuple[Path, Path, int, int]:
    """Write ``NAME_train.json`` and ``NAME_val.json`` beside ``annotations``: the two files, and
    their numbers of pictures.

    A picture is held out by a hash of its file name, so that pictures that are added later leave
    the others where they were. ``ValueError`` where a part would be empty.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}; it takes a number between 0 and 1")
    content = coco_content(annotations)
    held = [image for image in content["images"] if _place(image) < share]
    kept = [image for image in content["images"] if _place(image) >= share]
    if not held or not kept:
        raise ValueError(
            f"{annotations} has {len(content['images'])} pictures: a share of {share:g} leaves "
            f"{len(kept)} to train on and {len(held)} to evaluate on"
        )
    files = []
    for name, images in (("train", kept), ("val", held)):
        ids = {str(image.get("id")) for image in images}
        own = [a for a in content["annotations"] if str(a.get("image_id")) in ids]
        files.append(annotations.with_name(f"{annotations.stem}_{name}.json"))
        write_json(files[-1], {**content, "images": images, "annotations": own})
    return files[0], files[1], len(kept), len(held)


def _place(image: dict[str, Any]) -> float:
    """From 0 to 1, even over names."""
    name = str(image.get("file_name", image.get("id")))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
