"""Every op of a sanitised library, over dtypes, layouts and shapes.

`python -m sanitize.sweep LIBRARY`, with the sanitizers' runtime preloaded. The last line of output
says how far it came.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from sanitize import cases, ops
from sanitize.calls import Kernels
from sanitize.cases import Setting
from sanitize.hostile import hostile
from sanitize.losses import FORMS, joint_loss

SWEEPS: list[tuple[Callable[[Kernels, Setting], None], int]] = [
    (ops.normalize, 600),
    (ops.soft_argmax, 400),
    (ops.locate, 400),
    (ops.crop, 400),
    (ops.teacher_targets, 400),
    (ops.scale, 200),
    (ops.weight_sum, 200),
]


def main(library: Path) -> None:
    kernels = Kernels(library)
    start = time.perf_counter()

    def report(name: str) -> None:
        seconds = time.perf_counter() - start
        print(f"{kernels.capability} {name}: {kernels.calls} calls, {seconds:.1f} s", flush=True)

    for sweep, count in SWEEPS:
        for at in cases.some(count):
            attempt(sweep, kernels, at)
        report(sweep.__name__)
    for at, form in zip(cases.some(4 * len(FORMS)), 4 * FORMS, strict=True):
        attempt(joint_loss, kernels, at, form)
    report(joint_loss.__name__)
    for at in cases.some(400):
        attempt(hostile, kernels, at)
    report(hostile.__name__)


def attempt(sweep: Callable[..., None], kernels: Kernels, at: Setting, *more: object) -> None:
    """One point, said first: a sanitizer that finds something ends the process."""
    print(sweep.__name__, at, *more, flush=True)
    sweep(kernels, at, *more)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
