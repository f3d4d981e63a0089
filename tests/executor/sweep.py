"""Every op of the sanitised build, over dtypes, layouts and shapes, in three thread orders.

`python -m executor.sweep LIBRARY`, with the sanitizers' runtime preloaded. The last line of output
says how far it came.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from executor.calls import Kernels
from executor.losses import joint_loss
from sanitize import cases, ops
from sanitize.hostile import hostile
from sanitize.losses import FORMS
from sanitize.sweep import attempt

SWEEPS: list[tuple[Callable[..., None], int]] = [
    (ops.normalize, 60),
    (ops.soft_argmax, 40),
    (ops.locate, 40),
    (ops.crop, 40),
    (ops.teacher_targets, 40),
    (ops.scale, 20),
    (hostile, 40),
]


def main(library: Path) -> None:
    kernels = Kernels(library)
    start = time.perf_counter()

    def report(name: str) -> None:
        seconds = time.perf_counter() - start
        print(f"{name}: {kernels.calls} calls, {seconds:.1f} s", flush=True)

    for at, form in zip(cases.some(len(FORMS)), FORMS, strict=True):
        attempt(joint_loss, kernels, at, form)
    report(joint_loss.__name__)
    for sweep, count in SWEEPS:
        for at in cases.some(count):
            attempt(sweep, kernels, at)
        report(sweep.__name__)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
