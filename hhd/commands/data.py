"""``hhd data init``, ``split``, ``check``, ``preview`` and ``cache``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from hhd.text import meant

HELP = """usage: hhd data init ANNOTATIONS [--output YAML]
       hhd data split ANNOTATIONS [--share 0.2]
       hhd data check ANNOTATIONS --skeleton NAME ...
       hhd data preview RECIPE [--field value]... [--count N] [--file PNG]
       hhd data cache RECIPE [--field value]... --cache FOLDER

  init      a skeleton file from an annotation file's own joint names
  split     pictures held out to evaluate on, as a file of their own
  check     what is broken in an annotation file and its pictures; the exit status is 1 if anything
  preview   a sheet of a recipe's augmented training crops, joints drawn
  cache     its training pictures decoded once, for epochs that wait for no decoder
"""
COMMANDS = ("init", "split", "check", "preview", "cache")


def run(words: Sequence[str]) -> int:
    """Run a subcommand; the exit status."""
    if words and words[0] in COMMANDS:
        return int(import_module(f"hhd.commands.data_{words[0]}").run(words[1:]) or 0)
    if words and words[0] not in ("-h", "--help"):
        listed = ", ".join(COMMANDS) + meant(words[0], COMMANDS)
        raise ValueError(f"data: {words[0]!r} is not a subcommand; it takes one of {listed}")
    print(HELP)
    return 0
