"""``hhd report RUN...``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from hhd.commands.options import command_parser, from_up
from hhd.console import say
from hhd.report.page import write_report
from hhd.report.run import read_runs
from hhd.train.devices import choose_device

EXAMPLES = """  hhd report runs/lspet_kl runs/lspet_integral --output compared.html
"""


def run(words: Sequence[str]) -> None:
    """Write one page of the runs."""
    parser = command_parser(
        "report",
        "One HTML page of one or several runs: curves, tables, recipes, pictures. It loads nothing "
        "from elsewhere.",
        EXAMPLES,
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of hhd train")
    parser.add_argument("--output", type=Path, default=Path("report.html"), help="the page")
    parser.add_argument(
        "--pictures",
        type=from_up(0),
        default=6,
        metavar="N",
        help="persons with the smallest and as many with the largest errors (default: 6)",
    )
    parser.add_argument("--no-pictures", action="store_true", help="without running the network")
    parser.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="of the evaluation data (default: the recipe's)",
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
    options = parser.parse_args(words)
    if options.output.is_dir():
        raise IsADirectoryError(f"output is {options.output}, which is a folder")
    console = Console()
    write_report(
        read_runs(options.runs),
        options.output,
        console,
        pictures=0 if options.no_pictures else options.pictures,
        data_root=options.data_root,
        device=choose_device(options.device),
    )
    say(console, f"the page is {options.output}")
