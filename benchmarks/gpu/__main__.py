"""`python -m benchmarks.gpu`: rows on the terminal and in build/benchmarks-gpu.jsonl."""

import argparse
import sys
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The oracle is the tests'.
sys.path.insert(0, str(ROOT / "tests"))

from benchmarks import environment  # noqa: E402
from benchmarks.gpu import predictions  # noqa: E402
from benchmarks.gpu.bench import BACKENDS, Bench  # noqa: E402
from benchmarks.gpu.plan import Group, groups  # noqa: E402
from benchmarks.gpu.rows import Rows  # noqa: E402
from benchmarks.presets import PRESETS  # noqa: E402
from benchmarks.report import Row  # noqa: E402
from gpu.present import why_not  # noqa: E402


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=BACKENDS, default="cuda")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--cold-mib", type=int, default=512, help="inputs that a graph goes through"
    )
    parser.add_argument("--size", type=int, nargs=3, action="append", metavar=("B", "H", "W"))
    parser.add_argument("--joints", type=int, default=17)
    parser.add_argument("--groups", type=int, help="only the first of the plan's groups of rows")
    parser.add_argument("--rows", type=Path, default=ROOT / "build" / "benchmarks-gpu.jsonl")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.device == "cuda" and (reason := why_not()):
        print(f"skipped, {reason}")
        return 0
    rows = Rows(options.rows)
    rows.record({"environment": environment.collect()})
    print(predictions.ALL["what"], flush=True)

    def record(group: Group, row: Row) -> None:
        batch, height, width = group.size
        named = {
            "preset": group.preset,
            "dtype": group.variant[0],
            "layout": group.variant[1],
        } | row
        named = predictions.beside(named, batch, options.joints, height, width)
        rows.add(f"B={batch} K={options.joints} {height}x{width}, cold", named)

    # Making maps takes seconds; those of all that is predicted are kept.
    bench_of = lru_cache(maxsize=4)(lambda *what: Bench(options, *what))

    def time_group(group: Group) -> None:
        try:
            for row in group.make(bench_of(group.size, group.variant), PRESETS[group.preset]):
                record(group, row)
        except Exception as error:  # such as a graph that cannot be captured: the rest goes on
            record(group, {"op": "failed", "by": (str(error) or repr(error)).splitlines()[0]})

    try:
        for group in groups(options)[: options.groups]:
            time_group(group)
    except KeyboardInterrupt:
        print("interrupted: the rows above are all there are", flush=True)
        return 130
    print(f"\nwritten to {options.rows}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
