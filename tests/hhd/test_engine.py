"""What a step may do beside the plain one: parts, averages, precisions, data of several kinds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from hhd.cli import main
from hhd.data.loading import read_batches
from hhd.models import build_model
from hhd.models.files import load_model
from hhd.teach.store import TargetStore
from hhd.train import loop, precision, setup
from hhd.train.checkpoint import load_checkpoint
from hhd.train.losses import build_loss
from hhd.train.processes import Processes
from hhd.train.recipe import load_recipe

QUIET = Console(quiet=True)
CPU = torch.device("cpu")


def weights(folder):
    return load_model(Path(folder) / "model.safetensors")[0].state_dict()


def lines(folder):
    return [json.loads(x) for x in (Path(folder) / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("loss", ["kl", "published", "js", "kd_kl", "kd_mse", "none"])
def test_parts_of_a_step_add_up_to_it(loss):
    """Whatever is labelled and taught in which part."""
    taught = {} if loss in ("none", "js") else {"teacher": "labels"}
    recipe = load_recipe("lspet_integral", loss=loss, **taught, teacher_gate=0.2)
    torch.manual_seed(0)
    criterion = build_loss(recipe, (24, 24))
    batch = {
        "coords": torch.rand(6, 14, 2) * 20 + 1,
        "weight": (torch.rand(6, 14) > torch.linspace(0, 0.9, 6)[:, None]).float(),
        "importance": torch.linspace(0.5, 2, 6),
    }
    teacher = torch.rand(6, 14, 24, 24) * torch.rand(6, 14, 1, 1)
    prepared = criterion.prepare(batch, teacher)
    logits = torch.randn(6, 14, 24, 24)
    whole = logits.clone().requires_grad_()
    loss_of_whole, terms = criterion(whole, prepared)
    loss_of_whole.backward()
    totals = {name: prepared[name].sum() / 3 for name in criterion.weighted}
    parts = logits.clone().requires_grad_()
    found = []
    for part in range(3):
        mine = {key: value[part::3] for key, value in prepared.items()}
        loss_of_part, terms_of_part = criterion(parts[part::3], mine, totals)
        (loss_of_part / 3).backward()
        found.append({"loss": loss_of_part.detach(), **terms_of_part})
    for name, value in {"loss": loss_of_whole.detach(), **terms}.items():
        mean = torch.stack([part[name] for part in found]).mean()
        torch.testing.assert_close(mean, value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-4, atol=1e-7)


def test_accumulation_is_said_and_kept(tiny, capsys):
    recipe = load_recipe("demo_student", **tiny, accumulate=2, loss="kl", teacher="labels")
    loop.train(recipe, Console(width=200))
    assert "4 crops a step, 2 at a time: 2 parts, one after the other" in capsys.readouterr().out
    bad = load_recipe("demo_student", **{**tiny, "output": tiny["output"] + "3"}, accumulate=3)
    with pytest.raises(ValueError, match="accumulate is 3, but a process has 4 crops a step"):
        loop.train(bad, QUIET)


def test_the_learning_rate_of_another_batch_is_said(tiny, capsys):
    recipe = load_recipe("demo_student", **tiny, lr=0.01, lr_batch=16)
    loop.train(recipe, Console(width=200))
    assert "lr 0.0025: 0.01 is for 16 crops a step, and there are 4" in capsys.readouterr().out
    assert max(line["lr"] for line in lines(recipe.output) if "lr" in line) <= 0.0025


def test_the_average_is_what_is_evaluated_and_kept(tiny, monkeypatch):
    recipe = load_recipe("demo_student", **tiny, ema=0.8)
    averaged = {}

    def follow(run, batch, clock):
        found = step(run, batch, clock)
        for name, value in run.model.state_dict().items():
            before = averaged.get(name, value)
            mixed = before * 0.8 + value * 0.2 if value.is_floating_point() else value
            averaged[name] = mixed.clone()
        return found

    step = loop.train_step
    monkeypatch.setattr(loop, "train_step", follow)
    trained = loop.train(recipe, QUIET)
    kept = weights(recipe.output)
    for name, value in averaged.items():
        if value.is_floating_point():
            torch.testing.assert_close(kept[name], value, rtol=1e-5, atol=1e-6)
    raw = load_checkpoint(Path(recipe.output) / "checkpoint.pt")["model"]
    assert any(not torch.equal(raw[name], kept[name]) for name in kept)
    assert all(torch.equal(trained.model.state_dict()[name], kept[name]) for name in kept)


def test_precision_is_measured_said_and_kept(tiny, monkeypatch, capsys):
    def bf16_is_fast(_model, _images):
        return {"float32": 0.2, "bfloat16": 0.1}

    monkeypatch.setattr(precision, "measure_precisions", bf16_is_fast)
    recipe = load_recipe("demo_student", **tiny, precision="auto", loss="kl", teacher="labels")
    loop.train(recipe, Console(width=200))
    text = capsys.readouterr().out
    assert "precision bfloat16: float32 200 ms, bfloat16 100 ms for forward and backward" in text
    assert load_checkpoint(Path(recipe.output) / "checkpoint.pt")["precision"] == "bfloat16"
    plain = load_recipe(
        "demo_student", **{**tiny, "output": tiny["output"] + "2"}, loss="kl", teacher="labels"
    )
    loop.train(plain, QUIET)
    one, other = weights(recipe.output), weights(plain.output)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    # A run goes on in the precision that it began with.
    monkeypatch.setattr(precision, "measure_precisions", lambda *_: pytest.fail("measured again"))
    loop.train(recipe, QUIET)


@pytest.mark.parametrize(("half", "chosen"), [(0.95, "float32"), (0.8, "bfloat16")])
def test_a_draw_is_float32s(monkeypatch, half, chosen):
    def found(_model, _images):
        return {"float32": 1.0, "bfloat16": half}

    monkeypatch.setattr(precision, "measure_precisions", found)
    assert precision.choose_precision(torch.nn.Identity(), torch.zeros(2))[0] == chosen


def test_a_measurement_changes_nothing():
    model = build_model("phone", 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.rand(2, 3, 64, 64)
    state = torch.get_rng_state()
    seconds = precision.measure_precisions(model, images)
    assert set(seconds) == {"float32", "bfloat16"}
    assert min(seconds.values()) > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_compiled_network_learns_the_same(tiny):
    compiled = load_recipe("demo_student", **tiny, compile=True)
    plain = load_recipe("demo_student", **{**tiny, "output": tiny["output"] + "2"})
    losses = []
    for recipe in (compiled, plain):
        loop.train(recipe, QUIET)
        losses.append([line["loss"] for line in lines(recipe.output) if "loss" in line])
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-4)
    assert set(weights(compiled.output)) == set(weights(plain.output))


def test_every_step_says_where_its_time_went(tiny):
    recipe = load_recipe("demo_student", **tiny, loss="kl", teacher="labels")
    loop.train(recipe, QUIET)
    line = lines(recipe.output)[0]
    laps = ("data", "teacher", "forward", "loss", "backward", "optimiser")
    total = sum(line[f"{lap}_seconds"] for lap in laps)
    assert total == pytest.approx(line["seconds"], abs=1e-3)
    assert line["images_per_second"] == pytest.approx(4 / line["seconds"], rel=0.02)


def test_views_are_shown_in_turn(people, lsp14, tiny):
    recipe = load_recipe("demo_student", **tiny, views=2, transform=None)
    data = setup.build_data(recipe, lsp14, 2, QUIET)[0].parts[0]
    n = len(data)
    images = [data[epoch * n + 3]["image"] for epoch in range(4)]
    assert (images[0] == images[2]).all()
    assert (images[1] == images[3]).all()
    assert (images[0] != images[1]).any()


@pytest.fixture
def unlabelled(people, tmp_path):
    """The same pictures, whose persons have a box and no joint."""
    content = json.loads((people / "annotations.json").read_text())
    for annotation in content["annotations"]:
        annotation.update(keypoints=[0] * len(annotation["keypoints"]), num_keypoints=0)
        annotation["id"] += 1000
    path = tmp_path / "unlabelled.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def teacher(tiny, tmp_path):
    recipe = load_recipe("demo_teacher", **{**tiny, "output": str(tmp_path / "teacher")})
    loop.train(recipe, QUIET)
    return str(tmp_path / "teacher" / "model.safetensors")


def first_batch(recipe):
    run = setup.set_up(recipe, QUIET, Processes(CPU))
    batch = next(iter(read_batches(loop.make_loader(run.data, run.batches(), 0))))
    images = loop.normalise_images(batch["image"])
    return run, batch, run.criterion.prepare(batch, run.teacher(batch, images))


def test_labelled_and_unlabelled_data_mix(tiny, unlabelled, teacher):
    fields = {**tiny, "loss": "kl", "teacher": teacher, "further_annotations": [str(unlabelled)]}
    recipe = load_recipe(
        "demo_student", **fields, further_batch=[2], further_weight=[0.5], teacher_gate=0
    )
    run, batch, prepared = first_batch(recipe)
    assert len(batch["image"]) == 6
    assert (prepared["weight"][4:] == 0).all()
    assert (prepared["weight"][:4] > 0).any()
    # A label of the further data would count by their weight too.
    batch["weight"][5] = 1
    taught = run.criterion.prepare(batch, run.teacher(batch, loop.normalise_images(batch["image"])))
    assert (taught["weight"][5] == 0.5).all()
    taught = prepared["teacher_weight"]
    assert set(taught[:4].unique().tolist()) <= {0.0, 1.0}
    assert set(taught[4:].unique().tolist()) <= {0.0, 0.5}
    assert (taught[4:] > 0).any()
    trained = loop.train(recipe, QUIET)
    assert trained.report.pck is not None
    with pytest.raises(ValueError, match="further_batch has length 0; it takes a value for each"):
        load_recipe("demo_student", **fields)


def test_boxes_and_a_teacher_are_enough(tiny, unlabelled, teacher):
    fields = {**tiny, "loss": "kl", "teacher": teacher, "train_annotations": str(unlabelled)}
    with pytest.raises(ValueError, match="has no person with a labelled joint to use"):
        loop.train(load_recipe("demo_student", **fields), QUIET)
    recipe = load_recipe("demo_student", **fields, labels="optional", teacher_gate=0)
    loop.train(recipe, QUIET)
    first = lines(recipe.output)[0]
    assert first["coordinate"] == 0
    assert first["hhd"] > 0
    ignored = load_recipe(
        "demo_student",
        **{**fields, "train_annotations": "annotations.json", "output": tiny["output"] + "2"},
        labels="ignored",
        teacher_gate=0,
    )
    loop.train(ignored, QUIET)
    assert lines(ignored.output)[0]["coordinate"] == 0
    with pytest.raises(ValueError, match="nothing teaches them: give targets or a teacher"):
        load_recipe("demo_student", **tiny, labels="optional")


def test_a_teacher_far_from_the_label_is_not_believed():
    recipe = load_recipe("lspet_kl", teacher="labels", teacher_reach=2.0, sigma=1.5)
    criterion = build_loss(recipe, (48, 48))
    batch = {
        "coords": torch.tensor([[[20.0, 20.0], [20.0, 20.0], [20.0, 20.0]]]),
        "weight": torch.tensor([[1.0, 1.0, 0.0]]),
    }
    maps = torch.zeros(1, 3, 48, 48)
    maps[0, 0, 20, 23] = maps[0, 1, 20, 24] = maps[0, 2, 40, 40] = 1.0
    # Two sigmas are three pixels; where there is no label nothing contradicts the teacher.
    assert criterion.prepare(batch, maps)["teacher_weight"].tolist() == [[1.0, 0.0, 1.0]]


def words_of(tiny, *more):
    fields = {**tiny, "loss": "kl", "views": 2, "workers": 0}
    return ["demo_student", *(f"--{key}={value}" for key, value in fields.items()), *more]


def test_stored_views_are_the_live_teacher(tiny, teacher, tmp_path, capsys):
    """Float16 windows apart, the run is the same."""
    folder = tmp_path / "targets"
    words = words_of(tiny, f"--teacher={teacher}", f"--folder={folder}")
    assert main(["teach", "views", *words]) == 0
    store = TargetStore(folder)
    assert len(store) == 20
    before = {path.name: path.read_bytes() for path in folder.glob("*.[sj]*")}
    assert main(["teach", "views", *words]) == 0
    assert "20 of 20 persons are in" in capsys.readouterr().out
    assert before == {path.name: path.read_bytes() for path in folder.glob("*.[sj]*")}
    assert len(before) == 2

    assert main(["train", *words_of(tiny, f"--teacher={teacher}")]) == 0
    live = lines(tiny["output"])
    out = f"--output={tmp_path}/stored"
    stored_words = words_of(tiny, "--teacher=null", f"--targets={folder}", out)
    assert main(["train", *stored_words]) == 0
    stored = lines(tmp_path / "stored")
    assert stored[0]["hhd"] == pytest.approx(live[0]["hhd"], rel=1e-3)
    assert stored[0]["coordinate"] == live[0]["coordinate"]
    assert [line["step"] for line in stored] == [line["step"] for line in live]
    capsys.readouterr()
    assert main(["train", *stored_words, "--rotation-factor=80"]) == 1
    error = capsys.readouterr().err
    assert "holds targets made with rotation_factor 30.0 instead of 80.0" in error
    assert main(["teach", "views", *words, "--window=9"]) == 1
    assert "holds targets made with window 7 instead of 9" in capsys.readouterr().err
    assert main(["train", *stored_words, "--loss=kd_kl"]) == 1
    assert "targets are given, but loss is kd_kl" in capsys.readouterr().err


def test_tensorboard(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    recipe = load_recipe("demo_student", **tiny, tensorboard=True)
    loop.train(recipe, QUIET)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(Path(recipe.output) / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/lr", "pck/at_02"} <= set(events.Tags()["scalars"])
    logged = [line["loss"] for line in lines(recipe.output) if "loss" in line]
    written = [event.value for event in events.Scalars("train/loss")]
    np.testing.assert_allclose(written, logged, rtol=1e-6)
