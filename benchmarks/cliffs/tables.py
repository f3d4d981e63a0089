"""The tables of docs/speed.md, in Markdown."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks.cliffs.run import middle

Content = dict[str, Any]
Row = dict[str, Any]


def lines(content: Content) -> Iterator[str]:
    """The machine, then a table for each section that was timed."""
    yield machine(content)
    tables: dict[str, Callable[[Content, list[Row]], Iterator[str]]] = {
        "sizes": sizes,
        "counts": counts,
        "storage": storage,
        "small": small,
        "ops": ops,
    }
    for section, table in tables.items():
        rows = entries(content, section)
        if rows:
            yield ""
            yield from table(content, rows)


def machine(content: Content) -> str:
    """What the figures are of."""
    found, clock = content["environment"], clock_of(content)
    threads = f"{found['threads']} thread" + "s" * (found["threads"] > 1)
    time = "CPU time" if clock == "cpu" else "wall time"
    return f"{found['cpu']} ({found['instruction set']}), {threads}, torch {found['torch']}, {time}"


def clock_of(content: Content) -> str:
    """CPU time, which other programs disturb less, says what a call takes of one thread only."""
    return "cpu" if content["environment"]["threads"] == 1 else "wall"


def entries(content: Content, section: str) -> list[Row]:
    """The section's points, each with what its first contestant's work is counted in."""
    found = []
    for point in content["points"]:
        if point["section"] == section:
            work = next(iter(point["contestants"].values()))["work"]
            maps = work["batch"] * work["joints"]
            found.append(point | {"maps": maps, "pixels": maps * work["height"] * work["width"]})
    return found


def seconds(content: Content, row: Row, name: str) -> float:
    """A call of a contestant, the median of rounds."""
    return middle(row["contestants"][name], clock_of(content))


def sizes(content: Content, rows: list[Row]) -> Iterator[str]:
    yield from by_unit(content, rows, "ns a pixel", "pixels", 1e9)


def counts(content: Content, rows: list[Row]) -> Iterator[str]:
    yield from by_unit(content, rows, "us a map", "maps", 1e6)


def by_unit(
    content: Content, rows: list[Row], unit: str, share: str, factor: float
) -> Iterator[str]:
    """Ours in units, the others as multiples of it."""
    others = ["ours, AVX2", "eager", "compile", "compile, max-autotune"]
    others = [name for name in others if any(name in row["contestants"] for row in rows)]
    first = "map" if share == "pixels" else "maps"
    cells = [[first, f"ours, {unit}", *others]]
    for row in rows:
        ours = seconds(content, row, "ours")
        cells.append([row["name"], number(factor * ours / row[share])])
        cells[-1] += [multiple(content, row, name, ours) for name in others]
    yield from markdown(cells)


def multiple(content: Content, row: Row, name: str, of: float) -> str:
    if name not in row["contestants"]:
        return "-"
    return f"{number(seconds(content, row, name) / of)}x"


def storage(content: Content, rows: list[Row]) -> Iterator[str]:
    """Multiples of the first, which is float32 in NCHW."""
    cells = [["ours", "us a map", "of float32, NCHW"]]
    for row in rows:
        first = seconds(content, row, next(iter(row["contestants"])))
        for name in row["contestants"]:
            time = seconds(content, row, name)
            cells.append([name, number(1e6 * time / row["maps"]), f"{number(time / first)}x"])
    yield from markdown(cells)


def small(content: Content, rows: list[Row]) -> Iterator[str]:
    cells = [["forward and backward", "us a call"]]
    for row in rows:
        cells += [
            [f"{name}, {row['name']}", number(1e6 * seconds(content, row, name))]
            for name in row["contestants"]
        ]
    yield from markdown(cells)


def ops(content: Content, rows: list[Row]) -> Iterator[str]:
    names = list(dict.fromkeys(name for row in rows for name in row["contestants"]))
    # The copy is beside ours, the yardstick of both.
    names.sort(key=lambda name: ("ours", "copy").index(name) if name in ("ours", "copy") else 2)
    cells = [
        ["op", "ours, ms", *("copy of as many bytes" if n == "copy" else n for n in names[1:])]
    ]
    for row in rows:
        ours = seconds(content, row, "ours")
        cells.append([row["name"], number(1e3 * ours)])
        cells[-1] += [multiple(content, row, name, ours) for name in names[1:]]
    yield from markdown(cells)


def number(value: float) -> str:
    """Three figures and, from 1,000 on, all of them."""
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def markdown(cells: Iterable[list[str]]) -> Iterator[str]:
    head, *body = cells
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(row)} |" for row in body)
