"""Pictures from files as a person sees them, and those that are damaged refused.

OpenCV, which HRNet and mmpose read with, makes the rest of a damaged JPEG grey and only warns; so a
JPEG is decoded by libjpeg-turbo itself, whose pixels are the same and whose warnings are errors
here, and every other format by Pillow.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hhd.text import one_line

# Pillow opens more, some by running other programs; and not every build of it opens all of these.
Image.init()
FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
    if name in Image.OPEN
)
EOI = b"\xff\xd9"
ORIENTATION = 0x0112
# EXIF's orientations: how the picture is to be turned, and mirrored before that.
TURNS = {
    3: cv2.ROTATE_180,
    5: cv2.ROTATE_90_COUNTERCLOCKWISE,
    6: cv2.ROTATE_90_CLOCKWISE,
    7: cv2.ROTATE_90_CLOCKWISE,
    8: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
MIRRORED, UPSIDE_DOWN = (2, 5, 7), 4
SIDEWAYS = (5, 6, 7, 8)


def read_picture(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """BGR [H, W, 3], turned as its EXIF orientation says; ``ValueError`` where it cannot be decoded
    or is damaged.

    ``size``: (width, height) that an annotation file says, compared before anything is decoded.
    """
    data = path.read_bytes()
    try:
        with warnings.catch_warnings():
            # Pillow warns of half the size that it refuses, a gigabyte decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            file = Image.open(io.BytesIO(data), formats=FORMATS)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise ValueError(
            f"image {path} cannot be decoded: it is cut short, or of no known format"
        ) from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"image {path} is too large: {one_line(str(error))}") from error
    stored = file.size
    if size is not None and size not in (stored, stored[::-1]):
        raise ValueError(_other_size(path, stored, size))
    try:
        # Of a PNG this decodes the whole. A TIFF is turned by Pillow itself.
        orientation = 1 if file.format == "TIFF" else file.getexif().get(ORIENTATION, 1)
        seen = stored[::-1] if orientation in SIDEWAYS else stored
        if size not in (None, seen):
            raise WrongSize(_other_size(path, seen, size, orientation))
        image = _jpeg(data) if file.format in ("JPEG", "MPO") else _other(file)
    except WrongSize:
        raise
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ValueError(f"image {path} is damaged: {one_line(str(error))}") from error
    if file.format == "WEBP" and data.endswith(bytes(64)):
        # Compressed data does not end so; a download that stopped does, and has no checksum.
        raise ValueError(f"image {path} is damaged: it ends in zeros")
    return _upright(image, orientation)


class WrongSize(ValueError):
    """A picture is not of the size that its annotation says."""


def _other_size(
    path: Path, seen: tuple[int, int], said: tuple[int, int], orientation: int = 1
) -> str:
    text = f"image {path} has {seen[0]}x{seen[1]} pixels, its annotation file says "
    text += f"{said[0]}x{said[1]}"
    if orientation == 1:
        return text
    return (
        f"{text}, which fits only without its EXIF orientation ({orientation}): the annotation is "
        "of the unturned picture; turn the picture's file, or take that tag out of it"
    )


def _jpeg(data: bytes) -> NDArray[np.uint8]:
    """Whole files that lack the mark of their end, and nothing else, are whole."""
    if EOI not in data[data.rfind(b"\xff\xda") :]:
        data += EOI
    if simplejpeg.decode_jpeg_header(data)[2] in ("CMYK", "YCCK"):
        return _other(Image.open(io.BytesIO(data)))
    return np.asarray(simplejpeg.decode_jpeg(data, "BGR"), dtype=np.uint8)


def _other(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        # 16 bits a pixel; OpenCV keeps the upper 8.
        grey = np.asarray(picture, dtype=np.float64) / 256
        picture = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation in MIRRORED:
        image = np.asarray(cv2.flip(image, 1), dtype=np.uint8)
    if orientation == UPSIDE_DOWN:
        image = np.asarray(cv2.flip(image, 0), dtype=np.uint8)
    if orientation in TURNS:
        image = np.asarray(cv2.rotate(image, TURNS[orientation]), dtype=np.uint8)
    return image
