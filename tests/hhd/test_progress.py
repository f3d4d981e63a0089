"""What a run says while it goes on."""

import io
import json
import re
from pathlib import Path

import torch
from rich.console import Console

from hhd.progress import counting, progress
from hhd.train import environment, loop
from hhd.train.processes import Processes
from hhd.train.recipe import load_recipe


def terminal(force: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=force, width=200, color_system=None)


def test_the_bar_moves_at_every_step(tiny):
    console = terminal(True)
    recipe = load_recipe("demo_student", **{**tiny, "log_every": 100}, loss="kl", teacher="labels")
    shown = []
    original = loop.RunLog.step

    def follow(log, *arguments):
        shown.append(original(log, *arguments))
        return shown[-1]

    loop.RunLog.step = follow
    try:
        loop.train(recipe, console)
    finally:
        loop.RunLog.step = original
    assert len(shown) == 10
    for text in shown:
        assert "images/s" in text
        assert all(f"{lap} " in text for lap in ("data", "forward", "backward", "optimiser"))
    assert "10/10" in console.file.getvalue()


def test_a_pipe_gets_plain_lines(monkeypatch):
    monkeypatch.setattr("hhd.progress.SECONDS_BETWEEN_LINES", 0.0)
    console = terminal(False)
    with progress(console, "run", 3, 1) as show:
        show(2, "loss 1")
    with counting(console, "teach", 4, "persons") as advance:
        advance(3)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "run 2/3 loss 1"
    assert lines[1].startswith("teach 3/4 ")
    assert lines[1].endswith(" persons/s")


def test_a_run_says_what_it_ran_on(tiny, monkeypatch, tmp_path):
    recipe = load_recipe("demo_student", **tiny)
    loop.train(recipe, Console(quiet=True))
    facts = json.loads((Path(recipe.output) / "environment.json").read_text())
    assert facts["torch"] == torch.__version__
    assert (facts["device"], facts["processes"]) == ("cpu", 1)
    # From a checkout: its commit; from elsewhere: none.
    root = environment.ROOT
    if (root / ".git").exists():
        assert re.fullmatch(r"[0-9a-f]{40}\+?", facts["commit"])
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert "commit" not in environment.environment(Processes(torch.device("cpu")))
