"""The ``hhd`` command: a table of commands, and errors in one line.

A command is imported when it is called, so that a missing extra is named and not traced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from hhd import memory
from hhd.extras import missing_extra_message
from hhd.text import meant, one_line

HELP = """usage: hhd COMMAND ...

  hhd train RECIPE [--field value]...   train a teacher or a student; --help lists the fields
  hhd eval MODEL --annotations JSON     accuracy of a model.safetensors: PCK, AUC and COCO AP
  hhd data init JSON                    a skeleton file from its own joint names
  hhd data split JSON                   pictures held out to evaluate on
  hhd data check JSON --skeleton NAME   what is broken in a data set, file by file
  hhd data preview RECIPE               a sheet of its augmented training crops, joints drawn
  hhd teach TEACHER --annotations JSON  a teacher's answers, or several's, stored for training
  hhd predict [MODEL] PICTURE...        poses in pictures, of the persons in their boxes
  hhd export [MODEL] --output ONNX      a model for deployment, pixels in, keypoints out
  hhd report RUN...                     one HTML page of runs: curves, tables, recipes, pictures
  hhd convert FILE --model NAME ...     a public checkpoint to a model.safetensors
  hhd demo                              what a teacher is worth, on generated people, in minutes
  hhd doctor                            what a bug report needs, and what is wrong
  hhd COMMAND --help                    what it takes, its defaults, examples
  hhd COMMAND --quiet                   errors alone; the exit status says how it went
  hhd --version                         the version
"""
QUIET = "--quiet"
# Modules of hhd.commands; each has run(words), which gives the exit status or None for 0.
COMMANDS = (
    *("train", "eval", "data", "teach", "predict", "export"),
    *("report", "convert", "demo", "doctor"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status. What the user can mend is one line on stderr."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        memory.keep_freed_memory()
    if QUIET in words:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            return main([word for word in words if word != QUIET])
    if not words or words[0] in ("-h", "--help"):
        print(HELP)
        return 0
    # One's own detectors, teachers and transforms lie where the command is called; after all else.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if words[0] == "--version":
        import hhd_kernels

        print(f"hhd {hhd_kernels.__version__}")
        return 0
    if words[0] not in COMMANDS:
        listed = ", ".join(COMMANDS) + meant(words[0], COMMANDS)
        return _fail(f"{words[0]!r} is not a command; it takes one of {listed}", 2)
    try:
        status: int | None = import_module(f"hhd.commands.{words[0]}").run(words[1:])
    except ModuleNotFoundError as error:
        message = missing_extra_message(error.name or "")
        if message is None:
            raise
        return _fail(message)
    except (OSError, ValueError, FloatingPointError) as error:
        return _fail(str(error))
    except RuntimeError as error:
        # The kernels refuse, by name, a backend that was chosen and cannot run.
        if str(error).startswith("hhd_kernels."):
            return _fail(str(error))
        from hhd.data.loading import WORKER_KILLED, is_worker_killed

        if not is_worker_killed(error):
            raise
        return _fail(WORKER_KILLED)
    except KeyboardInterrupt as error:
        return _fail(str(error) or "interrupted", getattr(error, "status", 130))
    return status or 0


def _fail(message: str, status: int = 1) -> int:
    print(f"hhd: {one_line(message)}", file=sys.stderr)
    return status
