"""Bugs in the CUDA kernels themselves are found, at every place where the executor can put one."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from executor import build
from executor.calls import SMALL
from executor.library import LIMIT, WARP, ExecutorError, Library, Site
from executor.torch_ops import Ops
from kernels.samples import loss_setup, tensor

F32, F64 = torch.float32, torch.float64
PATHS = [
    ((1, 1, 40, 36), "contiguous", F32, LIMIT),  # whole vectors, two warps a map
    ((1, 1, 40, 37), "contiguous", F32, LIMIT),
    ((2, 3, 9, 7), "contiguous", F32, LIMIT),  # one warp a map
    ((1, 12, 9, 8), "channels_last", F32, LIMIT),  # several maps a block, two a warp
    ((1, 1, 40, 36), "contiguous", F32, SMALL),  # maps that do not fit on chip
    ((1, 1, 40, 37), "contiguous", F64, SMALL),
    ((2, 130, 1, 4), "contiguous", F32, LIMIT),  # more joints than are added up at once
]
SEVERAL_WARPS = [path for path in PATHS if path[0][2] == 40]
L2, SOFTMAX, L1_POSITIVE = 2, 3, 4
SSE, KL = 0, 1
PEAK, PUBLISHED, DEBIASED = 0, 1, 2
BILINEAR = 1
MIRROR = 0
DARK = 1
SOURCES = build.ROOT / "csrc" / "cuda"
CALLED = {
    "barrier": "barrier",
    "warp_barrier": "warp barrier",
    "shuffle": "shuffle",
    "shuffle_xor": "shuffle",
    "load": "load",
    "copy_async": "load",
    "store": "store",
    "count_up": "count",
    "see_counted": "see counted",
}
"""The functions of `device.h` that make a site, and its kind."""


class Call(NamedTuple):
    """A call of an op on one of the PATHS, and what it gives when nothing is wrong."""

    run: Callable[[], Any]
    limit: int
    answer: list[Tensor]


def bodies(
    ops: Ops, shape: tuple[int, int, int, int], layout: str, dtype: torch.dtype
) -> list[Callable[[], Any]]:
    """Every op, in the forms that take different ways."""
    setup = loss_setup(0, shape, (5, 4), sampling="bilinear")
    maps, centers = tensor(setup.logits, dtype, layout), setup.centers
    inputs = (maps, centers, setup.windows)
    half, bfloat16 = setup.weight.half(), setup.weight.bfloat16()
    number = torch.full((), 2.0)

    def loss(
        kind: int, divergence: int, locate: int, sampling: int, border: int, teacher: Tensor
    ) -> Any:
        joints = (setup.target_coords.double(), half, teacher, number)
        hhd = (2.0, kind, divergence, locate, sampling, border, 0, 1e-6)
        return ops.joint_loss(*inputs, *joints, *hhd, 1, 2.0, 2.0, 1.0, 1.0, 1.0, True)

    def loss_from_maps(sampling: int) -> Any:
        joints = (setup.target_coords.double(), half, half + 1, number)
        hhd = (2.0, SOFTMAX, KL, PEAK, sampling, MIRROR, 0, 1e-6)
        teacher = (maps, 5, 4, L1_POSITIVE, 0.2)
        coordinates = (1, 2.0, 2.0, 1.0, 1.0, 1.0)
        return ops.joint_loss_from_maps(maps, *teacher, *joints, *hhd, *coordinates, True)

    return [
        partial(loss, SOFTMAX, KL, DEBIASED, BILINEAR, MIRROR, setup.weight + 1),
        partial(loss, SOFTMAX, KL, PEAK, 0, MIRROR, half + 1),  # a map in registers, if it may be
        partial(loss, L2, SSE, PUBLISHED, 0, MIRROR, half + 1),
        partial(loss, SOFTMAX, KL, PUBLISHED, 0, MIRROR, bfloat16),  # some joints do not distil
        partial(loss_from_maps, 0),
        partial(loss_from_maps, BILINEAR),
        partial(ops.soft_argmax, maps, 2.0, 0),
        partial(ops.soft_argmax, maps, 2.0, 5),
        partial(ops.soft_argmax_backward, centers, maps, 2.0, 0),
        partial(ops.soft_argmax_backward, centers, maps, 2.0, 5),
        partial(ops.normalize, maps, L2, 1.0, 1e-6),
        partial(ops.normalize_backward, maps, maps, SOFTMAX, 1.0, 1e-6),
        partial(ops.crop, maps, centers, 5, 4, BILINEAR, 0),
        partial(ops.crop_backward, setup.windows, maps, centers, BILINEAR, 0),
        partial(ops.teacher_targets, maps, 5, 4, L1_POSITIVE, BILINEAR, 0, 1e-6, 0.2),
        partial(ops.teacher_targets, maps, 5, 4, L1_POSITIVE, 0, 0, 1e-6, 0.2),
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
    for *path, limit in PATHS:
        loaded.limit = limit
        loaded.reset_order()
        for run in bodies(Ops(loaded), *path):
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


def sites_in_source() -> set[Site]:
    """Every call of CALLED in the kernels."""
    call = re.compile(rf"\b({'|'.join(CALLED)})\(")
    return {
        Site(CALLED[name], str(path), number)
        for path in SOURCES.glob("*.cu*")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for name in call.findall(line.partition("//")[0])
    }


def test_every_site_is_seen(seen: dict[Site, list[Call]]) -> None:
    """So that each is broken below."""
    assert seen.keys() == sites_in_source()


@pytest.mark.parametrize("path", SEVERAL_WARPS, ids=str)
def test_several_warps_share_a_map(library: Library, path: tuple[Any, ...]) -> None:
    *maps, library.limit = path
    library.reset_order()
    for run in bodies(Ops(library), *maps):
        library.traffic()
        run()
        assert min(launch.threads for launch in library.traffic()) > WARP


@pytest.mark.parametrize(
    ("kind", "bug"),
    [
        ("barrier", "barrier skipped"),
        ("warp barrier", "barrier skipped"),
        ("shuffle", "lane forgotten"),
        ("load", "read beyond"),
        ("store", "store dropped"),
        ("count", "order forgotten"),
        ("see counted", "order forgotten"),
    ],
)
def test_found_everywhere(
    library: Library, seen: dict[Site, list[Call]], kind: str, bug: str
) -> None:
    def missed(site: Site) -> bool:
        library.plant(bug, site)
        return not any(is_found(library, call) for call in seen[site])

    sites = [site for site in seen if site.kind == kind]
    assert sites
    assert [site for site in sites if missed(site)] == []


def test_without_a_bug_nothing_is_found(library: Library, seen: dict[Site, list[Call]]) -> None:
    calls = {id(call): call for calls in seen.values() for call in calls}
    assert not any(is_found(library, call) for call in calls.values())
