"""The published loss as its authors compute it: one map at a time, in Python.

Our own words for the official structure, for comparison only: every map is indexed out of the
batch, waits for two numbers on the host (the student's mass and the teacher's peak), is padded
whole and cut by a Python slice whose outside is then overwritten by its mirror.

Much of the time is autograd's: the backward of `student[b, k]` fills a zero tensor as large as all
maps, for every map. A loop over `student.unbind()` would not, and takes about a fifth.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

NORMALIZE = {
    "none": lambda heatmap: heatmap,
    "l1": lambda heatmap: heatmap / heatmap.abs().sum(),
    "l2": lambda heatmap: heatmap / heatmap.norm(),
    "softmax": lambda heatmap: heatmap.flatten().softmax(0).view_as(heatmap),
}


def official_loop(
    student: Tensor,
    teacher: Tensor,
    *,
    window: tuple[int, int] = (8, 8),
    normalize: tuple[str, str] = ("l2", "l2"),
    weight: float = 0.5,
) -> Tensor:
    """Squared differences of the windows of maps [B, K, H, W], summed, over B, times `weight`.

    As the original, it crashes on maps of tiny mass; ordinary maps are its domain.
    """
    student_windows, teacher_windows = [], []
    for logits, heatmap in pairs(student, teacher):
        mass = float(logits.detach().exp().sum())
        y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
        at = (_student_position(y, mass), _student_position(x, mass))
        normalized = NORMALIZE[normalize[0]](logits)
        student_windows.append(cut(normalized, at, window, skip_line=True))
        normalized = NORMALIZE[normalize[1]](heatmap)
        teacher_windows.append(cut(normalized, (y, x), window, skip_line=True))
    difference = torch.stack(student_windows) - torch.stack(teacher_windows)
    return weight * difference.square().sum() / student.shape[0]


def pairs(student: Tensor, teacher: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The student's and the teacher's map of every joint of every instance."""
    for b in range(student.shape[0]):
        for k in range(student.shape[1]):
            yield student[b, k], teacher[b, k]


def _student_position(peak: int, mass: float) -> int:
    """Where the teacher's peak is sought in the student's map; truncated, as published."""
    return int(mass / (mass - 1) * (peak - 1 / (2 * mass)))


def cut(
    heatmap: Tensor, at: tuple[int, int], window: tuple[int, int], *, skip_line: bool
) -> Tensor:
    """The window around (row, column), what lies outside the map mirrored within the window.

    With `skip_line` the first line past the bottom or right border stays 0 in an odd window.
    """
    (row, column), (height, width) = at, window
    padded = F.pad(heatmap, (width // 2, width // 2, height // 2, height // 2))
    cells = padded[row : row + height, column : column + width].clone()
    _mirror(cells, row, height, heatmap.shape[0], skip_line)
    _mirror(cells.T, column, width, heatmap.shape[1], skip_line)
    return cells


def _mirror(cells: Tensor, at: int, size: int, length: int, skip_line: bool) -> None:
    """Overwrite the rows of a window that lie outside the map by their mirror, in place."""
    before = size // 2 - at
    after = at - size // 2 + size - length
    if skip_line and size % 2:
        after -= 1
    if before > 0:
        cells[:before] = cells[-before:].flip(0)
    if after > 0:
        cells[-after:] = cells[:after].flip(0)
