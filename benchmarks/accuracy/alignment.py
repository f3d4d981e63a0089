"""Where a student's mode ends when its window is placed by its peak or by its unbiased centre.

Maps that are free parameters, each pixel a number of its own, learn Gaussians at known places: what
the loss alone wants, without a network. Of each map we then measure how far its peak, its local and
its whole expectation lie from the truth, its background mass r and beta times its amplitude (see
`hhd_kernels.locate_student`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import hhd_kernels as hk
from benchmarks.accuracy.pictures import val_crops
from benchmarks.accuracy.place import Place
from benchmarks.accuracy.run import facts
from hhd.data.dataset import normalise_images
from hhd.data.loading import make_loader
from hhd.data.targets import gaussian_maps
from hhd.models.files import load_model
from hhd.models.shipped import SHIPPED

SIDE, SIGMA, BETA = 48, 1.5, 10.0
JOINTS, STEPS, RATE = 256, 400, 0.02
R_BINS = [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.01]
AMPLITUDE_BINS = [0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 1e6]
PLACES = ("peak", "debiased", "published")
WEIGHTS = (0.0, 1.0, 10.0, 100.0)
"""Of the coordinate loss, beside a KL of weight 10."""


def write_alignment(place: Place, file: Path) -> None:
    """Free maps, a row for each place of the window and weight of the coordinates; and of the
    networks that are here, how r and the amplitude are spread over val's joints."""
    rows = [_learn(locate, weight) for locate in PLACES for weight in WEIGHTS]
    networks = {"shipped": SHIPPED}
    for name in ("kl", "published", "debiased"):
        model = place.model(f"final {name}", 0)
        networks |= {name: model} if model.is_file() else {}
    spread = {name: _spread(place, model) for name, model in networks.items()}
    content = {"free": rows, "networks": spread, "environment": facts()}
    file.write_text(json.dumps(content, indent=1) + "\n")


@torch.inference_mode()
def _spread(place: Place, file: Path) -> dict[str, list[int]]:
    """Counts of val's labelled joints in the bins R_BINS and AMPLITUDE_BINS."""
    model, card = load_model(file)
    data = val_crops(place, model, card)
    found: dict[str, list[Tensor]] = {"r": [], "amplitude": []}
    for batch in make_loader(data, 40, 0):
        maps = model(normalise_images(batch["image"]))
        seen = batch["weight"] > 0
        for name, values in zip(found, background(maps, card.beta), strict=True):
            found[name].append(values[seen])
    bins = {"r": R_BINS, "amplitude": AMPLITUDE_BINS}
    return {
        name: torch.histogram(torch.cat(values), torch.tensor(bins[name])).hist.int().tolist()
        for name, values in found.items()
    }


def _criterion(locate: str, weight: float) -> hk.IntegralHHDLoss:
    if locate == "published":
        return hk.IntegralHHDLoss.published(BETA, coordinate_weight=weight)
    return hk.IntegralHHDLoss(BETA, coordinate_unit=SIGMA, coordinate_weight=weight, locate=locate)


def _learn(locate: str, weight: float) -> dict[str, Any]:
    torch.manual_seed(0)
    truth = 4 + (SIDE - 9) * torch.rand(1, JOINTS, 2)
    ones = torch.ones(1, JOINTS)
    teacher = gaussian_maps(truth, ones, (SIDE, SIDE), SIGMA, "dark")[0]
    logits = (1e-2 * torch.randn(1, JOINTS, SIDE, SIDE)).requires_grad_()
    criterion = _criterion(locate, weight)
    targets = criterion.targets(teacher)
    optimiser = torch.optim.Adam([logits], lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        # A mean over joints, so that each map learns as if it were alone.
        (JOINTS * criterion(logits, targets, truth, ones).loss).backward()
        optimiser.step()
    learnt = logits.detach()
    place = hk.locate_student(learnt, targets.centers, locate, beta=BETA)
    found = measured(learnt, truth, place)
    return {"locate": locate, "coordinates": weight, **found}


def measured(logits: Tensor, truth: Tensor, place: Tensor) -> dict[str, float]:
    """Medians over maps [1, K, H, W] of the distances to ``truth`` [1, K, 2] in heatmap pixels, and
    of r and the amplitude in units of 1 / beta.

    ``outward``: how far the local expectation lies from the truth away from the map's middle;
    ``window``: its distance from ``place``, the middle of the student's window.
    """
    peak = hk.locate_teacher(logits)
    local, _ = hk.soft_argmax(logits, BETA, window=9)
    whole, _ = hk.soft_argmax(logits, BETA)
    found = {
        name: float(torch.linalg.vector_norm(place - truth, dim=-1).median())
        for name, place in (("peak", peak), ("local", local), ("whole", whole))
    }
    away = truth - (SIDE - 1) / 2
    outward = ((local - truth) * away).sum(-1) / torch.linalg.vector_norm(away, dim=-1)
    found["outward"] = float(outward.median())
    found["window"] = float(torch.linalg.vector_norm(local - place, dim=-1).median())
    rest, height = background(logits, BETA)
    return {
        **{name: round(value, 3) for name, value in found.items()},
        "r": round(float(rest.median()), 4),
        "amplitude": round(float(height.median()), 2),
    }


def background(logits: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """r = (1 - m) H W / (H W - n) of the mass m in the n pixels of the 7 x 7 window at the peak,
    and beta times the peak's height above the map's median, [B, K] each."""
    pixels_of_map = logits.shape[2] * logits.shape[3]
    peak = hk.locate_teacher(logits)
    near = torch.softmax(beta * logits.flatten(2), dim=2).view_as(logits)
    # Padded, so that what lies beyond the map is 0.
    mass, pixels = (
        hk.crop(F.pad(maps, (3, 3, 3, 3)), peak + 3, window=(7, 7)).sum(dim=(2, 3))
        for maps in (near, torch.ones_like(near))
    )
    rest = (1 - mass) * pixels_of_map / (pixels_of_map - pixels)
    return rest, beta * (logits.amax((2, 3)) - logits.flatten(2).median(2).values)
