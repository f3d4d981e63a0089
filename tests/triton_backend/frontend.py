"""Takes every op through Triton's front end with every option, and no further.

The interpreter runs kernels as Python, and so forgives what a compiler refuses: a variable that
changes its type in a loop, a constant assigned twice. Prints a line for each call it has compiled
to Triton's IR; the first that fails ends it.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from triton.backends.nvidia.compiler import CUDABackend

from triton_backend import compile as aot

POINTS, WINDOWS = torch.zeros(2, 3, 2), torch.zeros(2, 3, 7, 8)
WEIGHT, NUMBER = torch.ones(2, 3), torch.tensor(2.0)
LARGE = (600, 500)  # beyond a tile


class _IsIR(Exception):
    """Thrown where the compiler would go on to a GPU's code."""


def stop_at_ir() -> None:
    """Make Triton's compiler end after its first stage."""
    add_stages = CUDABackend.add_stages

    def first_only(self: Any, stages: dict[str, Any], *rest: Any) -> None:
        add_stages(self, stages, *rest)

        def stop(*_: Any) -> None:
            raise _IsIR

        for name in list(stages)[1:]:
            stages[name] = stop

    CUDABackend.add_stages = first_only


def maps(size: tuple[int, int] = (9, 7), dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(2, 3, *size, dtype=dtype)


def calls() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Op and arguments: each option, with most of those it meets in the kernels."""
    sizes = ((9, 7), LARGE)
    for kind in range(5):
        size = sizes[kind % 2]
        yield "normalize", (maps(size), kind, 1.5, 1e-6)
        yield "normalize_backward", (maps(size), maps(size), kind, 1.5, 1e-6)
        yield (
            "teacher_targets",
            (maps(size), 7, 8, kind, kind % 2, kind // 2 % 2, 1e-6, 0.2 * (kind == 4)),
        )
    for size, window in zip((*sizes, *sizes), (0, 5, 5, 0), strict=True):
        yield "soft_argmax", (maps(size), 2.0, window)
        yield "soft_argmax_backward", (POINTS, maps(size), 2.0, window)
        yield "locate_teacher", (maps(size), window % 2, 5)
    for size in sizes:
        yield "loss_backward", (maps(size), NUMBER, maps(size))
    yield "loss_backward_", (maps(), NUMBER)
    for size, mode in product(sizes, range(3)):
        yield "locate_student", (maps(size, torch.float64), POINTS, mode, 2.0, 7, 8)
    for sampling, border in product(range(2), range(2)):
        window = ((7, 8), (33, 40))[border % 2]
        yield "crop", (maps(), POINTS, *window, sampling, border)
        yield "crop_backward", (torch.zeros(2, 3, *window), maps(), POINTS, sampling, border)
        for kind, divergence in ((3, 1), (3, 0), (2, 0), (1, 0), (4, 0), (0, 0)):
            form = (2.0, kind, divergence, (kind + border) % 3, sampling, border, border % 2, 1e-6)
            weight, scale = (WEIGHT, None) if border % 2 else (None, NUMBER)
            if (kind + sampling + border) % 2:
                hhd = (maps(sizes[kind // 2 % 2]), POINTS, WINDOWS, weight, scale)
                yield "hhd_loss", (*hhd, *form, 0.5, kind != 1)
            else:
                coordinate = (kind % 4, 2.0, 2.0, 1.0, 1.0, 1.0, True)
                target, own_weight = (POINTS, WEIGHT) if kind else (None, weight)
                joint = (maps(), POINTS, WINDOWS, target, weight, own_weight, scale)
                yield "joint_loss", (*joint, *form, *coordinate)
    labels, form = (POINTS, WEIGHT, None, None), (2.0, 3, 1, 0, 0, 0, 0, 1e-6)
    coordinate = (1, 2.0, 2.0, 1.0, 1.0, 1.0, True)
    yield "joint_loss_from_maps", (maps(), maps(), 7, 8, 4, 0.2, *labels, *form, *coordinate)


def main() -> None:
    aot.prepare()
    stop_at_ir()
    compile_only = aot.launch.run

    def to_ir(kernel: Any, *arguments: Any, **options: Any) -> None:
        try:
            compile_only(kernel, *arguments, **options)
        except _IsIR:
            return

    aot.launch.run = to_ir
    for op, arguments in calls():
        getattr(torch.ops.hhd_triton, op)(*arguments)
        plain = [a if not isinstance(a, torch.Tensor) else list(a.shape) for a in arguments]
        print(op, plain, flush=True)


if __name__ == "__main__":
    main()
