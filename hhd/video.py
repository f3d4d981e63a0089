"""Moving pictures, read and written by OpenCV."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
ENDINGS = {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}
USUAL_RATE = 25.0


class Video:
    """A video file, or a camera by its number, to iterate over once.

    ``rate`` is in frames a second, ``count`` the number of frames, 0 where that is not known.
    Videos of phones are turned as they were held. ``OSError`` where nothing can be read.
    """

    def __init__(self, source: Path | int) -> None:
        self.name = f"camera {source}" if isinstance(source, int) else str(source)
        if isinstance(source, Path) and not source.is_file():
            raise FileNotFoundError(f"video {source} does not exist")
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        if not self._capture.isOpened():
            raise OSError(f"{self.name} cannot be opened as a video")
        rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = rate if math.isfinite(rate) and rate > 0 else USUAL_RATE
        self.count = 0
        if not isinstance(source, int):
            self.count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def __iter__(self) -> Iterator[Image]:
        read = 0
        try:
            while True:
                there, frame = self._capture.read()
                if not there:
                    break
                read += 1
                yield np.asarray(frame, dtype=np.uint8)
        finally:
            self._capture.release()
        if not read:
            raise OSError(f"{self.name} holds no frame that can be read")


class VideoFile:
    """What :func:`writing_video` gives: frames of one size.

    The codec takes even sides alone: odd ones grow by a copy of their last pixels.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._rate = path, rate
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Image) -> None:
        """Append a frame; ``OSError`` where the format cannot be written."""
        height, width = frame.shape[:2]
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._writer is None:
            size = frame.shape[1], frame.shape[0]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate, size)
            if not self._writer.isOpened():
                raise OSError(f"video {self._path} cannot be written")
        self._writer.write(frame)

    def close(self) -> bool:
        """Whether anything was written."""
        if self._writer is None:
            return False
        self._writer.release()
        return True


@contextmanager
def writing_video(path: Path, rate: float) -> Iterator[VideoFile]:
    """An MP4 file to write in place of ``path``, which is the old file until all is written; of an
    interrupt it is what was written until then."""
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    partial.unlink(missing_ok=True)  # a link there would be followed
    video = VideoFile(partial, rate)
    try:
        yield video
    except KeyboardInterrupt:
        if video.close():
            partial.replace(path)
        raise
    except BaseException:
        video.close()
        raise
    else:
        if video.close():
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
