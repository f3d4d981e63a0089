"""`python -m benchmarks.cliffs`: the figures as JSON; with --report, plots and tables of them."""

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks.cliffs.points import OTHERS, SECTIONS

ROOT = Path(__file__).resolve().parents[2]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cliffs", description=__doc__)
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "cliffs.json")
    parser.add_argument("--report", type=Path, metavar="JSON", help="time nothing; report these")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of every contestant")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    if options.report:
        report(options.report, options.images)
    else:
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Time the sections' points; the file holds what is known so far."""
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    from importlib.util import find_spec

    from benchmarks import environment
    from benchmarks.cliffs.run import measure as measured
    from benchmarks.cliffs.run import middle

    for package in OTHERS:
        if not find_spec(package):
            print(f"{package} is absent: soft_argmax is not compared with it")
    content = {"environment": environment.collect(), "rounds": options.rounds, "points": []}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    for point in (point for name in options.sections for point in SECTIONS[name]()):
        row = measured(point, options.rounds, options.threads)
        content["points"].append(row)
        options.json.write_text(json.dumps(content, indent=1) + "\n")
        print(f"{point.section}: {point.name}")
        for name, entry in row["contestants"].items():
            cpu, wall = (1e6 * middle(entry, clock) for clock in ("cpu", "wall"))
            print(f"  {name:30} {cpu:12.1f} us CPU {wall:12.1f} us", flush=True)
    print(f"written to {options.json}")


def report(file: Path, images: Path) -> None:
    """Plots into a folder, tables on the terminal."""
    from benchmarks.cliffs import plots, tables

    content = json.loads(file.read_text())
    images.mkdir(parents=True, exist_ok=True)
    plots.draw(content, images)
    print("\n".join(tables.lines(content)))


if __name__ == "__main__":
    main(sys.argv[1:])
