"""Bugs in the CUDA kernels themselves are found, at every place where the executor can put one."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from executor.calls import SMALL
from executor.library import LIMIT, ExecutorError, Library, Site
from executor.torch_ops import Ops
from kernels.samples import loss_setup, tensor

PATHS = [
    ((1, 2, 24, 20), "contiguous", LIMIT),  # whole vectors, several warps a map
    ((2, 3, 9, 7), "contiguous", LIMIT),
    ((1, 5, 9, 8), "channels_last", LIMIT),  # several maps a block
    ((1, 2, 24, 20), "contiguous", SMALL),  # maps that do not fit on chip
]
L2, SOFTMAX, L1_POSITIVE = 2, 3, 4
SSE, KL = 0, 1
PUBLISHED, DEBIASED = 1, 2
BILINEAR = 1
DARK = 1


class Call(NamedTuple):
    """A call of an op on one of the PATHS, and what it gives when nothing is wrong."""

    run: Callable[[], Any]
    limit: int
    answer: list[Tensor]


def bodies(ops: Ops, shape: tuple[int, int, int, int], layout: str) -> list[Callable[[], Any]]:
    """Every op, in the forms that take different ways."""
    setup = loss_setup(0, shape, (5, 4), sampling="bilinear")
    maps, centers = tensor(setup.logits, layout=layout), setup.centers
    inputs = (maps, centers, setup.windows)
    number = torch.full((), 2.0)

    def loss(kind: int, divergence: int, locate: int, sampling: int) -> Any:
        joints = (setup.target_coords, setup.weight, setup.weight + 1, number)
        hhd = (2.0, kind, divergence, locate, sampling, 0, 0, 1e-6)
        return ops.joint_loss(*inputs, *joints, *hhd, 1, 2.0, 2.0, 1.0, 1.0, 1.0, True)

    return [
        partial(loss, SOFTMAX, KL, DEBIASED, BILINEAR),
        partial(loss, L2, SSE, PUBLISHED, 0),
        partial(ops.soft_argmax, maps, 2.0, 0),
        partial(ops.soft_argmax, maps, 2.0, 5),
        partial(ops.soft_argmax_backward, centers, maps, 2.0, 0),
        partial(ops.normalize, maps, L2, 1.0, 1e-6),
        partial(ops.normalize_backward, maps, maps, SOFTMAX, 1.0, 1e-6),
        partial(ops.crop, maps, centers, 5, 4, BILINEAR, 0),
        partial(ops.crop_backward, setup.windows, maps, centers, BILINEAR, 0),
        partial(ops.teacher_targets, maps, 5, 4, L1_POSITIVE, DARK, 5, BILINEAR, 0, 1e-6),
        partial(ops.locate_teacher, maps, DARK, 5),
        partial(ops.locate_student, maps, centers, DEBIASED, 2.0, 5, 4),
        partial(ops.loss_backward, maps, number, maps),
    ]


def answer_of(run: Callable[[], Any]) -> list[Tensor]:
    answer = run()
    return [answer] if isinstance(answer, Tensor) else list(answer)


@pytest.fixture(scope="module")
def seen(loaded: Library) -> dict[Site, list[Call]]:
    """Every barrier, shuffle, load and store of the kernels, with the calls that come there."""
    places: dict[Site, list[Call]] = {}
    for shape, layout, limit in PATHS:
        loaded.limit = limit
        loaded.reset_order()
        for run in bodies(Ops(loaded), shape, layout):
            loaded.sites()
            call = Call(run, limit, answer_of(run))
            for site in loaded.sites():
                places.setdefault(site, []).append(call)
    return places


def is_found(library: Library, call: Call) -> bool:
    """Whether the call fails or answers something else; what was not written stays NaN."""
    library.limit = call.limit
    library.reset_order()
    try:
        answer = answer_of(call.run)
    except ExecutorError:
        return True
    pairs = zip(answer, call.answer, strict=True)
    return not all(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True) for a, b in pairs)


@pytest.mark.parametrize(
    ("kind", "bug"),
    [
        ("barrier", "barrier skipped"),
        ("warp barrier", "barrier skipped"),
        ("shuffle", "lane forgotten"),
        ("load", "read beyond"),
        ("store", "store dropped"),
    ],
)
def test_found_everywhere(
    library: Library, seen: dict[Site, list[Call]], kind: str, bug: str
) -> None:
    """At each site; but in a warp that is in step anyway, one barrier may do what another did."""

    def missed(site: Site) -> bool:
        library.plant(bug, site)
        return not any(is_found(library, call) for call in seen[site])

    sites = [site for site in seen if site.kind == kind]
    alone = [site for site in sites if missed(site)]
    if kind == "warp barrier":
        assert len(alone) < len(sites)
    else:
        assert sites
        assert not alone, ", ".join(map(str, alone))


def test_without_a_bug_nothing_is_found(library: Library, seen: dict[Site, list[Call]]) -> None:
    calls = {id(call): call for calls in seen.values() for call in calls}
    assert not any(is_found(library, call) for call in calls.values())
