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
        with counting(console, "teach", persons_left, "persons") as advance:
            for shard in own:
                stop.check()
                batches = []
                for records in look(shard.positions):
                    batches.append(records)
                    advance(len(next(iter(records.values()))))
                    stop.check()
                whole = {n: np.concatenate([b[n] for b in batches]) for n in batches[0]}
                write_shard(folder, shard.number, [keys[p] for p in shard.positions], whole)
        processes.wait()
        say(console, f"targets of {len(persons)} persons in {folder}")
