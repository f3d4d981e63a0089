"""``hhd doctor``"""

from __future__ import annotations

import json
from collections.abc import Sequence

from hhd.commands.options import command_parser

EXAMPLES = """  hhd doctor
  hhd doctor --json > doctor.json
"""


def run(words: Sequence[str]) -> int:
    """The report; 1 if anything is wrong."""
    parser = command_parser(
        "doctor",
        "What a bug report needs: versions, what is built and why something is not, compilers, "
        "CUDA and driver, extras, threads, memory, folders, a timed op; and what to do about what "
        "is wrong. The exit status is 1 if anything is.",
        EXAMPLES,
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(words)
    try:
        from hhd.doctor import examine, lines_of
    except ModuleNotFoundError as error:
        print(f"WRONG: the Python module {error.name} is not there: pip install {error.name}")
        return 1
    report = examine()
    if options.json:
        advice = [{"wrong": wrong, "text": text} for wrong, text in report.advice]
        print(json.dumps({"facts": report.facts, "advice": advice}, indent=1, default=str))
    else:
        print("\n".join(lines_of(report)))
    return int(report.ill)
