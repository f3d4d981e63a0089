"""Every op of the sanitised build, over dtypes, layouts and shapes, in three thread orders.

`python -m executor.sweep LIBRARY`, with the sanitizers' runtime preloaded. The last line of output
says how far it came.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import oracle
from executor.calls import Kernels
from executor.library import ExecutorError
from executor.losses import from_maps, in_place, joint_loss
from sanitize import cases, ops
from sanitize.calls import BORDERS
from sanitize.hostile import hostile
from sanitize.losses import FORMS
from sanitize.memory import Array
from sanitize.sweep import attempt

# Two that take several warps, and do not fit into a small shared memory.
SHAPES: list[cases.Shape] = [*cases.SHAPES, (1, 2, 40, 36), (2, 1, 48, 48)]
SWEEPS: list[tuple[Callable[..., None], int]] = [
    (ops.normalize, 60),
    (ops.soft_argmax, 40),
    (ops.locate, 40),
    (ops.crop, 40),
    (ops.teacher_targets, 40),
    (ops.scale, 20),
    (in_place, 20),
    (from_maps, 20),
    (hostile, 40),
]


def dark(kernels: Kernels) -> None:
    """A blur without neighbours leaves zeros, which a floor lifts; a wide one sees it all."""
    values = np.zeros((1, 1, 40, 36))
    values[..., 20, 18], values[..., 21, 17] = 1.0, 0.25
    x = Array.of(values, "float32")
    for taps in (1, 35):
        found = kernels.locate_teacher(x, "dark", taps)
        ops.check("dark", found, oracle.locate_teacher(values, "dark", blur_kernel=taps), "float32")


def many(kernels: Kernels) -> None:
    """More joints than are added up at once."""
    for seed in range(3):
        at = cases.Setting(seed, (1, 300, 1, 2), "float32", "contiguous")
        joint_loss(kernels, at, FORMS[0])


def everyday(kernels: Kernels) -> None:
    """Maps that registers hold, by one warp and by several."""
    points = itertools.product([(2, 3, 8, 16), (1, 4, 43, 48)], cases.DTYPES, 2 * BORDERS)
    for seed, (shape, dtype, border) in enumerate(points):
        at = cases.Setting(seed, shape, dtype, "contiguous")
        joint_loss(kernels, at, ("kl", "softmax", "peak", "nearest", border))
        ops.teacher_targets(kernels, at, ("l1_positive", "nearest"))


def refuse(kernels: Kernels) -> None:
    """What the launchers do not take, they say."""
    one = np.ones((1, 1, 2, 2))
    x, other = Array.of(one, "float32"), Array.of(one, "float64")
    with raises("grad is not of x's dtype"):
        kernels.normalize_backward(other, x, "l1", 1.0, ops.EPS)
    with raises("grad is not of out's dtype"):
        kernels.scale(other, 1.0, out=x)
    x.view.size[2] = 2**29 + 1
    with raises("more than 2^29 rows"):
        kernels.locate_teacher(x, "none", 1)


@contextmanager
def raises(message: str) -> Iterator[None]:
    """As `pytest.raises`, without pytest."""
    error = ""
    try:
        yield
    except ExecutorError as raised:
        error = str(raised)
    assert message in error, f"not {message!r} but {error!r}"


def main(library: Path) -> None:
    kernels = Kernels(library)
    start = time.perf_counter()

    def report(name: str) -> None:
        seconds = time.perf_counter() - start
        print(f"{name}: {kernels.calls} calls, {seconds:.1f} s", flush=True)

    for at, form in zip(cases.some(2 * len(FORMS), SHAPES), 2 * FORMS, strict=True):
        attempt(joint_loss, kernels, at, form)
    report(joint_loss.__name__)
    for once in (many, everyday, dark, refuse):
        once(kernels)
    for sweep, count in SWEEPS:
        for at in cases.some(count, SHAPES):
            attempt(sweep, kernels, at)
        report(sweep.__name__)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
