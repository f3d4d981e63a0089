"""Pictures from files, and those that are broken refused: OpenCV makes the rest of a JPEG that was
cut short grey, and only warns."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

# JPEG's markers: start of the picture, start of a scan, end of the picture.
SOI, SOS, EOI = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# What a scan might go on with; the zero makes data of a marker's first byte.
MORE = b"\x00" + b"\x55" * 1024


def read_picture(path: Path) -> NDArray[np.uint8]:
    """BGR [H, W, 3], EXIF orientation ignored as annotations do (HRNet); ``ValueError`` where it
    cannot be decoded or is cut short."""
    data = path.read_bytes()
    # Behind the end there may be more: a second picture, a camera's own data, padding.
    if data[:2] != SOI or data.endswith(EOI) or EOI in data[data.rfind(SOS) :]:
        image = _decode(data)
    else:
        image = _decode(data + EOI)
        # Some lack the marker and nothing else: they are whole if more data changes no pixel. Zeros
        # are what a download that stopped leaves of the rest.
        if image is not None and (image != _decode(data.rstrip(b"\x00") + MORE + EOI)).any():
            raise ValueError(f"image {path} is cut short")
    if image is None:
        raise ValueError(f"image {path} cannot be decoded")
    return image


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error:  # of no bytes at all, and of sizes that it refuses
        return None
    return None if image is None else np.asarray(image, dtype=np.uint8)
