"""What is timed, in which order: predictions first, then what compiles for long, then the rest."""

import argparse
from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

from benchmarks.gpu import bench
from benchmarks.gpu.bench import BACKENDS, LOSS_AND_GRAD, NO_WEIGHT, Bench
from benchmarks.inputs import DTYPES, LAYOUTS
from benchmarks.ops import JOINT_LIVE, OPS
from benchmarks.presets import PRESETS, Preset
from benchmarks.report import Row

SIZES = ((64, 64, 48), (1024, 64, 48), (256, 64, 48), (64, 64, 64))
FLOAT32 = ("float32", "NCHW")


class Group(NamedTuple):
    """Rows of one size and preset; `variant` is dtype and layout."""

    size: tuple[int, ...]
    variant: tuple[str, str]
    preset: str
    make: Callable[[Bench, Preset], Iterator[Row]]


def groups(options: argparse.Namespace) -> list[Group]:
    """Every group of the options' device and sizes."""
    sizes = [tuple(size) for size in options.size or SIZES]
    first, *others = BACKENDS[options.device]
    variants = list(product(DTYPES, LAYOUTS))
    cells = list(product(sizes[:2], [(dtype, "NCHW") for dtype in DTYPES]))

    def by(backend: str, *ops: bench.Op) -> list[Callable[[Bench, Preset], Iterator[Row]]]:
        return [lambda b, p, op=op: bench.op_rows(b, op, p, backend) for op in ops]

    plan = [
        Group(size, variant, "kl", rows)
        for size, variant in cells
        for rows in (bench.copy_row, *by(first, LOSS_AND_GRAD, NO_WEIGHT))
    ]
    plan += [Group(size, variant, "kl", bench.joint_rows) for size, variant in cells]
    plan += [Group(sizes[0], FLOAT32, name, bench.loop_rows) for name in PRESETS]
    plan += [
        Group(size, variant, "kl", rows)
        for size, variant in cells
        for backend in others
        for rows in by(backend, LOSS_AND_GRAD)
    ]
    plan.append(Group(sizes[0], FLOAT32, "kl", bench.compiled_rows))
    several = [(op, name) for name in PRESETS for op in OPS if op.by_preset or name == "kl"]
    for size, variant in product(sizes, variants):
        for op, name in several:
            if op is not JOINT_LIVE:
                plan += [Group(size, variant, name, rows) for rows in by(first, op)]
        plan.append(Group(size, variant, "published", bench.joint_rows))
    plan += [
        Group(size, variant, name, bench.compiled_rows)
        for size, variant in cells
        for name in PRESETS
        if (size, variant, name) != (sizes[0], FLOAT32, "kl")
    ]
    for backend in others:
        plan += [
            Group(sizes[0], variant, name, rows)
            for variant in variants
            for op, name in several
            for rows in by(backend, op)
        ]
    return plan
