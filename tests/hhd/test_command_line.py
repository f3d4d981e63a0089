"""The command line's manners: help that is enough, words that were meant, quiet, plain tables."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from hhd.cli import COMMANDS, HELP, main
from hhd.commands import options
from hhd.commands.data import COMMANDS as DATA
from hhd.console import show_table

VERBS = [[name] for name in COMMANDS if name != "data"] + [["data", name] for name in DATA]
VERBS += [["teach", "views"]]


def help_of(words, capsys):
    with pytest.raises(SystemExit) as left:
        main([*words, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", VERBS, ids="-".join)
def test_help_is_enough_without_the_source(words, capsys):
    text = help_of(words, capsys)
    sources = re.findall(r"\b\w+/\w+\.py\b", text)
    assert all(source.startswith("examples/") for source in sources)
    assert len(text) > 200
    last = text[text.lower().index("examples:") :]
    assert f"hhd {words[0]}" in last
    if "--output" in text:
        said = text[text.index("--output", text.index("options:") if "options:" in text else 0) :]
        assert re.search(r"default|required|file|folder|Folder", said[:400])


def test_every_command_is_in_the_list():
    for name in COMMANDS:
        assert f"hhd {name}" in HELP
        assert callable(import_module(f"hhd.commands.{name}").run)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "did you mean train?"),
        (["data", "chek"], "did you mean check?"),
        (
            ["eval", "m", "--annotatoins=x"],
            "unrecognized argument --annotatoins; did you mean --an",
        ),
        (["eval", "m", "--annotations=x", "--nms=sof_oks"], "did you mean soft_oks?"),
        (["train", "lspet_kll"], "did you mean lspet_kl?"),
        (["train", "lspet_kl", "--epcohs=3"], "did you mean epochs?"),
        (["train", "lspet_kl", "--precision=flaot16"], "did you mean float16?"),
        (["data", "check", "x", "--skeleton=coc17"], "did you mean coco17?"),
        (["train", "lspet_kl", "--model=litehrnet81"], "did you mean litehrnet18?"),
        (["zzz"], "doctor"),
    ],
)
def test_what_was_meant_is_named(words, message, capsys):
    try:
        status = main(words)
    except SystemExit as left:
        status = left.code
    assert status
    text = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in text
    assert text.endswith("?") or words == ["zzz"]


def test_quiet_leaves_errors_alone(people, tmp_path, capfd):
    words = ["data", "split", str(people / "annotations.json"), "--share=0.4"]
    (tmp_path / "a.json").write_text((people / "annotations.json").read_text())
    words[2] = str(tmp_path / "a.json")
    assert main([*words, "--quiet"]) == 0
    assert (tmp_path / "a_val.json").is_file()
    assert capfd.readouterr() == ("", "")
    assert main(["--quiet", "data", "split", "none.json"]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_tables_are_plain_where_a_program_reads_them(capsys):
    table = Table("joint", "PCK")
    table.add_row("left_wrist" * 9, "12.5")
    show_table(Console(), table)
    head, row = capsys.readouterr().out.strip().splitlines()
    assert head.split() == ["joint", "PCK"]
    assert row.split() == ["left_wrist" * 9, "12.5"]


def test_every_option_has_a_text():
    """Of all calls of add_argument in the commands."""
    silent = []
    for file in Path(options.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
                named = {keyword.arg for keyword in node.keywords}
                if not named & {"help", None}:
                    silent.append(f"{file.name}:{node.lineno}")
    assert silent == []
