"""The batches of a run, resumable at any step, and the processes that load them."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from hhd.data.dataset import CropDataset
from hhd.memory import release_freed_memory

# Data set and index in it.
Index = tuple[int, int]


class MixedData(Dataset[dict[str, Any]]):
    """Several data sets side by side; an index is (data set, index in it)."""

    def __init__(self, parts: Sequence[CropDataset]) -> None:
        self.parts = list(parts)

    def __getitem__(self, index: Index) -> dict[str, Any]:
        part, position = index
        return self.parts[part][position]


class StepBatches(Sampler[list[Index]]):
    """The batches of a whole run, from step ``start`` on.

    ``sizes`` crops of each data set of ``lengths`` persons make a step. The first one's order is
    shuffled in each epoch, and an epoch ends with its last whole batch; the others go round and
    round, shuffled in each round. One of ``world`` processes takes every world-th crop of a step
    from ``rank`` on. All of it is a function of the seed, so a resumed run sees what an
    uninterrupted one would, and several processes together see what one would.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        sizes: Sequence[int],
        epochs: int,
        seed: int,
        *,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.per_epoch = lengths[0] // sizes[0]
        if self.per_epoch == 0:
            raise ValueError(
                f"batch_size is {sizes[0]}, more than the {lengths[0]} training persons"
            )
        if any(size % world for size in sizes):
            raise ValueError(
                f"a step takes {' and '.join(map(str, sizes))} crops (batch_size, further_batch), "
                f"which {world} processes cannot share equally"
            )
        self.lengths, self.sizes = list(lengths), list(sizes)
        self.epochs, self.seed, self.start = epochs, seed, start
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return self.per_epoch * self.epochs - self.start

    def __iter__(self) -> Iterator[list[Index]]:
        streams = [
            self._first() if part == 0 else self._round_and_round(part)
            for part in range(len(self.lengths))
        ]
        for _ in range(len(self)):
            yield [
                (part, index)
                for part, stream in enumerate(streams)
                for index in next(stream)[self.rank :: self.world]
            ]

    def _first(self) -> Iterator[list[int]]:
        """An index is epoch * length + position."""
        size = self.sizes[0]
        for epoch in count(self.start // self.per_epoch):
            order = self._order(0, epoch)
            first = self.start % self.per_epoch if epoch == self.start // self.per_epoch else 0
            for batch in range(first, self.per_epoch):
                yield order[batch * size : (batch + 1) * size]

    def _round_and_round(self, part: int) -> Iterator[list[int]]:
        length, size = self.lengths[part], self.sizes[part]
        waiting: list[int] = []
        first, skipped = divmod(self.start * size, length)
        for turn in count(first):
            waiting += self._order(part, turn)[skipped:]
            skipped = 0
            while len(waiting) >= size:
                yield waiting[:size]
                waiting = waiting[size:]

    def _order(self, part: int, turn: int) -> list[int]:
        length = self.lengths[part]
        # Zeros at the end of a seed change nothing.
        order = np.random.default_rng((self.seed, turn, 0, part)).permutation(length)
        return (order + turn * length).tolist()


def use_one_thread() -> None:
    """OpenCV's own threads only fight with the data workers and torch."""
    cv2.setNumThreads(0)


def start_worker(_worker: int) -> None:
    """An interrupt or a signal to end is the main process's to answer, which ends its workers.

    Either goes to all of them at once, from the keyboard or from a scheduler.
    """
    use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore_once)


def _ignore_once(number: int, _frame: object) -> None:
    """A worker that does not end when it is told is sent another one by torch."""
    signal.signal(number, signal.SIG_DFL)


WORKER_KILLED = (
    "a process that loads data was killed, as the system does where memory runs out; fewer workers "
    "need less of it"
)


def is_worker_killed(error: RuntimeError) -> bool:
    """Whether it is what torch raises, at any place, when a data worker is gone."""
    return str(error).startswith("DataLoader worker")


def make_loader(
    dataset: Dataset[dict[str, Any]], batches: Iterable[list[Index]] | int, workers: int
) -> DataLoader[Any]:
    """A loader over a run's ``batches`` or, given a batch size, over the data once, in order."""
    use_one_thread()
    if workers:
        release_freed_memory()
    # A generator of its own: a loader must not draw from the stream that a checkpoint restores.
    generator = torch.Generator()
    options: dict[str, Any] = {
        "num_workers": workers,
        "worker_init_fn": start_worker,
        "generator": generator,
    }
    if isinstance(batches, int):
        return DataLoader(dataset, batch_size=batches, **options)
    return DataLoader(dataset, batch_sampler=batches, **options)


def read_batches(loader: DataLoader[Any]) -> Iterator[dict[str, torch.Tensor]]:
    """The loader's batches; what a worker process raises says what the worker said, and no more."""
    try:
        yield from loader
    except (ValueError, OSError) as error:
        # torch puts the worker's traceback into the message; its last line is "Type: message".
        text = str(error).strip()
        if not text.startswith("Caught "):
            raise
        raise ValueError(text.splitlines()[-1].partition(": ")[2]) from error
