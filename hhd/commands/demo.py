"""``hhd demo``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hhd.commands.options import command_parser
from hhd.demo import run_demo


def run(words: Sequence[str]) -> None:
    """A teacher and three students on generated data."""
    parser = command_parser("demo", "A smoke test of it all on generated data.")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/demo"), help="folder for data, runs and pictures"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--tiny", action="store_true", help="seconds instead of minutes; numbers mean nothing"
    )
    options = parser.parse_args(words)
    run_demo(options.output, seed=options.seed, tiny=options.tiny)
