"""`python -m benchmarks.gpu`: the tables, and build/benchmarks-gpu.json."""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
# The oracle is the tests'.
sys.path.insert(0, str(ROOT / "tests"))

import hhd_kernels as hk  # noqa: E402
from benchmarks import contestants, lock  # noqa: E402
from benchmarks.gpu.clock import Call, Gpu, Rehearsal, medians  # noqa: E402
from benchmarks.inputs import DTYPES, LAYOUTS, Maps, cold_sets, make_maps, map_bytes  # noqa: E402
from benchmarks.ops import JOINT_LIVE, OPS, Op  # noqa: E402
from benchmarks.presets import PRESETS, Preset  # noqa: E402
from benchmarks.report import Report, Row  # noqa: E402
from benchmarks.settings import Settings  # noqa: E402
from gpu.present import why_not  # noqa: E402

BACKENDS = {"cuda": ("cuda", "triton"), "cpu": ("cpu",)}
SIZES = ((64, 64, 48), (256, 64, 48), (64, 64, 64))
COLUMNS = {
    **dict.fromkeys(("preset", "dtype", "layout", "op", "by"), ""),
    "us": ".1f",
    "x fused": ".1f",
    "GB/s": ".0f",
    "copy share": ".0%",
    "launches": "",
    "peak MiB": ".1f",
}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=BACKENDS, default="cuda")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--cold-mib", type=int, default=512, help="inputs that a graph goes through"
    )
    parser.add_argument("--size", type=int, nargs=3, action="append", metavar=("B", "H", "W"))
    parser.add_argument("--joints", type=int, default=17)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmarks-gpu.json")
    return parser.parse_args(arguments)


class Bench:
    """The sets of maps of one size, dtype and layout, and what is timed on them."""

    def __init__(
        self, options: argparse.Namespace, size: tuple[int, ...], variant: tuple[str, str]
    ):
        batch, height, width = size
        self.options = options
        self.clock = Gpu() if options.device == "cuda" else Rehearsal()
        self.maps = make_maps(height, width, *variant, batch, options.joints).to(options.device)
        count = cold_sets([self.maps], options.cold_mib)
        self.sets = [self.maps, *(self.maps.first(batch) for _ in range(count - 1))]
        self.copy = self.seconds({"copy": self.calls(contestants.copy)})["copy"]

    def calls(self, run: Callable[[Maps], None]) -> Callable[[], list[Call]]:
        """One call for each set; what it leaves in the student's gradient is its result."""

        def call(maps: Maps) -> tuple[Tensor, ...]:
            maps.forget_gradient()
            run(maps)
            return () if maps.student.grad is None else (maps.student.grad,)

        return lambda: [lambda maps=maps: call(maps) for maps in self.sets]  # type: ignore[misc]

    def seconds(self, builders: dict[str, Callable[[], list[Call]]]) -> dict[str, float]:
        """Median seconds of a call of each contestant."""
        replays = {}
        for name, build in builders.items():
            replays[name] = self.clock.replay(self.clock.prepare(build))
        found = medians(replays, len(self.sets), self.options.rounds)
        replays.clear()
        gc.collect()
        return found

    def row(self, op: Op, by: str, seconds: float, call: Call) -> Row:
        per_second = op.traffic * map_bytes(self.maps) / seconds
        cost = self.clock.cost(call)
        return {
            "op": op.name,
            "by": by,
            "us": 1e6 * seconds,
            "GB/s": per_second / 1e9,
            "copy share": per_second / (2 * map_bytes(self.maps) / self.copy),
            "launches": cost.launches,
            "peak MiB": cost.peak_bytes / 2**20,
        }


def check(op: Op, preset: Preset, maps: Maps, backend: str) -> str | None:
    """Why the op must not be timed; None where it is right."""
    try:
        with hk.use_backend(backend):
            lock.check_op(op, preset, maps)
    except (pytest.fail.Exception, AssertionError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return None


def op_rows(bench: Bench, op: Op, preset: Preset) -> Iterator[Row]:
    """The op by each backend."""
    for backend in BACKENDS[bench.options.device]:
        if refusal := check(op, preset, bench.maps, backend):
            yield {"op": op.name, "by": f"{backend}: not timed: {refusal}"}
            continue
        with hk.use_backend(backend):
            build = lambda: [op.build(preset, maps) for maps in bench.sets]  # noqa: E731
            seconds = bench.seconds({backend: build})[backend]
            yield bench.row(op, backend, seconds, op.build(preset, bench.maps))


def joint_rows(bench: Bench, preset: Preset, looped: bool) -> Iterator[Row]:
    """The joint loss from live maps under autograd, against everything that computes it."""

    def chosen(backend: str) -> contestants.Run:
        def run(maps: Maps) -> None:
            with hk.use_backend(backend):
                contestants.fused(preset)(maps)

        return run

    runs: dict[str, contestants.Run] = {}
    for backend in BACKENDS[bench.options.device]:
        if refusal := check(JOINT_LIVE, preset, bench.maps, backend):
            yield {"op": JOINT_LIVE.name, "by": f"{backend}: not timed: {refusal}"}
        else:
            runs[backend] = chosen(backend)
    if not runs:
        return
    fused = next(iter(runs))
    runs |= {"eager": contestants.eager(preset), "torch.compile": contestants.compiled(preset)}
    seconds = bench.seconds({name: bench.calls(run) for name, run in runs.items()})
    if looped:
        runs["official loop (HHD only)"] = loop = contestants.looped(preset)
        (call,) = bench.calls(loop)()[:1]
        call()
        seconds["official loop (HHD only)"] = bench.clock.once(call)
    for name, run in runs.items():
        row = bench.row(JOINT_LIVE, name, seconds[name], bench.calls(run)()[0])
        yield row | {"x fused": seconds[name] / seconds[fused]}


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.device == "cuda" and (reason := why_not()):
        print(f"skipped, {reason}")
        return 0
    report = Report()
    sizes = [tuple(size) for size in options.size or SIZES]
    for size, variant in product(sizes, product(DTYPES, LAYOUTS)):
        bench = Bench(options, size, variant)
        title = f"B={size[0]} K={options.joints} {size[1]}x{size[2]}, cold"
        for name, preset in PRESETS.items():
            rows = list(joint_rows(bench, preset, looped=variant == ("float32", "NCHW")))
            for op in OPS:
                if op is not JOINT_LIVE and (op.by_preset or name == "kl"):
                    rows += op_rows(bench, op, preset)
            named = {"preset": name, "dtype": variant[0], "layout": variant[1]}
            report.add(title, COLUMNS, [named | row for row in rows])
    print("\n".join(report.lines()))
    settings = Settings(options.rounds, 1, options.cold_mib, options.json, False)
    print(f"\nwritten to {report.write(settings)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
