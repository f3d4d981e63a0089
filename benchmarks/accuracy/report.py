"""docs/results.md and its plots, of the JSON alone."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.accuracy import plots
from benchmarks.accuracy.alignment import AMPLITUDE_BINS, R_BINS
from benchmarks.accuracy.place import read_result
from benchmarks.accuracy.rows import (
    DELETED,
    HERE,
    RATES,
    STAGES,
    frozen,
    rates,
    screening,
    teacher_screening,
)
from benchmarks.accuracy.statistics import Contrast, contrast

ROOT = HERE.parents[1]
MEASURES = ("PCK@0.2", "PCK@0.5", "AUC")
Results = dict[str, list[dict[str, Any]]]

LOSSES = {
    "final heatmap": "heatmap student, squared error, DARK",
    "final integral": "integral alone: L1 of the expectation",
    "final dsnt": "DSNT: L1 and Jensen-Shannon x10",
    "final full-map kl": "KL of the whole map to the label's Gaussian",
    "final kl": "windowed KL to the label's Gaussian (ours)",
    "final published": "the published loss, label's Gaussian",
    "final debiased": "ours, the student's window at its unbiased centre",
}
WORTH = {
    "all labels": {
        "labels alone": "final kl",
        "labels alone, twice the steps": "b, none, twice the steps",
        "heatmap student, twice the steps": "b, heatmap, twice the steps",
        "heavy's maps on the labelled pictures": "a, heavy's maps",
        "+ unlabelled, heavy's maps": "b, heavy's maps",
        "+ unlabelled, heavy's maps by the published loss": "b, heavy's maps, published",
        "+ unlabelled, heavy's coordinates": "b, heavy's coordinates",
        "+ unlabelled, ours": "b, ours",
        "+ unlabelled, heavy and ours": "b, both",
    },
    "30 % of the labels": {
        "labels alone": "30 % labels, none",
        "+ the rest, heavy's maps": "30 % labels, heavy's maps",
    },
    "10 % of the labels": {
        "labels alone": "10 % labels, none",
        "labels alone, twice the steps": "10 % labels, none, twice the steps",
        "+ the rest, heavy's maps": "10 % labels, heavy's maps",
        "+ the rest, heavy's coordinates": "10 % labels, heavy's coordinates",
        "+ the rest, itself": "10 % labels, itself",
        "+ the rest, ours": "10 % labels, ours",
        "+ the rest, heavy and ours": "10 % labels, both",
    },
    "no label": {
        "heavy's maps": "d, heavy's maps",
        "heavy's coordinates": "d, heavy's coordinates",
    },
}
CONTRASTS = (
    ("best - heatmap student", "b, heavy's maps", "final heatmap"),
    ("teacher - label Gaussian, all labels (b)", "b, heavy's maps", "final kl"),
    ("teacher - label Gaussian, 30 % (c)", "30 % labels, heavy's maps", "30 % labels, none"),
    ("teacher - label Gaussian, 10 % (c)", "10 % labels, heavy's maps", "10 % labels, none"),
    ("windowed - full-map KL", "final kl", "final full-map kl"),
)
FURTHER = (
    ("windowed KL - heatmap student", "final kl", "final heatmap"),
    ("published - windowed KL", "final published", "final kl"),
    ("published - heatmap student", "final published", "final heatmap"),
    ("DSNT x10 - windowed KL", "final dsnt", "final kl"),
    ("debiased - windowed KL", "final debiased", "final kl"),
    ("published - ours, by the teacher", "b, heavy's maps, published", "b, heavy's maps"),
    ("teacher - twice the steps on labels alone", "b, heavy's maps", "b, none, twice the steps"),
    ("the same, 10 %", "10 % labels, heavy's maps", "10 % labels, none, twice the steps"),
    ("best - heatmap student of twice the steps", "b, heavy's maps", "b, heatmap, twice the steps"),
    ("maps - coordinates, all labels", "b, heavy's maps", "b, heavy's coordinates"),
    ("maps - coordinates, 10 %", "10 % labels, heavy's maps", "10 % labels, heavy's coordinates"),
    ("heavy and ours - heavy, all labels", "b, both", "b, heavy's maps"),
    ("heavy and ours - heavy, 10 %", "10 % labels, both", "10 % labels, heavy's maps"),
)
BY_TEACHER = (
    ("BlazePose heavy, upright", "all", "66.6 / 83.0", "b, heavy's maps"),
    ("BlazePose heavy, upright", "10 %", "66.6 / 83.0", "10 % labels, heavy's maps"),
    ("heavy and ours, their mean", "all", "67.4 / 84.0", "b, both"),
    ("ours", "all", "teacher, all labels", "b, ours"),
    ("ours", "10 %", "teacher, 10 % labels", "10 % labels, ours"),
    ("the student itself", "10 %", "", "10 % labels, itself"),
)
"""Teacher, labels, what it finds alone on dev, and the row that it taught.

What is no row is by `python benchmarks/teacher_views.py CARD [MODEL] --annotations dev.json`.
"""
OTHERS = """\
| network | pictures | PCK@0.2 / @0.5 |
|---|---|---|
| BlazePose heavy (the teacher), one look | val | 52.4 |
| the same, label-free turned upright, mirrored | val | 69.4 |
| BlazePose full, one look | val | 47.5 |
| MoveNet Lightning int8 | another part of the same set | 53.9 / 76.5 |
| BlazePose lite, regressed | another part of the same set | 34.6 / 59.8 |
"""


def write_report(results: Path, page: Path) -> None:
    """The page and, beside it in a folder of its name, the plots."""
    found = read_results(results)
    folder = page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    plots.losses(found, LOSSES, folder / "losses.svg")
    plots.worth(found, WORTH, folder / "worth.svg")
    plots.screening(found, _screened(found), folder / "screening.svg")
    page.write_text("\n".join(_page(found, folder.name)) + "\n")


def read_results(folder: Path) -> Results:
    """Results by row, in the order of their seeds."""
    found: Results = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        result = read_result(path)
        found[result["row"]].append(result)
    for rows in found.values():
        rows.sort(key=lambda row: row["seed"])
    return dict(found)


def _page(found: Results, plots_at: str) -> Iterable[str]:
    yield (HERE / "results.md").read_text().format(**_values(found, plots_at))


def _values(found: Results, plots_at: str) -> dict[str, Any]:
    shipped = found["shipped"][0]
    numbers = shipped["decodings"]["as trained"]
    return {
        "plots": plots_at,
        "shipped": _numbers([shipped], "as trained"),
        "shipped_02": f"{numbers['PCK@0.2']:.1f}",
        "parameters": f"{shipped['parameters'] / 1e6:.2f}",
        "megabytes": f"{shipped['bytes'] / 1e6:.1f}",
        "contrasts": _contrasts(found, CONTRASTS),
        "further": _contrasts(found, FURTHER),
        "losses": _losses(found),
        "worth": _worth(found),
        "by_teacher": _by_teacher(found),
        "time_alone": between(found, "b, none, twice the steps", "final kl", "PCK@0.2"),
        "heatmap_time": between(found, "b, heavy's maps", "b, heatmap, twice the steps", "PCK@0.2"),
        "heatmap_time_auc": between(found, "b, heavy's maps", "b, heatmap, twice the steps", "AUC"),
        "same_time": between(found, "b, heavy's maps", "b, none, twice the steps", "PCK@0.2"),
        "decodings": _decodings(found),
        "starts": _starts(found),
        "rates": _rates(found),
        "screening": _screening(found),
        "published": _published(found),
        "teachers": _teachers(found),
        "forgiving": _numbers(found["kl, default start, beta 1"], "as trained"),
        "msra": _numbers(found["heatmap, msra"], "as trained"),
        "dark": _numbers(found["heatmap"], "as trained"),
        "deleted": _deleted(found),
        "others": OTHERS,
        "frozen": "; ".join(f"{name}: {value}" for name, value in frozen()["teacher"].items()),
        "environment": _environment(found),
        "unfinished": _unfinished(found),
        "integral": _integral(found),
        "latency": _latency(),
        "alignment": _alignment(),
        "spread": _spread_of_backgrounds(),
    }


def _numbers(rows: Sequence[dict[str, Any]], way: str) -> str:
    """Means over seeds of the three measures."""
    means = [
        sum(row["decodings"][way][measure] for row in rows) / len(rows) for measure in MEASURES
    ]
    return " / ".join(f"{mean:.1f}" for mean in means)


def _spread(rows: Sequence[dict[str, Any]]) -> str:
    values = [row["decodings"]["as trained"]["PCK@0.2"] for row in rows]
    return f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else "one seed"


def _losses(found: Results) -> str:
    lines = ["| loss | PCK@0.2 / @0.5 / AUC | seeds | PCK@0.2 of the seeds |", "|---|---|---|---|"]
    for name, words in LOSSES.items():
        if name in found:
            rows = found[name]
            cells = [words, _numbers(rows, "as trained"), str(len(rows)), _spread(rows)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _worth(found: Results) -> str:
    lines = ["| labels | what teaches | PCK@0.2 / @0.5 / AUC | seeds |", "|---|---|---|---|"]
    for labels, ways in WORTH.items():
        for words, name in ways.items():
            if name in found:
                rows = found[name]
                lines.append(
                    f"| {labels} | {words} | {_numbers(rows, 'as trained')} | {len(rows)} |"
                )
    return "\n".join(lines)


def _by_teacher(found: Results) -> str:
    """How good a teacher is, and what it adds to the labels alone."""
    lines = ["| teacher | labels | alone, on dev | adds |", "|---|---|---|---|"]
    for words, labels, alone, name in BY_TEACHER:
        against = "final kl" if labels == "all" else f"{labels} labels, none"
        added = between(found, name, against, "PCK@0.2")
        if added is not None:
            if alone in found:
                alone = _numbers(found[alone], "as trained").rpartition(" / ")[0]
            lines.append(f"| {words} | {labels} | {alone} | {added} |")
    return "\n".join(lines)


def between(found: Results, first: str, second: str, measure: str) -> Contrast | None:
    """The contrast of the seeds that both rows have; None where there is none."""
    if first not in found or second not in found:
        return None
    seeds = {row["seed"] for row in found[first]} & {row["seed"] for row in found[second]}
    if not seeds:
        return None
    rows = [
        [row["decodings"]["as trained"] for row in found[name] if row["seed"] in seeds]
        for name in (first, second)
    ]
    return contrast(rows[0], rows[1], measure)


def _contrasts(found: Results, pairs: Iterable[tuple[str, str, str]]) -> str:
    lines = ["| contrast | PCK@0.2 | PCK@0.5 | AUC | seeds |", "|---|---|---|---|---|"]
    for words, first, second in pairs:
        made = [between(found, first, second, measure) for measure in MEASURES]
        if made[0] is not None:
            common = {row["seed"] for row in found[first]} & {row["seed"] for row in found[second]}
            lines.append(f"| {words} | {' | '.join(map(str, made))} | {len(common)} |")
    return "\n".join(lines)


def _integral(found: Results) -> str:
    """Best over integral alone, read by its whole map and, which is better, locally."""
    best = [row["decodings"]["as trained"] for row in found["b, heavy's maps"]]
    parts = []
    for way in ("whole, beta x1", "local"):
        integral = [row["decodings"][way] for row in found["final integral"]]
        parts.append(f"{contrast(best, integral)} ({way})")
    return " and ".join(parts)


def _decodings(found: Results) -> str:
    ways = (
        "local",
        "no flip",
        "local, coordinates",
        *(f"whole, beta x{k}" for k in (1, 2, 3, 5, 8)),
    )
    names = ("final kl", "final published", "final integral", "b, heavy's maps", "shipped")
    lines = [f"| decoding | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for way in ways:
        cells = [_numbers(found[name], way) for name in names]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _starts(found: Results) -> str:
    lines = ["| loss | from zero maps | torch's own start |", "|---|---|---|"]
    for name in ("heatmap", "integral", "dsnt", "full-map kl", "kl", "published"):
        other = f"{name}, default start"
        if name in found and other in found:
            way = "local" if name == "integral" else "as trained"
            lines.append(
                f"| {name} | {_numbers(found[name], way)} | {_numbers(found[other], way)} |"
            )
    return "\n".join(lines)


def _rates(found: Results) -> str:
    changes = {row.name: row.changes for row in (*screening(), *rates())}
    lines = ["| loss | by learning rate |", "|---|---|"]
    for loss, names in RATES.items():
        cells = [
            f"{changes[name].get('lr', 0.002):g}: {_numbers(found[name], 'as trained')}"
            for name in names
            if name in found
        ]
        lines.append(f"| {loss} | {'; '.join(cells)} |")
    return "\n".join(lines)


def _screened(found: Results) -> list[str]:
    return [row.name for row in screening() if row.name.startswith("kl, ") and row.name in found]


def _screening(found: Results) -> str:
    lines = ["| change | PCK@0.2 / @0.5 / AUC |", "|---|---|"]
    lines.append(f"| none | {_numbers(found['kl'], 'as trained')} |")
    lines += [
        f"| {name.removeprefix('kl, ')} | {_numbers(found[name], 'as trained')} |"
        for name in _screened(found)
    ]
    return "\n".join(lines)


def _published(found: Results) -> str:
    """The published loss with another location, or another weight."""
    lines = ["| change | PCK@0.2 / @0.5 / AUC |", "|---|---|"]
    for name in ("published", "published, debiased", "published, x10"):
        if name in found:
            words = name.removeprefix("published, ").replace("published", "none")
            lines.append(f"| {words} | {_numbers(found[name], 'as trained')} |")
    return "\n".join(lines)


def _teachers(found: Results) -> str:
    lines = ["| use of the teacher | PCK@0.2 / @0.5 / AUC |", "|---|---|"]
    for row in teacher_screening():
        if row.name in found:
            words = row.name.removeprefix("10 % labels, screened, ")
            lines.append(f"| {words} | {_numbers(found[row.name], 'as trained')} |")
    return "\n".join(lines)


def _deleted(found: Results) -> str:
    lines = ["| what it did | with it | without | run at |", "|---|---|---|---|"]
    for gone in DELETED:
        if gone.row in found:
            cells = [_numbers(found[name], "as trained") for name in (gone.row, gone.beside)]
            lines.append(f"| {gone.option} | {' | '.join(cells)} | {gone.commit} |")
    return "\n".join(lines)


def _alignment() -> str:
    """Free maps, see :mod:`benchmarks.accuracy.alignment`."""
    names = ("peak", "local", "outward", "window", "whole", "r", "amplitude")
    head = ["window", "coordinates x", "peak", "local", "outward", "from the window's middle"]
    head += ["whole map", "r", "beta x amplitude"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in json.loads((HERE / "alignment.json").read_text())["free"]:
        numbers = [f"{row[name]:.2f}" for name in names]
        cells = [row["locate"], f"{row['coordinates']:g}", *numbers]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread_of_backgrounds() -> str:
    """Shares of val's joints by r and by beta times amplitude."""
    lines = []
    networks = json.loads((HERE / "alignment.json").read_text())["networks"]
    for name, bins in (("r", R_BINS), ("amplitude", AMPLITUDE_BINS)):
        ranges = [f"{low:g} to {high:g}" for low, high in pairwise(bins[:-1])]
        title = "r" if name == "r" else "beta x amplitude"
        lines.append(f"| {title} | {' | '.join([*ranges, f'from {bins[-2]:g}'])} |")
        lines.append(f"|---|{'---|' * (len(bins) - 1)}")
        for network, counts in networks.items():
            total = sum(counts[name])
            cells = [f"{100 * count / total:.0f} %" for count in counts[name]]
            lines.append(f"| {network} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).rstrip()


WAYS = {
    "integral, PyTorch": "integral, PyTorch",
    "integral, ONNX": "integral, ONNX",
    "integral, int8, ONNX": "integral, int8",
    "heatmap, plain, ONNX": "heatmap, peak, ONNX",
    "heatmap, dark, ONNX": "heatmap, DARK, ONNX",
    "heatmap, dark, ONNX and NumPy": "heatmap, DARK as commonly written",
}
"""The latencies that the page shows, and its columns' names."""


def _latency() -> str:
    """What `python -m benchmarks.latency --json benchmarks/accuracy/latency.json` measured."""
    content = json.loads((HERE / "latency.json").read_text())
    groups = content["seconds"]
    decoding = [name for name in groups if name != "networks"]
    lines = [f"| decoder, us | {' | '.join(n.removeprefix('decoding ') for n in decoding)} |"]
    lines.append(f"|---|{'---|' * len(decoding)}")
    for way in groups[decoding[0]]:
        cells = [f"{1e6 * groups[name][way]:.0f}" for name in decoding]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    lines += ["", f"| network, ms | {' | '.join(WAYS.values())} |", f"|---|{'---|' * len(WAYS)}"]
    times = groups["networks"]
    for name in dict.fromkeys(name.partition(", ")[0] for name in times):
        cells = [f"{1e3 * times[f'{name}, {way}']:.2f}" for way in WAYS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _environment(found: Results) -> str:
    kinds: dict[str, int] = defaultdict(int)
    for rows in found.values():
        for row in rows:
            facts = row["environment"]
            kinds[f"{facts.get('gpu', facts['cpu'])}, torch {facts['torch']}"] += 1
    counts = sorted(kinds.items(), key=lambda item: -item[1])
    return "; ".join(f"{kind}: {count} runs" for kind, count in counts)


def _unfinished(found: Results) -> str:
    missing = []
    for stage in ("screen", "screen-teacher", "confirm", "worth"):
        for row in STAGES[stage]():
            seeds = {result["seed"] for result in found.get(row.name, [])}
            lacking = [str(seed) for seed in row.seeds if seed not in seeds]
            if lacking:
                missing.append(f"{row.name} ({', '.join(lacking)})")
    return "; ".join(missing) or "nothing"
