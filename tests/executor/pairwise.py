"""Few cases in which every two options meet."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any

Choice = tuple[str, int]


def pairwise(options: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Cases `{name: value}` such that any two values of different names are together in one.

    Greedy: each case starts from a pair that is missing and takes, name after name, the value
    that adds most missing pairs. About the product of the two longest options.
    """
    missing = {
        ((a, i), (b, j))
        for a, b in combinations(options, 2)
        for i, j in product(range(len(options[a])), range(len(options[b])))
    }
    cases = []
    while missing:
        chosen: dict[str, int] = dict(min(missing))
        for name, values in options.items():
            if name not in chosen:
                chosen[name] = max(
                    range(len(values)),
                    key=lambda i, name=name: len(_pairs(options, {**chosen, name: i}) & missing),
                )
        missing -= _pairs(options, chosen)
        cases.append({name: options[name][chosen[name]] for name in options})
    return cases


def _pairs(names: Mapping[str, Any], chosen: dict[str, int]) -> set[tuple[Choice, Choice]]:
    items = [(name, chosen[name]) for name in names if name in chosen]
    return set(combinations(items, 2))
