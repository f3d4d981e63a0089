"""What is timed: points, each of them contestants that do the same work."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec


@dataclass(frozen=True)
class Work:
    """What one process computes, again and again."""

    op: str = "joint"
    """One of `works.JOINT` or `works.OPS`."""
    by: str = "ours"
    backward: bool = True
    batch: int = 64
    joints: int = 17
    height: int = 64
    width: int = 48
    dtype: str = "float32"
    layout: str = "NCHW"
    contrast: float = 1.0
    """Multiplies the student's logits."""
    capability: str = ""
    """HHD_CPU_CAPABILITY; empty for the best there is."""

    @property
    def maps(self) -> int:
        return self.batch * self.joints

    @property
    def pixels(self) -> int:
        return self.maps * self.height * self.width


@dataclass(frozen=True)
class Point:
    """Contestants by name; the first is the one that the others are multiples of."""

    section: str
    name: str
    works: dict[str, Work]
    alike: bool = True
    """Whether all of them have the same results."""


SIZES = (
    (16, 16), (24, 24), (32, 32), (48, 48), (64, 48), (56, 56), (64, 64), (96, 72), (128, 128),
)  # fmt: skip
"""(height, width), by their number of pixels."""
COUNTS = ((1, 17), (6, 17), (60, 17), (176, 17), (625, 16), (6250, 16))
"""(batch, joints)."""
MOST_MAPS_OF_EAGER = 10_000
"""At 64x48. Eager holds some ten tensors of the maps' size: 12 GB at 100,000."""
DTYPES = ("float32", "bfloat16", "float16")
LAYOUTS = ("NCHW", "channels_last")
OPS = {"crop": True, "l2": True, "softmax": True, "soft_argmax": True, "targets": False}
"""Whether there is a backward pass."""
OTHERS = ("dsntnn", "kornia")
"""Packages with a soft-argmax."""


def contestants(work: Work, *, avx2: bool = False, eager: bool = True) -> dict[str, Work]:
    """Ours, and what it is compared with."""
    found = {"ours": work}
    if avx2:
        found["ours, AVX2"] = replace(work, capability="avx2")
    if eager:
        found |= {by: replace(work, by=by) for by in ("eager", "compile")}
    return found


def sizes() -> Iterator[Point]:
    for height, width in SIZES:
        work = Work(height=height, width=width)
        works = contestants(work, avx2=True)
        if (height, width) == (64, 48):
            works["compile, max-autotune"] = replace(work, by="compile, max-autotune")
        yield Point("sizes", f"{height}x{width}", works)


def counts() -> Iterator[Point]:
    for batch, joints in COUNTS:
        work = Work(batch=batch, joints=joints)
        eager = work.maps <= MOST_MAPS_OF_EAGER
        yield Point("counts", str(work.maps), contestants(work, avx2=True, eager=eager))


def storage() -> Iterator[Point]:
    works = {
        f"{dtype}, {layout}": Work(dtype=dtype, layout=layout)
        for dtype in DTYPES
        for layout in LAYOUTS
    }
    # Another contrast has another gradient.
    works |= {"float32, NCHW, contrast of 20": Work(contrast=20.0)}
    yield Point("storage", "64x48", works, alike=False)


def small() -> Iterator[Point]:
    work = Work(batch=1)
    works = {
        "empty autograd.Function": replace(work, op="empty"),
        "ours, stored targets": replace(work, op="joint of targets"),
        "ours, live maps": work,
        "eager, live maps": replace(work, by="eager"),
        "compile, live maps": replace(work, by="compile"),
    }
    yield Point("small", "B=1 K=17 64x48", works, alike=False)


def ops() -> Iterator[Point]:
    for op, differentiable in OPS.items():
        for backward in (False, True)[: 1 + differentiable]:
            work = Work(op=op, backward=backward)
            works = contestants(work)
            if op == "soft_argmax":
                works |= {by: replace(work, by=by) for by in OTHERS if find_spec(by)}
            works["copy"] = replace(work, by="copy")
            yield Point("ops", f"{op} + backward" if backward else op, works)


SECTIONS = {"sizes": sizes, "counts": counts, "storage": storage, "small": small, "ops": ops}
