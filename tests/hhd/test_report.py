"""The page of a run: complete in itself, escaped, and a sentence for whatever is not there."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from kites import JOINTS, SKELETON, Kites

import hhd_kernels as hk
from hhd.cli import main
from hhd.models import build_model
from hhd.models.files import ModelCard, save_model
from hhd.report import curves, gallery, tables
from hhd.report.evaluated import evaluate_run, joint_errors
from hhd.report.heatmaps import _window, teacher_of
from hhd.report.poses import pose_picture
from hhd.report.run import number, read_runs

pytestmark = pytest.mark.usefixtures("one_thread")
HOSTILE = "<script>alert('$x')</script>"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Kites:
    """Two runs on kites, of which one joint is called as no joint should be: kl and plain."""
    kites = Kites(tmp_path_factory.mktemp("report") / "kites")
    joints = [HOSTILE, *JOINTS[1:]]
    kites.content["categories"][0]["keypoints"] = joints
    kites.write(kites.content)
    names = json.dumps(joints)
    limbs = [[joints[a], joints[b]] for a, b in ((0, 1), (0, 2), (1, 3), (2, 3))]
    lines = {"joints": names, "pck_joints": names, "limbs": json.dumps(limbs)}
    parts = [line.split(": ", 1) for line in SKELETON.splitlines()]
    text = "".join(f"{key}: {lines.get(key, rest)}\n" for key, rest in parts)
    kites.skeleton_file.write_text(text)
    options = {
        "kl": ["--loss=kl", "--teacher=labels", "--teacher_gate=0"],
        "plain": ["--loss=none", "--teacher=null"],
    }
    for name, words in options.items():
        out = f"--output={kites.folder / name}"
        assert main(kites.train_words("--log_every=1", "--epochs=2", *words, out)) == 0
    return kites


def report(runs: list[Path], *words: str) -> str:
    page = runs[0].parent / "report.html"
    page.unlink(missing_ok=True)
    assert main(["report", *map(str, runs), f"--output={page}", "--device=cpu", *words]) == 0
    return page.read_text()


class Tags(HTMLParser):
    """The page as a browser reads it: elements, addresses, text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.addresses.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(trained) -> str:
    return report([trained.folder / "kl"], "--pictures=2")


def test_the_page_is_complete_in_itself(page):
    tags = Tags(page)
    assert tags.tags.count("svg") == 3
    # Two of the best persons, two of the worst, and the maps.
    assert tags.tags.count("img") == 5
    assert all(address.startswith(("data:image/", "#")) for address in tags.addresses)
    assert "url(http" not in page
    assert not {"link", "iframe", "object", "base", "form"} & set(tags.tags)
    text = " ".join(tags.texts)
    for part in ("PCK@0.2", "left", "right", "bottom", "teacher_gate", "torch", "processes"):
        assert part in text
    for mark in ("label", "predicted place", "teacher's peak", "window of the distillation"):
        assert mark in page.partition("marked are")[2][:200].replace("&#39;", "'")


def test_names_of_files_are_text(page):
    tags = Tags(page)
    assert "script" not in tags.tags
    assert not tags.handlers
    assert HOSTILE in tags.texts
    assert "&lt;script&gt;alert" in page


def test_control_characters_are_spelt_out(trained, tmp_path):
    run = tmp_path / "run\x1b[31m"
    shutil.copytree(trained.folder / "plain", run)
    page = report([run], "--no-pictures")
    assert "\x1b" not in page
    assert "run\\x1b[31m" in page


def test_without_pictures_no_network_runs(trained, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(gallery, "evaluate_run", never)
    for words in (["--no-pictures"], ["--pictures=0"]):
        page = report([trained.folder / "kl"], *words)
        assert "<img" not in page
        assert "<svg" in page


def test_two_runs_side_by_side(trained):
    runs = [trained.folder / "kl", trained.folder / "plain"]
    page = report(runs, "--no-pictures")
    titles = [text for text in Tags(page).texts if text.strip()]
    assert "kl: PCK@0.2" in titles
    assert "plain: PCK@0.2" in titles
    differing = tables.recipes(read_runs(runs), differing=True)
    assert differing.heads == ["field", "kl", "plain"]
    rows = {row[0]: row[1:] for row in differing.rows}
    assert rows["loss"] == ["kl", "none"]
    assert not {"lr", "model", "output"} & set(rows)
    panels = {panel.title: panel.curves for panel in curves.loss_panels(read_runs(runs))}
    assert set(panels) == {"loss", "coordinate", "hhd", "learning rate"}
    assert set(panels["loss"]) == {"kl", "plain"}
    assert set(panels["hhd"]) == {"kl"}


def test_runs_of_one_name_are_told_apart(trained, tmp_path):
    shutil.copytree(trained.folder / "plain", tmp_path / "plain")
    first, second = trained.folder / "plain", tmp_path / "plain"
    assert [run.name for run in read_runs([first, second])] == [str(first), str(second)]
    with pytest.raises(ValueError, match="a run is given twice"):
        read_runs([first, first])


def test_numbers_are_those_of_the_run(trained):
    (run,) = read_runs([trained.folder / "kl"])
    metrics = json.loads((trained.folder / "kl" / "metrics.json").read_text())
    table = tables.joints([run])
    assert [row[0] for row in table.rows] == [HOSTILE, *JOINTS[1:]]
    share, error = metrics["pck"]["per_joint"]["left"], metrics["pck"]["epe_per_joint"]["left"]
    assert [table.rows[1][1], table.rows[1][3]] == [f"{100 * share:.1f}", f"{error:.1f}"]
    run.lines[:] = [
        {"step": step, "seconds": seconds, "data_seconds": 0.5, "forward_seconds": 0.1, "lr": 0.1}
        for step, seconds in ((1, 9.0), (2, 1.0), (3, 2.0), (4, 5.0))
    ]
    rows = {row[0]: row[1] for row in tables.summary([run]).rows}
    assert rows["steps"] == "4"
    assert rows["seconds a step, median"] == "2"
    assert rows["of it waiting for data, median"] == "25.0 %"
    assert [panel.title for panel in curves.time_panels([run])] == [
        *("seconds", "data seconds", "forward seconds", "waiting for data, % of a step")
    ]
    assert [panel.title for panel in curves.loss_panels([run])] == ["learning rate"]


def test_the_run_is_evaluated_as_it_was(trained):
    (run,) = read_runs([trained.folder / "kl"])
    found = evaluate_run(run, None, CPU)
    assert found.pck == pytest.approx(run.metrics["pck"]["at_02"])
    assert np.nanmean(found.errors <= 0.2) == pytest.approx(found.pck)
    means = np.nanmean(found.errors, axis=1)[found.ranking()]
    assert list(means) == sorted(means)
    # A person of one label in four is not ranked, nor a joint without a label shown.
    found.errors[found.ranking()[0], 1:] = np.nan
    assert len(found.ranking()) == 5
    found.coords[0, 1] = np.nan
    assert pose_picture(found, 0).source.startswith("data:image/jpeg;base64,/9j/")
    assert joint_errors(found.coords, found.data.persons, found.skeleton)[0, 1] == np.inf
    found.data.persons[0].keypoints[1, 2] = 0
    assert np.isnan(joint_errors(found.coords, found.data.persons, found.skeleton)[0, 1])


@pytest.mark.parametrize("side", [7, 8])
def test_the_window_is_that_of_the_loss(side):
    maps = torch.rand(1, 1, 24, 20)
    maps[0, 0, 12, 9] = 2
    loss = hk.HHDLoss(window=(side, side))
    drawn = _window(loss.targets(maps).centers[0, 0].numpy(), side)
    left, top = round(drawn.get_x() + 0.5), round(drawn.get_y() + 0.5)
    inside = maps[0, 0, top : top + side, left : left + side]
    torch.testing.assert_close(loss.targets(maps).windows[0, 0], inside / maps.sum())


def test_the_teacher_is_the_recipes(trained, tmp_path):
    (run,) = read_runs([trained.folder / "kl"])
    found = evaluate_run(run, None, CPU)
    item = found.data[0]
    batch = {k: torch.from_numpy(item[k])[None] for k in ("coords", "weight", "labelled")}
    maps = teacher_of(found, CPU)(batch, torch.zeros(0))
    torch.testing.assert_close(hk.locate_teacher(maps)[0], batch["coords"][0].round())
    path = tmp_path / "teacher.safetensors"
    card = found.decoder.card
    network = build_model("phone", 4)
    save_model(
        path, network, ModelCard("phone", "heatmap", (64, 64), 1.25, 10.0, 1.5, card.skeleton)
    )
    found = replace(found, recipe=replace(found.recipe, teacher=str(path)))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = network.eval()(images)
    torch.testing.assert_close(teacher_of(found, CPU)(batch, images), wanted)
    alone = replace(found.recipe, teacher=None, loss="none")
    assert teacher_of(replace(found, recipe=alone), CPU) is None
    stored = replace(found.recipe, teacher=None, teacher_maps="maps.npy")
    with pytest.raises(ValueError, match="stored, for the training pictures alone"):
        teacher_of(replace(found, recipe=stored), CPU)


def test_what_is_not_there_is_said(trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained.folder / "kl", run)
    page = report([run], f"--data-root={tmp_path}")
    assert f"No pictures: annotation file {tmp_path}/kites.json does not exist." in page
    (run / "model.safetensors").unlink()
    (run / "metrics.json").unlink()
    with (run / "log.jsonl").open("a") as log:
        log.write('{"step": 9, "lo')
    page = report([run])
    assert "the run has not ended" in page
    assert "there is no model.safetensors" in page
    assert "teacher_gate" in page  # of the checkpoint's recipe
    assert "<svg" in page
    (run / "checkpoint.pt").unlink()
    (run / "log.jsonl").write_text("")
    assert "not evaluated yet" in report([run])


BROKEN = {
    "no log": (lambda run: (run / "log.jsonl").unlink(), r"log .*log\.jsonl does not exist"),
    "log": (
        lambda run: (run / "log.jsonl").write_text('{"step": 1}\n[2]\n'),
        "is no step of a run: line 2",
    ),
    "metrics": (lambda run: (run / "metrics.json").write_text("[1]"), "are not those of a run"),
    "half": (lambda run: (run / "metrics.json").write_text('{"pck"'), r"metrics\.json is not JSON"),
    "model": (
        lambda run: (run / "model.safetensors").write_bytes(b"x"),
        "is not a safetensors file",
    ),
    "foreign": (shutil.rmtree, "is no folder; it takes one that hhd train wrote"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_damaged_and_foreign_folders_are_a_sentence(trained, tmp_path, capsys, what):
    run = tmp_path / "run"
    shutil.copytree(trained.folder / "plain", run)
    damage, message = BROKEN[what]
    damage(run)
    page = tmp_path / "report.html"
    assert main(["report", str(run), f"--output={page}", "--no-pictures"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("hhd: ")
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not page.exists()


def test_any_number_in_a_log_is_drawn_or_passed_over(trained, tmp_path):
    for value in (10**400, -(10**400), float("nan"), float("inf"), True, "7", None, [1]):
        assert number(value) is None
    run = tmp_path / "run"
    shutil.copytree(trained.folder / "plain", run)
    odd = ['"7"', "NaN", "Infinity", "1" + "0" * 400, "null", "{}", "0", "-1e200", "1e-200"]
    lines = [f'{{"step": {i}, "loss": {x}, "a$b": {x}}}' for i, x in enumerate(odd, start=1)]
    evaluation = '{"step": 9, "epoch": 1, "pck": {"at_02": "x", "per_joint": [1]}, "coco": [2]}'
    (run / "log.jsonl").write_text("\n".join([*lines, evaluation, ""]))
    (run / "metrics.json").write_text(evaluation)
    assert "not evaluated yet" in report([run], "--no-pictures")
