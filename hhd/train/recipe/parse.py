"""Recipes from YAML files and command lines."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import jsonargparse

from hhd.files import is_file, read_yaml
from hhd.text import meant, one_line, shown
from hhd.train.recipe.schema import Recipe

T = TypeVar("T")

SHIPPED = Path(__file__).parents[2] / "recipes"


@cache
def recipe_parser(prog: str) -> jsonargparse.ArgumentParser:
    """Parser of ``--recipe FILE`` and one option for every field of :class:`Recipe`."""
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=prog,
        description="Train from a recipe, a flat YAML file. Killed, it goes on by the same words. "
        "Examples: hhd train own_data --skeleton my/skeleton.yaml --train-annotations my/a.json; "
        "hhd train lspet_kl --data-root DATA --epochs 20; hhd train mine.yaml --lr 0.004",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--recipe", action="config", help="Recipe file, or the name of a shipped one."
    )
    parser.add_class_arguments(Recipe)
    return parser


def parse_recipe(arguments: Sequence[str], prog: str = "hhd train") -> Recipe:
    """The recipe of ``[RECIPE] [--field value]...``; dashes in names are underscores."""
    parser = recipe_parser(prog)
    parser.usage = f"{prog} [RECIPE] [--field value]..."
    words = _with_true([_underscored(word) for word in arguments])
    name, words = _split_recipe(words, prog)
    if name is None:
        return _recipe(_parse(lambda: parser.parse_args(words), prog), prog)
    path = find_recipe(name)
    where = f"recipe {path}"
    # The file alone first: what is wrong after that is wrong on the command line.
    alone = _parse(lambda: parser.parse_object(_read_recipe(path)), where)
    whole = _parse(lambda: parser.parse_args(["--recipe", str(path), *words]), prog)
    try:
        return _recipe(whole, prog)
    except ValueError:
        # An option may give what the file lacks, so a file is wrong only if the whole is, too.
        _recipe(alone, where)
        raise


def _split_recipe(words: list[str], prog: str) -> tuple[str | None, list[str]]:
    """The recipe, which is the first word or after ``--recipe``, and the other words."""
    if words and not words[0].startswith("-"):
        return words[0], words[1:]
    option = argparse.ArgumentParser(prog, add_help=False, allow_abbrev=False, exit_on_error=False)
    option.add_argument("--recipe")
    found, others = _parse(lambda: option.parse_known_args(words), prog)
    return found.recipe, others


def load_recipe(name_or_path: str, **overrides: Any) -> Recipe:
    """A recipe file with some fields changed; ``ValueError`` on what the schema does not take."""
    parser = recipe_parser("hhd train")
    path = find_recipe(name_or_path)
    content = {**_read_recipe(path), **overrides}
    where = f"recipe {path}"
    return _recipe(_parse(lambda: parser.parse_object(content), where), where)


def find_recipe(name_or_path: str) -> Path:
    """A file, or a shipped recipe by name."""
    for path in (Path(name_or_path), SHIPPED / f"{name_or_path}.yaml"):
        if is_file(path):
            return path
    shipped = sorted(path.stem for path in SHIPPED.glob("*.yaml"))
    raise FileNotFoundError(
        f"recipe is {shown(name_or_path)}: neither a file nor a shipped recipe"
        + (meant(name_or_path, shipped) or f", {', '.join(shipped)}")
    )


def _read_recipe(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "recipe")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        got = "empty" if content is None else f"a {type(content).__name__}"
        raise ValueError(f"recipe {path} is {got}; it takes lines of the form  field: value")
    return content


def _parse(parse: Callable[[], T], where: str) -> T:
    try:
        return parse()
    except (jsonargparse.ArgumentError, OverflowError, RecursionError) as error:
        text = one_line(str(error))
        raise ValueError(f"{where}: {text}{_suggestion(text)}") from error


def _suggestion(text: str) -> str:
    """The field that an unknown one may be, or the choice that a wrong value may be."""
    names = [field.name for field in fields(Recipe)]
    if found := re.search(r"nrecognized arguments: --(\w+)|[Kk]ey \"(\w+)\" is not", text):
        return meant(found[1] or found[2], names)
    if found := re.search(r"Literal\[(.+?)\].* value: (\S+)", text):
        return meant(found[2], re.findall(r"'(.+?)'", found[1]))
    return ""


def _recipe(values: jsonargparse.Namespace, where: str) -> Recipe:
    try:
        return Recipe(**{field.name: values[field.name] for field in fields(Recipe)})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _underscored(word: str) -> str:
    name, separator, value = word.partition("=")
    return (
        name.replace("-", "_").replace("__", "--", 1) + separator + value
        if word.startswith("--")
        else word
    )


def _with_true(words: list[str]) -> list[str]:
    """``--field`` of a field that is true or false, alone, is ``--field true``."""
    switches = {f"--{name}" for name, kind in get_type_hints(Recipe).items() if kind is bool}
    given = []
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        given.append(f"{word}=true" if word in switches and after.startswith("--") else word)
    return given
