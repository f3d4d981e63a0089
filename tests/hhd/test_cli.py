"""The command: the demonstration in little, evaluation, prediction, and one-line errors."""

import json
import subprocess
import sys
from importlib.metadata import version

import cv2
import pytest

import hhd_kernels as hk
from hhd.cli import main
from hhd.models import build_model
from hhd.models.files import ModelCard, save_model


def test_demo_eval_and_predict(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--tiny", "--output", str(out)]) == 0
    text = capsys.readouterr().out
    assert "cannot rank" in text
    assert "[5/5] kl: the same few, and the teacher" in text
    results = json.loads((out / "results.json").read_text())
    assert list(results["runs"]) == ["teacher", "integral", "labels", "published", "kl"]
    assert results["runs"]["kl"]["loss_ms"] > 0
    for name in ("overview", "predictions", "heatmaps", "curves"):
        assert cv2.imread(str(out / f"{name}.png")).std() > 10

    model, val = str(out / "kl" / "model.safetensors"), out / "data" / "val"
    numbers = tmp_path / "numbers.json"
    words = ["--annotations", str(val / "annotations.json"), "--json", str(numbers)]
    words += ["--workers", "0"]
    assert main(["eval", model, *words]) == 0
    text = capsys.readouterr().out
    assert "left_wrist" in text
    assert "AP50" in text
    # The same numbers as the demonstration's table.
    pck = json.loads(numbers.read_text())["pck"]
    assert pck["at_05"] == pytest.approx(results["runs"]["kl"]["local"]["pck@0.5"])

    # Flags take the place of what the model's card says.
    words += ["--no-coco-ap", "--decode-window", "whole"]
    assert main(["eval", model, *words]) == 0
    pck = json.loads(numbers.read_text())["pck"]
    assert pck["at_05"] == pytest.approx(results["runs"]["kl"]["whole"]["pck@0.5"])
    assert main(["eval", model, *words, "--flip-test", "none"]) == 0
    assert json.loads(numbers.read_text())["pck"]["auc"] != pck["auc"]
    capsys.readouterr()
    assert main(["eval", model, *words[:-1], "8"]) == 1
    assert "decode_window is 8; it takes an odd number" in capsys.readouterr().err

    picture = val / "images" / "000001.png"
    assert main(["predict", model, str(picture), "--output", str(tmp_path / "p")]) == 0
    rows = json.loads((tmp_path / "p" / "predictions.json").read_text())
    assert len(rows[0]["people"][0]["joints"]) == 14
    assert (tmp_path / "p" / "000001.png").is_file()
    words = ["--output", str(tmp_path / "w"), "--decode-window=whole", "--flip-test=none"]
    assert main(["predict", model, str(picture), *words]) == 0
    assert json.loads((tmp_path / "w" / "predictions.json").read_text()) != rows


@pytest.mark.usefixtures("one_thread")
def test_eval_goes_by_the_rules_of_the_models_own_run(tiny, people, tmp_path):
    rules = {"boxes": "hrnet", "score": "keypoint", "nms_threshold": 0.01, "coco_ap": True}
    words = [f"--{name}={value}" for name, value in (tiny | rules | {"epochs": 1}).items()]
    assert main(["train", "demo_student", *words]) == 0
    run, file = tmp_path / "run", tmp_path / "numbers.json"
    out = run / "again.safetensors"
    assert main(["convert", str(run / "checkpoint.pt"), f"--output={out}"]) == 0
    words = [f"--annotations={people}/annotations.json", "--workers=0", f"--json={file}"]
    # The batches too: rounding depends on how many pictures the network sees at once.
    words += ["--batch-size=4"]
    for model in (run / "model.safetensors", out):
        assert main(["eval", str(model), *words]) == 0
        assert json.loads(file.read_text()) == json.loads((run / "metrics.json").read_text())
    assert main(["eval", str(out), *words, "--boxes=as_given"]) == 0
    assert json.loads(file.read_text()) != json.loads((run / "metrics.json").read_text())


def test_the_demo_deletes_its_own_files_alone(tmp_path, capsys, monkeypatch):
    def disk_is_full(*_arguments):
        raise OSError("full")

    monkeypatch.setattr("hhd.demo.write_dataset", disk_is_full)
    mine = tmp_path / "mine" / "data" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    assert main(["demo", "--output", str(tmp_path / "mine")]) == 1
    assert capsys.readouterr().err == (
        f"hhd: {tmp_path}/mine holds files that are not a demo's: choose another output\n"
    )
    assert [path.name for path in mine.parents[1].iterdir()] == ["data"]
    assert mine.read_text() == "years of work"

    out = tmp_path / "demo"
    for _ in range(2):
        assert main(["demo", "--output", str(out)]) == 1
        assert capsys.readouterr().err == "hhd: full\n"
        for name in ("data", "kl"):
            assert not (out / name).exists()
            (out / name).mkdir()


def test_predict_draws_over_no_picture(tmp_path, capsys, lsp14, people):
    model = tmp_path / "model.safetensors"
    card = ModelCard("small_student", "integral", (64, 64), 1.25, 10.0, 1.5, lsp14)
    save_model(model, build_model("small_student", 14), card)
    one, other = tmp_path / "s1", tmp_path / "s2"
    content = (people / "images" / "000001.png").read_bytes()
    for folder in (one, other):
        folder.mkdir()
        for name in ("x.png", "x.jpg"):
            (folder / name).write_bytes(content)
    out = tmp_path / "out"
    for images, output, message in (
        ([one / "x.png"], one, f"the drawing of {one}/x.png would be in {one}, among the pictures"),
        ([one / "x.jpg"], other / "../s1", f"the drawing of {one}/x.jpg would be in {other}/../s1"),
    ):
        assert main(["predict", str(model), *map(str, images), "--output", str(output)]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"hhd: {message}")
        assert error.count("\n") == 1
    assert not out.exists()
    assert all(path.read_bytes() == content for folder in (one, other) for path in folder.iterdir())


def test_a_backend_that_cannot_run_is_one_line(tiny, capsys):
    fields = [f"--{key}={value}" for key, value in tiny.items()]
    with hk.use_backend("triton"):
        assert main(["train", "demo_student", *fields, "--device=cpu"]) == 1
    error = capsys.readouterr().err
    assert "the backend 'triton' cannot run" in error
    assert error.count("\n") == 1


def test_train_command(tiny, capsys):
    words = [f"--{key.replace('_', '-')}={value}" for key, value in tiny.items()]
    assert main(["train", "demo_student", *words]) == 0
    text = capsys.readouterr().out
    assert "PCK@0.5" in text
    assert "images/s" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device=tpu"], "device is 'tpu'; it takes auto, cpu, cuda or cuda:N"),
        (["--input-size=[97,65]"], "input_size is [97, 65]; the model takes positive multiples of"),
        (["--lr=fast"], 'hhd train: Parser key "lr"'),
        (["--decode-window=-3"], "decode_window is -3; it takes an odd number from 1 to 999"),
    ],
)
def test_errors_of_train_are_one_line(tiny, capsys, words, message):
    fields = [f"--{key}={value}" for key, value in tiny.items()]
    assert main(["train", "demo_student", *fields, *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_refused_run_leaves_no_folder(tiny, tmp_path, capsys):
    fields = [f"--{key}={value}" for key, value in tiny.items()]
    assert main(["train", "demo_student", *fields, "--train_annotations=no.json"]) == 1
    assert "no.json does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--decode-window", "x"], "--decode-window: 'x'; it takes whole or an odd number"),
        (["--batch-size", "0"], "--batch-size: '0'; it takes a whole number from 1 up"),
        (["--batch-size", "a"], "--batch-size: 'a'; it takes a whole number from 1 up"),
        (["--workers", "-1"], "--workers: '-1'; it takes a whole number from 0 up"),
    ],
)
def test_options_of_eval_are_named(capsys, words, message):
    with pytest.raises(SystemExit):
        main(["eval", "m.safetensors", "--annotations", "a.json", *words])
    assert f"error: argument {message}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--no-coco-ap"], "detected boxes have no labels, so there is nothing to evaluate"),
        (["--mpii-truth", "t.mat"], "PCKh is of annotated persons"),
    ],
)
def test_eval_of_detections_that_measures_nothing_is_refused(capsys, words, message):
    words = ["--annotations", "a.json", "--detections", "d.json", *words]
    assert main(["eval", "m.safetensors", *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_eval_checks_where_it_writes_before_it_starts(tmp_path, capsys):
    words = ["eval", "m.safetensors", "--annotations", "a.json", "--json"]
    for path, message in (
        (tmp_path / "no" / "x.json", ": its folder does not exist"),
        (tmp_path, ", which is a folder"),
    ):
        assert main([*words, str(path)]) == 1
        assert capsys.readouterr().err == f"hhd: json is {path}{message}\n"


def test_an_interrupted_run_says_where_it_goes_on(tiny, capsys, monkeypatch):
    words = ["train", "demo_student", *(f"--{key}={value}" for key, value in tiny.items())]
    checkpoint = f"{tiny['output']}/checkpoint.pt"

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("hhd.train.state.save_checkpoint", interrupt)
        assert main(words) == 130
    error = capsys.readouterr().err
    assert error == f"hhd: interrupted; there is not yet a {checkpoint}\n"
    with monkeypatch.context() as patched:
        patched.setattr("hhd.train.loop.save_model", interrupt)
        assert main(words) == 130
    error = capsys.readouterr().err
    assert error == f"hhd: interrupted; the same command goes on from {checkpoint}\n"


def test_an_interrupted_command_says_so(capsys, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("hhd.commands.demo.run_demo", interrupt)
    monkeypatch.setattr("hhd.commands.train.parse_recipe", interrupt)
    for command in ("demo", "train"):
        assert main([command]) == 130
        assert capsys.readouterr().err == "hhd: interrupted\n"


def test_errors_are_one_line(tmp_path, capsys):
    assert main(["predict", str(tmp_path / "no.safetensors"), "x.png"]) == 1
    assert capsys.readouterr().err == f"hhd: model file {tmp_path}/no.safetensors does not exist\n"
    assert main(["fly"]) == 2
    assert "'fly' is not a command" in capsys.readouterr().err
    assert main([]) == 0
    assert "hhd train RECIPE" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"hhd {version('hhd-kernels')}\n"


def test_a_missing_extra_is_named():
    script = "import sys; sys.modules['rich'] = None; from hhd.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "train", "demo_student"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "hhd: hhd needs the Python module rich: install it with pip install 'hhd-kernels[train]', "
        "or '.[train]' in a checkout\n"
    )
