"""Write many persons' targets: shard by shard, in several processes, going on where killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from hhd.console import say
from hhd.data.person import Person
from hhd.progress import counting
from hhd.teach.store import Records, begin_store, key_of, plan_shards, write_shard
from hhd.train.ownership import Stop, owned
from hhd.train.processes import Processes

# From positions in the list of persons to their records, batch by batch.
Look = Callable[[Sequence[int]], Iterator[Records]]


def fill_store(
    folder: Path,
    settings: dict[str, Any],
    persons: Sequence[Person],
    look: Look,
    processes: Processes,
    console: Console,
    stop: Stop,
) -> None:
    """Write the targets of the persons who have none yet, a shard at a time.

    The shards are shared out among the processes; a killed run goes on where it was.
    """
    with owned(folder) if processes.first else nullcontext():
        if processes.first:
            begin_store(folder, settings)
            for partial in folder.glob("*.partial"):
                partial.unlink()
        processes.wait()
        keys = [key_of(person) for person in persons]
        planned = plan_shards(folder, keys) if processes.first else None
        shards = processes.gather(planned)[0]
        todo = sum(len(shard.positions) for shard in shards)
        if todo < len(persons):
            say(console, f"{len(persons) - todo} of {len(persons)} persons are in {folder} already")
        own = shards[processes.rank :: processes.world]
        persons_left = sum(len(shard.positions) for shard in own)
        ended = False
        with counting(console, "teach", persons_left, "persons") as advance:
            for shard in own:
                records = _look_at(shard.positions, look, advance, stop)
                if records is None:
                    ended = True
                    break
                write_shard(folder, shard.number, [keys[p] for p in shard.positions], records)
        if any(processes.gather(ended)):
            stop.end()
        say(console, f"targets of {len(persons)} persons in {folder}")


def _look_at(
    positions: Sequence[int], look: Look, advance: Callable[[int], None], stop: Stop
) -> Records | None:
    """The records of a shard; None where the run is to end before they are whole."""
    answers, batches, seen = look(positions), [], 0
    while seen < len(positions):
        if stop.requested:
            return None
        batches.append(next(answers))
        number = len(next(iter(batches[-1].values())))
        seen += number
        advance(number)
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
