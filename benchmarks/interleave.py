"""Times contestants side by side: one turn each per round, in a new order every round.

What slows the machine for a while slows every contestant alike, so ratios of medians hold where
absolute times do not.
"""

import gc
import random
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import perf_counter

from benchmarks.inputs import Maps


@dataclass(frozen=True)
class Contestant:
    """Something to time on sets of maps."""

    name: tuple[str, ...]
    run: Callable[[Maps], object]
    sets: Iterator[Maps]
    """A rotation; contestants that share one never see a set that another just used."""
    once: bool = False
    """So slow that a turn is one call, which counts as cold and as warm, with no call before."""


@dataclass
class Timing:
    """Seconds of every timed call of one contestant."""

    cold: list[float] = field(default_factory=list)
    """Each on the set that was used longest ago."""
    warm: list[float] = field(default_factory=list)
    """Each on the very buffers of the calls before, once those have settled in the caches."""
    page_faults: list[int] = field(default_factory=list)
    """Per call. Where an allocator gives memory back between calls, they can be half the time."""

    def calls(self, state: str) -> list[float]:
        """Those of state "cold" or "warm"."""
        return self.cold if state == "cold" else self.warm

    def median(self, state: str) -> float:
        return median(self.calls(state))

    def quartiles_ms(self, state: str) -> list[float]:
        """First quartile, median and third quartile in milliseconds."""
        calls = self.calls(state)
        # One call has no spread; `quantiles` would refuse it.
        return [1e3 * q for q in (quantiles(calls, n=4) if len(calls) > 1 else calls * 3)]


# A cache that has to choose what to keep needs some calls: a copy of one map tensor still halves
# its time between the first call after a cold one and the fifth.
SETTLING_CALLS = 4
WARM_CALLS = 2


def interleave(
    contestants: Sequence[Contestant], rounds: int, rounds_once: int
) -> dict[tuple[str, ...], Timing]:
    """Timings by contestant's name, after an untimed call of each (it compiles, it allocates).

    A turn is one cold call on the rotation's next set, SETTLING_CALLS untimed ones on the same set,
    then WARM_CALLS warm ones.
    Contestants marked `once` take part in the first `rounds_once` rounds only.
    """
    timings = {contestant.name: Timing() for contestant in contestants}
    for contestant in contestants:
        if not contestant.once:
            _timed(contestant, next(contestant.sets), Timing())
    order = random.Random(0)
    gc.disable()
    try:
        for number in range(rounds):
            gc.collect()
            for contestant in order.sample(contestants, len(contestants)):
                if not contestant.once:
                    _turn(contestant, timings[contestant.name])
                elif number < rounds_once:
                    timing = timings[contestant.name]
                    seconds = _timed(contestant, next(contestant.sets), timing)
                    timing.cold.append(seconds)
                    timing.warm.append(seconds)
    finally:
        gc.enable()
    return timings


def _turn(contestant: Contestant, timing: Timing) -> None:
    maps = next(contestant.sets)
    timing.cold.append(_timed(contestant, maps, timing))
    for _ in range(SETTLING_CALLS):
        _timed(contestant, maps, Timing())
    timing.warm.extend(_timed(contestant, maps, timing) for _ in range(WARM_CALLS))


def _timed(contestant: Contestant, maps: Maps, timing: Timing) -> float:
    """Seconds of one call; its page faults go straight to `timing`."""
    faults = _page_faults()
    start = perf_counter()
    contestant.run(maps)
    seconds = perf_counter() - start
    timing.page_faults.append(_page_faults() - faults)
    # A leaf's gradient goes here, unclocked, so that no call accumulates into an older one.
    maps.forget_gradient()
    return seconds


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
