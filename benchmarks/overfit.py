"""Learns a few real photographs by heart: a check of the whole path from annotations to metrics.

    make overfit                               all four recipes, from ../shared/data
    python -m benchmarks.overfit coco_litehrnet18 --data FOLDER --output runs

FOLDER holds coco_mini/ (36 COCO pictures, 98 persons) and mmpose_samples/mpii/ (5 MPII persons). A
run that is stopped goes on where it was. The exit status is 1 if a floor is not reached: AP .9 on
the COCO pictures, and on MPII's .95 of all joints within .2 of the way from neck to head top.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hhd.train.loop import train
from hhd.train.recipe import load_recipe

FOLDERS = {"coco": "coco_mini", "mpii": "mmpose_samples/mpii"}
FLOORS = {"coco": 0.9, "mpii": 0.95}
MEASURES = {"coco": "AP", "mpii": "PCK@0.2"}
RUNS = [f"{data}_{model}" for data in FOLDERS for model in ("litehrnet18", "mobilenetv2")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", default=RUNS, metavar="RUN", help=", ".join(RUNS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("runs"))
    options = parser.parse_args()
    console = Console()
    table = Table(title="On their own training pictures")
    for column in ("recipe", "measure", "reached", "floor"):
        table.add_column(column)
    short = 0
    for run in options.runs:
        data = run.partition("_")[0]
        recipe = load_recipe(
            f"overfit_{run}",
            data_root=str(options.data / FOLDERS[data]),
            output=str(options.output / f"overfit_{run}"),
        )
        report = train(recipe, console).report
        assert report.pck is not None  # the boxes are annotated, so there are labels
        reached = report.coco["AP"] if data == "coco" else report.pck.at_02
        short += reached < FLOORS[data]
        table.add_row(recipe.output, MEASURES[data], f"{reached:.3f}", f"{FLOORS[data]}")
    console.print(table)
    return 1 if short else 0


if __name__ == "__main__":
    raise SystemExit(main())
