"""``hhd data cache RECIPE [--field value]...``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch.utils.data import DataLoader, Dataset

from hhd.commands.options import command_parser
from hhd.data.cache import CropCache
from hhd.data.loading import start_worker
from hhd.data.skeleton import load_skeleton
from hhd.progress import counting
from hhd.train.data import build_train_data
from hhd.train.recipe import parse_recipe


class Rows(Dataset[int]):
    """Fills a cache's rows; an item is its own number."""

    def __init__(self, cache: CropCache) -> None:
        self.cache = cache

    def __len__(self) -> int:
        return len(self.cache)

    def __getitem__(self, row: int) -> int:
        self.cache.read(self.cache.persons[row])
        return row


EXAMPLES = """  hhd data cache lspet_kl --data-root DATA --cache cache/lspet
"""


def run(words: Sequence[str]) -> None:
    """Fill the cache of a recipe's training crops, and say how large it is."""
    parser = command_parser(
        "data cache",
        "Decode a recipe's training pictures once, cut to their persons, into the folder that its "
        "field cache names. Training does so by itself in its first epoch; what is there already "
        "stays. hhd train --help lists the fields.",
        EXAMPLES,
        usage="hhd data cache [RECIPE] [--field value]... --cache FOLDER",
    )
    _, rest = parser.parse_known_args(words)
    recipe = parse_recipe(rest, prog="hhd data cache")
    if recipe.cache is None:
        raise ValueError("cache is not given; hhd data cache takes the folder to fill")
    console = Console()
    data = build_train_data(recipe, load_skeleton(recipe.skeleton), 1, console, taught=False)
    for part in data.parts:
        assert isinstance(part.pictures, CropCache)
        rows = Rows(part.pictures)
        loader = DataLoader(
            rows,
            batch_size=16,
            num_workers=recipe.workers,
            worker_init_fn=start_worker,
            generator=torch.Generator(),
        )
        with counting(console, "cache", len(rows), "crops") as advance:
            for numbers in loader:
                advance(len(numbers))
        crops = part.pictures.crops
        print(f"{len(rows)} crops, {crops.nbytes / 1e6:.0f} MB, in {Path(recipe.cache)}")
