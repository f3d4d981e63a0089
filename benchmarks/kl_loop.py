"""The distillation term of the default preset in the style of `official_loop`: map by map."""

import torch
from torch import Tensor

from benchmarks.official_loop import cut, pairs


def kl_loop(
    student: Tensor, teacher: Tensor, *, window: tuple[int, int] = (7, 7), beta: float = 10.0
) -> Tensor:
    """Mean over joints of KL(teacher || student) over the window's cells and the rest.

    Windows may cross the border of maps [B, K, H, W] by less than half; teacher maps have a
    positive pixel.
    """
    losses = []
    for logits, heatmap in pairs(student, teacher):
        y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
        covered = (_span(y, window[0]), _span(x, window[1]))

        positive = heatmap.relu()
        q = positive / float(positive.sum())
        cells = cut(q, (y, x), window, skip_line=False)
        rest = (1 - q[covered].sum()).clamp_min(0)
        target = torch.cat((cells.flatten(), rest[None]))
        target = target / target.sum()

        log_p = (beta * logits).flatten().log_softmax(0).view_as(logits)
        log_cells = cut(log_p, (y, x), window, skip_line=False)
        outside = torch.ones_like(heatmap, dtype=torch.bool)
        outside[covered] = False
        log_rest = log_p[outside].logsumexp(0)
        log_masses = torch.cat((log_cells.flatten(), log_rest[None])).log_softmax(0)

        losses.append((torch.xlogy(target, target) - target * log_masses).sum())
    return torch.stack(losses).mean()


def _span(at: int, size: int) -> slice:
    """The window's part of an axis; a slice may end past the map."""
    return slice(max(at - size // 2, 0), at - size // 2 + size)
