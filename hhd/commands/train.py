"""``hhd train RECIPE [--field value]...``"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from hhd.console import say
from hhd.data.loading import WORKER_KILLED, is_worker_killed
from hhd.data.skeleton import load_skeleton
from hhd.evaluation.report import print_report
from hhd.train.loop import train
from hhd.train.ownership import Stop, Terminated
from hhd.train.processes import is_first
from hhd.train.recipe import Recipe, parse_recipe
from hhd.train.resume import checkpoint_path


def run(words: Sequence[str]) -> None:
    """Train, and print the accuracy at the end."""
    recipe = parse_recipe(words)
    console = Console()
    stop = Stop()
    try:
        with stop:
            trained = train(recipe, console, stop)
    except Terminated as error:
        raise Terminated(f"terminated; {_way_on(recipe)}") from error
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"interrupted; {_way_on(recipe)}") from error
    except RuntimeError as error:
        if not is_worker_killed(error):
            raise
        if stop.requested:  # the signal went to the workers too
            raise Terminated(f"terminated; {_way_on(recipe)}") from error
        raise OSError(f"{WORKER_KILLED}; {_way_on(recipe)}") from error
    if not is_first():
        return
    print_report(console, trained.report, load_skeleton(recipe.skeleton))
    say(
        console,
        f"{trained.images_per_second:.0f} images/s; model and log in {recipe.output}",
    )


def _way_on(recipe: Recipe) -> str:
    checkpoint = checkpoint_path(recipe)
    found = "the same command goes on from" if checkpoint.is_file() else "there is not yet a"
    return f"{found} {checkpoint}"
