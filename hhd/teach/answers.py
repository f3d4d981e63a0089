"""From a network's output to maps in which 0 means "no joint here"."""

from __future__ import annotations

import torch
from torch import Tensor

from hhd.teach.card import TeacherCard
from hhd.teach.grid import GridConvention, grid_axis


def answer_maps(outputs: tuple[Tensor, ...], card: TeacherCard, count: int) -> Tensor:
    """Maps float32 [count, C, h, w], from 0 up; ``ValueError`` where the outputs' shapes are wrong.

    ``softmax`` maps sum to 1. Of simcc vectors x and y the map is their outer product: of softmax
    vectors a distribution, of others scaled to the peak min(max x, max y), mmpose's confidence
    (``get_simcc_maximum``).
    """
    expected = 2 if card.kind == "simcc" else 1
    if len(outputs) != expected:
        raise ValueError(
            f"teacher {card.network} gave {len(outputs)} outputs; {card.kind} takes {expected}"
        )
    if card.kind == "simcc":
        return _outer_product(outputs[0].float(), outputs[1].float(), card, count)
    maps = outputs[0].float()
    if maps.dim() == 4 and card.output_layout == "nhwc":
        maps = maps.permute(0, 3, 1, 2)
    known = len(card.joints) if card.joints is not None else None
    if maps.dim() != 4 or len(maps) != count or known not in (None, maps.shape[1]):
        takes = f"[{count}, {'C' if known is None else known}, h, w]"
        raise ValueError(
            f"teacher {card.network} gave maps {list(maps.shape)} as {card.output_layout}; it "
            f"takes {takes}, a channel for each of its joints"
        )
    if card.activation == "softmax":
        return torch.softmax(card.beta * maps.flatten(2), dim=2).view_as(maps)
    return _positive(maps, card)


def _positive(values: Tensor, card: TeacherCard) -> Tensor:
    return values.sigmoid() if card.activation == "sigmoid" else values.clamp(min=0)


def _outer_product(x: Tensor, y: Tensor, card: TeacherCard, count: int) -> Tensor:
    assert card.input_size is not None
    assert card.map_size is not None
    assert card.grid is not None
    vectors = []
    known = len(card.joints) if card.joints is not None else x.shape[1] if x.dim() == 3 else 0
    for name, vector, pixels in zip("xy", (x, y), card.input_size, strict=True):
        takes = [count, known, round(pixels * card.split_ratio)]
        if list(vector.shape) != takes:
            raise ValueError(
                f"teacher {card.network} gave simcc vectors {list(vector.shape)} along {name}; it "
                f"takes {takes} for input_size {list(card.input_size)} and split_ratio "
                f"{card.split_ratio:g}"
            )
        if card.activation == "softmax":
            vectors.append(torch.softmax(card.beta * vector, dim=2))
        else:
            vectors.append(_positive(vector, card))
    along_x, along_y = (
        vector @ _bins_to_cells(vector.shape[2], cells, pixels, card.split_ratio, card.grid, vector)
        for vector, cells, pixels in zip(vectors, card.map_size, card.input_size, strict=True)
    )
    maps = along_y.unsqueeze(3) * along_x.unsqueeze(2)
    if card.activation == "softmax":
        return maps
    peak = torch.minimum(vectors[0].amax(2), vectors[1].amax(2))[..., None, None]
    return maps / maps.amax((2, 3), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny) * peak


def _bins_to_cells(
    bins: int, cells: int, pixels: int, ratio: float, grid: GridConvention, like: Tensor
) -> Tensor:
    """[bins, cells]: each bin's mass goes to the two nearest cells, so that the mean is kept.

    Bin i stands for input pixel i / ratio (mmpose ``SimCCLabel``).
    """
    axis = grid_axis(cells, pixels, grid)
    position = (torch.arange(bins) / ratio - axis.offset) / axis.scale
    distance = (position.clamp(0, cells - 1).unsqueeze(1) - torch.arange(cells)).abs()
    return (1 - distance).clamp(min=0).to(like)
