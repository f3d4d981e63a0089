"""The loop: killed runs go on to the same result, broken ones stop, each loss trains."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from hhd.data.skeleton import load_skeleton
from hhd.models import build_model
from hhd.models.files import ModelCard, load_model, save_model
from hhd.train import loop, setup, state
from hhd.train.checkpoint import JsonLog, load_checkpoint, save_checkpoint
from hhd.train.data import build_data
from hhd.train.devices import choose_device
from hhd.train.losses import CoordinateLoss, DistillationLoss
from hhd.train.recipe import load_recipe
from hhd.train.resume import input_files

QUIET = Console(quiet=True)


class Killed(Exception):
    """Stands for a signal."""


def weights(folder: str) -> dict[str, torch.Tensor]:
    return load_model(Path(folder) / "model.safetensors")[0].state_dict()


@pytest.mark.parametrize("kill_at", [1, 2])
def test_a_killed_run_goes_on_to_the_same_result(tiny, tmp_path, monkeypatch, kill_at):
    distils = {"loss": "kl", "teacher": "labels"}
    whole = load_recipe("demo_student", **tiny, **distils)
    killed = load_recipe("demo_student", **{**tiny, "output": str(tmp_path / "killed")}, **distils)
    loop.train(whole, QUIET)

    saved = 0

    def save_then_die(path, content):
        nonlocal saved
        save_checkpoint(path, content)
        saved += 1
        if saved == kill_at:
            raise Killed

    monkeypatch.setattr(state, "save_checkpoint", save_then_die)
    with pytest.raises(Killed):
        loop.train(killed, QUIET)
    monkeypatch.undo()
    # A line that the kill cut short, and one of a step past the checkpoint.
    with (tmp_path / "killed" / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "loss": 1.0}\n{"step": 9, "lo')
    loop.train(killed, QUIET)

    one, other = weights(whole.output), weights(killed.output)
    assert all(torch.equal(one[key], other[key]) for key in one)
    logs = []
    for recipe in (whole, killed):
        lines = (Path(recipe.output) / "log.jsonl").read_text().splitlines()
        logs.append([{k: v for k, v in json.loads(x).items() if "second" not in k} for x in lines])
    assert logs[0] == logs[1]
    metrics = [(Path(r.output) / "metrics.json").read_text() for r in (whole, killed)]
    assert metrics[0] == metrics[1]


def test_a_finished_run_is_evaluated_again_not_trained(tiny, capsys):
    recipe = load_recipe("demo_student", **tiny)
    first = loop.train(recipe, QUIET)
    again = loop.train(recipe, Console(width=200))
    assert again.report.pck == first.report.pck
    assert "already finished: 10 of 10 steps\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["train_annotations", "val_annotations", "teacher"])
def test_a_run_does_not_go_on_with_other_files(tiny, people, tmp_path, lsp14, name):
    files = {"teacher": tmp_path / "teacher.safetensors"}
    card = ModelCard("small_teacher", "heatmap", (64, 64), 1.25, 10.0, 1.5, lsp14)
    save_model(files["teacher"], build_model("small_teacher", 14), card)
    for field in ("train_annotations", "val_annotations"):
        files[field] = tmp_path / f"{field}.json"
        files[field].write_bytes((people / "annotations.json").read_bytes())
    fields = {**tiny, "epochs": 1, "loss": "kl"} | {key: str(path) for key, path in files.items()}
    recipe = load_recipe("demo_student", **fields)
    loop.train(recipe, QUIET)
    if name == "teacher":
        torch.manual_seed(1)
        save_model(files[name], build_model("small_teacher", 14), card)
    else:
        files[name].write_text(files[name].read_text() + " ")
    with pytest.raises(ValueError, match=f"another content of {files[name]}: choose"):
        loop.train(recipe, QUIET)


def test_stored_maps_and_their_ids_are_inputs():
    stored = load_recipe("demo_student", loss="kl", teacher_maps="m.npy", data_root="data")
    files = input_files(stored)
    assert files["teacher_maps"] == Path("data/m.npy")
    assert files["teacher_ids"] == Path("data/m.json")
    named = load_recipe("demo_student", loss="kl", teacher_maps="m.npy", teacher_ids="i.npz")
    assert input_files(named)["teacher_ids"] == Path("i.npz")


def test_the_model_file_says_how_it_was_evaluated(tiny):
    recipe = load_recipe("demo_student", **tiny, decode="local", decode_window=5)
    trained = loop.train(recipe, QUIET)
    card = load_model(Path(recipe.output) / "model.safetensors")[1]
    assert (card.decode_window, card.flip_test) == (5, "heatmaps")
    assert trained.decoder.card == card


@pytest.mark.parametrize("name", ["gpu", "tpu", "cuda:", "cuda:99"])
def test_devices_that_are_not_there_are_refused(name):
    with pytest.raises(ValueError, match=f"^device is '{name}'"):
        choose_device(name)


def test_swapped_labels_are_not_trained_on(tiny, people, tmp_path):
    content = json.loads((people / "annotations.json").read_text())
    for annotation in content["annotations"][:3]:
        annotation.update(ref_agree=0.1, ref_agree_swapped=0.9)
    path = tmp_path / "swapped.json"
    path.write_text(json.dumps(content))
    recipe = load_recipe(
        "demo_student",
        **{**tiny, "train_annotations": str(path), "val_annotations": str(path)},
        drop_swapped_labels=True,
    )
    train_data, val_data = build_data(recipe, load_skeleton("lsp14"), 2, QUIET)
    assert (len(train_data.parts[0]), len(val_data)) == (17, 20)


def test_another_recipe_does_not_go_on(tiny):
    loop.train(load_recipe("demo_student", **tiny), QUIET)
    with pytest.raises(ValueError, match="belongs to a run with other values of lr"):
        loop.train(load_recipe("demo_student", **{**tiny, "lr": 0.5}), QUIET)


def test_a_loss_that_is_not_finite_stops_the_run(tiny, monkeypatch):
    class Broken(CoordinateLoss):
        def __call__(self, logits, batch, totals=None):
            term = torch.tensor(float("nan"))
            return logits.sum() * term, {"coordinate": term}

    monkeypatch.setattr(setup, "build_loss", Broken)
    with pytest.raises(FloatingPointError, match=r"step 1: the loss is nan.*'coordinate': nan"):
        loop.train(load_recipe("demo_student", **tiny), QUIET)


def test_a_teacher_of_ours_and_the_published_loss(tiny, tmp_path):
    teacher = load_recipe("demo_teacher", **{**tiny, "output": str(tmp_path / "teacher")})
    loop.train(teacher, QUIET)
    path = str(tmp_path / "teacher" / "model.safetensors")
    student = load_recipe("demo_student", **tiny, loss="published", window=8, teacher=path)
    trained = loop.train(student, QUIET)
    lines = [json.loads(x) for x in (Path(student.output) / "log.jsonl").read_text().splitlines()]
    assert {"loss", "coordinate", "hhd", "lr", "data_seconds"} <= lines[0].keys()
    assert trained.images_per_second > 0


def test_the_gate_leaves_unsure_joints_untaught():
    recipe = load_recipe("lspet_kl", teacher_gate=0.5, teacher="labels")
    batch = {"coords": torch.full((1, 2, 2), 20.0), "weight": torch.ones(1, 2)}
    logits = torch.randn(1, 2, 48, 48, requires_grad=True)
    teacher = torch.zeros(1, 2, 48, 48)
    teacher[0, 0, 3, 3], teacher[0, 1, 3, 3] = 0.4, 0.6
    criterion = DistillationLoss(recipe, (48, 48))
    both = criterion(logits, criterion.prepare(batch, teacher))[1]["hhd"]
    teacher[0, 0] = 0
    assert criterion(logits, criterion.prepare(batch, teacher))[1]["hhd"] == both


@pytest.mark.parametrize("value", [0.0, -0.1])
def test_a_teacher_map_without_a_positive_value_teaches_nothing(value):
    """The official code is NaN at the map of zeros and teaches the argmax of the negative one."""
    criterion = DistillationLoss(load_recipe("lspet_published", teacher="labels"), (48, 48))
    batch = {"coords": torch.full((1, 2, 2), 20.0), "weight": torch.ones(1, 2)}
    logits, teacher = torch.randn(1, 2, 48, 48), torch.rand(1, 2, 48, 48)
    teacher[0, 0] = value
    alone = {"coords": batch["coords"][:, 1:], "weight": batch["weight"][:, 1:]}
    both = criterion(logits, criterion.prepare(batch, teacher))[1]["hhd"]
    other = criterion(logits[:, 1:], criterion.prepare(alone, teacher[:, 1:]))[1]["hhd"]
    torch.testing.assert_close(both, other)


def test_files_are_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    content = {
        "recipe": {},
        "inputs": {},
        "model": {"weight": torch.ones(3)},
        "average": None,
        "optimiser": {},
        "schedule": {},
        "scaler": {},
        "precision": "float32",
    }
    content |= {"rng": [torch.ones(3)], "step": 1, "train_seconds": 2.0}
    save_checkpoint(path, content)

    def fail(_content, file):
        file.write(b"half")
        raise Killed

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(Killed):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path)["step"] == 1


@pytest.mark.parametrize("kept", [0, 3, 400, 5000])
def test_a_checkpoint_cut_short_is_named(tmp_path, kept):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1, "weight": torch.ones(30000)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        ValueError, match=r"checkpoint.pt cannot be read \(.+\): remove it"
    ) as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [{}, [1], {"step": 1}, {"recipe": 5}, torch.ones(2)])
def test_a_checkpoint_of_something_else_is_named(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"cannot be read \(it lacks recipe, .*\): remove it"):
        load_checkpoint(path)


def test_a_log_keeps_what_the_checkpoint_covers(tmp_path):
    path = tmp_path / "log.jsonl"
    log = JsonLog(path, 0)
    for step in (1, 2, 3):
        log.write(step=step)
    JsonLog(path, 2).write(step=3, again=True)
    assert [json.loads(x) for x in path.read_text().splitlines()] == [
        {"step": 1}, {"step": 2}, {"step": 3, "again": True},
    ]  # fmt: skip
    for line in ("no JSON", "[1]", '{"loss": 1}'):
        path.write_text(f"{line}\n")
        with pytest.raises(ValueError, match=f"log {path} has a line that is no step of a run"):
            JsonLog(path, 2)
    JsonLog(path, 0)
    assert path.read_text() == ""
