"""The command: the demonstration in little, evaluation, prediction, and one-line errors."""

import json
import sys

import cv2
import pytest

from hhd.cli import main


def test_demo_eval_and_predict(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--tiny", "--output", str(out)]) == 0
    text = capsys.readouterr().out
    assert "smoke test" in text
    results = json.loads((out / "results.json").read_text())
    assert list(results["runs"]) == ["teacher", "integral", "published", "kl"]
    assert results["runs"]["kl"]["loss_ms"] > 0
    for name in ("predictions", "heatmaps", "curves"):
        assert cv2.imread(str(out / f"{name}.png")).std() > 10

    model, val = str(out / "kl" / "model.safetensors"), out / "data" / "val"
    numbers = tmp_path / "numbers.json"
    words = ["--annotations", str(val / "annotations.json"), "--json", str(numbers)]
    words += ["--decode-window", "9", "--flip-test", "coordinates", "--workers", "0"]
    assert main(["eval", model, *words]) == 0
    text = capsys.readouterr().out
    assert "left_wrist" in text
    assert "AP50" in text
    # The same numbers as the demonstration's table.
    pck = json.loads(numbers.read_text())["pck"]
    assert pck["at_05"] == pytest.approx(results["runs"]["kl"]["local"]["pck@0.5"])

    picture = val / "images" / "000001.png"
    assert main(["predict", model, str(picture), "--output", str(tmp_path / "p")]) == 0
    rows = json.loads((tmp_path / "p" / "predictions.json").read_text())
    assert len(rows[0]["joints"]) == 14
    assert (tmp_path / "p" / "000001.png").is_file()


def test_train_command(tiny, capsys):
    words = [f"--{key.replace('_', '-')}={value}" for key, value in tiny.items()]
    assert main(["train", "demo_student", *words]) == 0
    text = capsys.readouterr().out
    assert "PCK@0.5" in text
    assert "images/s" in text


def test_errors_are_one_line(tmp_path, capsys):
    assert main(["predict", str(tmp_path / "no.safetensors"), "x.png"]) == 1
    assert capsys.readouterr().err == f"hhd: model file {tmp_path}/no.safetensors does not exist\n"
    assert main(["fly"]) == 2
    assert "'fly' is not a command" in capsys.readouterr().err
    assert main([]) == 0
    assert "hhd train RECIPE" in capsys.readouterr().out


def test_a_missing_extra_is_named(monkeypatch, capsys):
    for name in [n for n in sys.modules if n == "rich" or n.startswith(("rich.", "hhd."))]:
        if name != "hhd.cli":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["train", "demo_student"]) == 1
    message = "hhd: hhd needs the Python module rich: install it with  pip install 'hhd[train]'\n"
    assert capsys.readouterr().err == message
