"""What mkdocs fills in: every field of a recipe, from the schema's own docstrings, and the public
names of hhd_kernels, each from where it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from docstring_parser import parse_from_object

import hhd_kernels
from hhd.train.recipe import Recipe


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text with what is made in place of its mark."""
    for mark, lines in (("<!-- recipe fields -->", recipe_lines), ("<!-- ops -->", op_lines)):
        if mark in markdown:
            markdown = markdown.replace(mark, "\n".join(lines()))
    return markdown


def op_lines() -> Iterator[str]:
    """A reference to every public class and function."""
    for name in sorted(hhd_kernels.__all__, key=str.lower):
        module = getattr(getattr(hhd_kernels, name), "__module__", None)
        if module is not None:
            yield f"::: {module}.{name}\n"


def recipe_lines() -> Iterator[str]:
    """A table for each subject of the schema."""
    for part in reversed(Recipe.__mro__[1:-1]):
        own = [field for field in fields(part) if field.name in part.__annotations__]
        if not own:
            continue
        said = {entry.arg_name: entry.description for entry in parse_from_object(part).params}
        title = part.__name__.removesuffix("Fields")
        yield f"\n## {title}\n\n{part.__doc__}\n\n| field | default | what |\n|---|---|---|"
        for field in own:
            default = field.default if field.default is not MISSING else "-"
            text = " ".join((said.get(field.name) or "").split()).replace("|", "\\|")
            yield f"| `{field.name}` | `{default}` | {text} |"
