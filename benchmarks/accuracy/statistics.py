"""Differences of rows with their uncertainty over pictures and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
COUNTS = {"PCK@0.2": "at_02", "PCK@0.5": "at_05", "AUC": "area"}


class Contrast(NamedTuple):
    """Points of the first row above the second, with the middle 95 % of the bootstrap's draws."""

    difference: float
    low: float
    high: float

    @property
    def resolved(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        words = f"{self.difference:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"
        return words if self.resolved else f"{words}, not resolved"


def contrast(
    first: Sequence[dict[str, Any]],
    second: Sequence[dict[str, Any]],
    measure: str = "PCK@0.2",
    draws: int = DRAWS,
) -> Contrast:
    """Paired hierarchical bootstrap of results by picture, one of each seed.

    A draw takes pictures and then seeds, with replacement; both rows see the same pictures and,
    where they have the same seeds, the same seeds. ``ValueError`` where their pictures differ.
    """
    judged = np.array(first[0]["judged"])
    if any(result["judged"] != first[0]["judged"] for result in (*first, *second)):
        raise ValueError("the two rows were not evaluated on the same pictures")
    rng = np.random.default_rng(1)
    pictures = _pictures(len(judged), draws)
    total = pictures @ judged
    shares = [100 * _found(rows, measure) @ pictures.T / total for rows in (first, second)]
    paired = len(first) == len(second)
    seeds = rng.integers(len(first), size=(draws, len(first)))
    others = seeds if paired else rng.integers(len(second), size=(draws, len(second)))
    drawn = _mean(shares[0], seeds) - _mean(shares[1], others)
    difference = _all(first, measure, judged) - _all(second, measure, judged)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Contrast(difference, float(low), float(high))


@lru_cache(maxsize=2)
def _pictures(count: int, draws: int) -> NDArray[np.float64]:
    """How often each picture is taken, [draws, pictures]."""
    rng = np.random.default_rng(0)
    taken = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    return taken.astype(np.float64)


def _found(rows: Sequence[dict[str, Any]], measure: str) -> NDArray[np.float64]:
    """[seeds, pictures]."""
    return np.array([row[COUNTS[measure]] for row in rows], dtype=np.float64)


def _mean(shares: NDArray[np.float64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each draw's seeds, [draws]."""
    chosen = shares[seeds, np.arange(len(seeds))[:, None]]
    mean: NDArray[np.float64] = chosen.mean(axis=1)
    return mean


def _all(rows: Sequence[dict[str, Any]], measure: str, judged: NDArray[np.int64]) -> float:
    return float(100 * _found(rows, measure).sum(axis=1).mean() / judged.sum())
