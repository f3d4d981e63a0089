"""``hhd teach`` and its folders: what is stored, what is refused, what a kill leaves."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from hhd.cli import main
from hhd.data.affine import invert, transform_points
from hhd.data.coco import read_persons
from hhd.data.loading import make_loader, read_batches
from hhd.teach.store import SHARD, TargetStore, key_of, plan_shards, write_shard
from hhd.train.processes import Processes
from hhd.train.recipe import parse_recipe
from hhd.train.setup import set_up

CARD = """network: python:spots:maps
input_size: [64, 64]
joints: lsp14
"""
# Every joint's Gaussian lies at the brightest place of the crop, its height the joint's number.
SPOTS = """
import os, time
import numpy as np
def maps(crops):
    time.sleep(float(os.environ.get("SPOTS_SLEEP", "0")))
    grey = crops.astype(np.float32).sum(3)[:, ::4, ::4]
    flat = grey.reshape(len(grey), -1).argmax(1)
    y, x = flat // 16, flat % 16
    rows, columns = np.arange(16)[None, :, None], np.arange(16)[None, None, :]
    far = (rows - y[:, None, None]) ** 2 + (columns - x[:, None, None]) ** 2
    heights = np.linspace(0.3, 1, 14, dtype=np.float32)
    return np.exp(-far / 2).astype(np.float32)[:, None] * heights[None, :, None, None]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "spots.py").write_text(SPOTS)
    (tmp_path / "spots.yaml").write_text(CARD)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    return tmp_path


def words(folder, people, *more, output="targets"):
    return [
        "teach", f"{folder}/spots.yaml", "--annotations", f"{people}/annotations.json",
        "--skeleton=lsp14", f"--output={folder}/{output}", "--batch-size=4", "--no-flip",
        *more,
    ]  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.suffix != ".lock"}


def test_a_record_is_the_teachers_answer(folder, people, lsp14):
    assert main(words(folder, people)) == 0
    store = TargetStore(folder / "targets")
    persons = read_persons(people / "annotations.json", people / "images", lsp14)
    assert len(store) == len(persons) == 20
    for person in persons[:5]:
        record = store.read(person)
        np.testing.assert_allclose(record["peaks"], np.linspace(0.3, 1, 14), rtol=1e-3)
        assert (record["patches"][:, 9, 9] > 245).all()
        # The brightest place of the crop, a square of 1.25 boxes.
        x, y = transform_points(record["centers"][0].astype(float), invert(record["to_cells"]))
        left, top, width, height = person.box
        reach = 1.25 / 2 * max(width, height)
        assert abs(x - left - width / 2) <= reach + 1e-6
        assert abs(y - top - height / 2) <= reach + 1e-6
    bytes_a_person = sum(array.nbytes for array in record.values())
    assert bytes_a_person * 17 / 14 < 12_000


def test_targets_of_other_teachers_settings_and_data_are_refused(folder, people, capsys):
    assert main(words(folder, people)) == 0
    before = content(folder / "targets")
    capsys.readouterr()
    refusals = {
        ("--upright=own",): "with looking.upright 'no' instead of 'own'",
        ("--floor=0.2",): "with floor 0.05 instead of 0.2",
        ("--patch=11",): "with patch 19 instead of 11",
    }
    for more, sentence in refusals.items():
        assert main(words(folder, people, *more)) == 1
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
    (folder / "spots.yaml").write_text(CARD + "padding: 1.5\n")
    assert main(words(folder, people)) == 1
    assert "holds targets made with teacher.digest '" in capsys.readouterr().err
    assert content(folder / "targets") == before


def test_several_teachers_are_one(folder, people, lsp14, capsys):
    """The second sees the same spots half as high, and no right ankle."""
    (folder / "dim.py").write_text(SPOTS.replace("0.3, 1, 14", "0.15, 0.5, 14"))
    dim = folder / "dim.yaml"
    dim.write_text(CARD.replace("spots", "dim") + "joint_map: {right_ankle: null}\n")
    both = words(folder, people)
    both.insert(2, str(dim))
    assert main(both) == 0
    store = TargetStore(folder / "targets")
    peaks = np.linspace(0.3, 1, 14) * 0.75
    ankle = lsp14.joints.index("right_ankle")
    peaks[ankle] /= 0.75
    for person in read_persons(people / "annotations.json", people / "images", lsp14)[:5]:
        np.testing.assert_allclose(store.read(person)["peaks"], peaks, rtol=1e-3)
    assert len(store.settings["others"]) == 1
    before = content(folder / "targets")
    capsys.readouterr()
    assert main(words(folder, people)) == 1
    error = capsys.readouterr().err
    assert "targets made with others ['" in error
    assert error.endswith("... instead of None\n")
    sheet = folder / "sheet.png"
    assert main([*both, f"--check={sheet}", "--check-count=2"]) == 0
    assert sheet.stat().st_size > 1000
    assert content(folder / "targets") == before


def test_teachers_that_cannot_be_averaged_are_refused(folder, people, capsys):
    twice = words(folder, people)
    twice.insert(2, twice[1])
    assert main(twice) == 1
    error = capsys.readouterr().err
    assert f"teacher {twice[1]} is given twice; several teachers take one of each" in error
    (folder / "shares.yaml").write_text(CARD + "activation: softmax\n")
    assert main([*twice[:2], f"{folder}/shares.yaml", *twice[3:]]) == 1
    error = capsys.readouterr().err
    assert f"teachers {twice[1]} and {folder}/shares.yaml cannot be averaged: the maps" in error
    assert not (folder / "targets").exists()


def train_words(people, folder, *more):
    return [
        "train", "demo_student", f"--data-root={people}", "--train-annotations=annotations.json",
        "--val-annotations=annotations.json", "--train-images=images", "--val-images=images",
        "--epochs=1", "--batch-size=4", "--workers=0", "--threads=1", "--loss=kl", "--log-every=1",
        f"--targets={folder}/targets", f"--output={folder}/run", *more,
    ]  # fmt: skip


def test_a_run_takes_targets_and_refuses_others(folder, people, capsys):
    assert main(words(folder, people)) == 0
    assert main(train_words(people, folder)) == 0
    line = json.loads((folder / "run" / "log.jsonl").read_text().splitlines()[0])
    assert line["hhd"] > 0
    capsys.readouterr()
    changed = json.loads((people / "annotations.json").read_text())
    changed["annotations"][4]["bbox"][0] += 1
    (folder / "changed.json").write_text(json.dumps(changed))
    other = [f"--train-annotations={folder}/changed.json", f"--output={folder}/other"]
    assert main(train_words(people, folder, *other)) == 1
    assert "lack 1 of the persons, the first of annotation 5 in" in capsys.readouterr().err
    # Labels teach those who have some, and stored targets the rest.
    assert main(train_words(people, folder, *other, "--teacher=labels")) == 0
    capsys.readouterr()
    assert main(train_words(people, folder, "--teacher-floor=0.2", f"--output={folder}/f")) == 1
    assert "were stored with floor 0.05: give that, or teach them again" in capsys.readouterr().err
    assert main(train_words(people, folder, "--skeleton=crowdpose14", *other)) == 1
    shard = folder / "targets" / "00000.safetensors"
    data = bytearray(shard.read_bytes())
    data[-5] ^= 1
    shard.write_bytes(data)
    capsys.readouterr()
    assert main(train_words(people, folder, f"--output={folder}/damaged")) == 1
    assert "are damaged: remove that file, and hhd teach makes it anew" in capsys.readouterr().err
    shard.write_bytes(data[:100])
    assert main(words(folder, people)) == 1
    assert "cannot be read" in capsys.readouterr().err
    shard.unlink()
    assert main(words(folder, people)) == 0


def test_labels_teach_where_there_are_any(folder, people):
    """The spots' teacher is nowhere near the joints."""
    assert main(words(folder, people)) == 0
    recipe = parse_recipe(
        train_words(people, folder, "--teacher=labels", "--teacher-gate=0.05", "--sigma=1")[1:]
    )
    run = set_up(recipe, Console(quiet=True), Processes(torch.device("cpu")))
    batch = next(iter(read_batches(make_loader(run.data, run.batches(), 0))))
    batch["weight"][0, :7] = 0
    prepared = run.criterion.prepare(batch, run.teacher(batch, batch["image"]))
    away = torch.linalg.vector_norm(prepared["centers"] - batch["coords"], dim=-1)
    labelled = batch["weight"] > 0
    assert away[labelled].max() < 0.75
    assert away[0, :7].median() > 3
    # A label's confidence is its Gaussian's peak, the stored one is the spots' own.
    assert (prepared["confidence"][labelled] > 0.7).all()
    stored = np.linspace(0.3, 1, 14)
    kept = prepared["confidence"][0, :7].numpy()
    assert all(any(abs(k - s) < 1e-3 for s in (0, *stored)) for k in kept)


def test_a_run_does_not_go_on_with_other_targets(folder, people, capsys):
    assert main(words(folder, people)) == 0
    assert main(train_words(people, folder)) == 0
    shutil.rmtree(folder / "targets")
    assert main(words(folder, people, "--padding=1.5")) == 0
    capsys.readouterr()
    assert main(train_words(people, folder)) == 1
    assert f"another content of {folder}/targets: choose another" in capsys.readouterr().err


def test_teacher_sigma_widens_what_is_taught(folder, people, capsys):
    assert main(words(folder, people)) == 0
    losses = []
    for sigma in ("1.0", "2.0"):
        more = (f"--teacher-sigma={sigma}", f"--output={folder}/{sigma}")
        assert main(train_words(people, folder, *more)) == 0
        lines = (folder / sigma / "log.jsonl").read_text().splitlines()
        losses.append(json.loads(lines[0])["hhd"])
    # A uniform student is nearer to a wide target.
    assert losses[0] > losses[1] + 0.5
    capsys.readouterr()
    assert main(train_words(people, folder, "--teacher-sigma=0")) == 1
    assert "teacher_sigma is 0.0; it takes a positive number" in capsys.readouterr().err


def test_files_may_be_added(folder, people):
    content_of_all = json.loads((people / "annotations.json").read_text())
    few = {**content_of_all, "annotations": content_of_all["annotations"][:7]}
    (people / "few.json").write_text(json.dumps(few))
    whole = words(folder, people)
    part = [word.replace("annotations.json", "few.json") for word in whole]
    assert main(part) == 0
    assert len(TargetStore(folder / "targets")) == 7
    before = content(folder / "targets")
    assert main(whole) == 0
    after = content(folder / "targets")
    assert len(TargetStore(folder / "targets")) == 20
    assert {name: after[name] for name in before} == before
    (people / "few.json").unlink()


def test_shards_are_planned_anew_after_any_of_them_are_there(tmp_path):
    keys = [bytes([n // 256, n % 256]) * 8 for n in range(2 * SHARD + 10)]
    (tmp_path / "targets.json").write_text('{"format": 1, "settings": {}}')
    planned = plan_shards(tmp_path, keys)
    assert [len(shard.positions) for shard in planned] == [SHARD, SHARD, 10]
    for number in (2, 0):
        shard = planned[number]
        chosen = [keys[p] for p in shard.positions]
        write_shard(tmp_path, shard.number, chosen, {"n": np.array(shard.positions)})
    assert plan_shards(tmp_path, keys) == [planned[1]]


def test_kills_leave_the_same_bytes(folder, people, monkeypatch):
    """Killed at random moments, in one process and in two, with shards of three persons."""
    patch = (
        "import sys\nfrom hhd.teach import store\nstore.SHARD = 3\n"
        "from hhd.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    (folder / "small_shards.py").write_text(patch)
    script = str(folder / "small_shards.py")

    def run(output, processes):
        launcher = [sys.executable]
        if processes > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        command = [*launcher, script, *words(folder, people, output=output)]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )

    process = run("whole", 1)
    assert process.wait() == 0, process.stderr.read()
    assert len(list((folder / "whole").glob("*.safetensors"))) == 7
    monkeypatch.setenv("SPOTS_SLEEP", "0.2")
    rng = random.Random(1)
    for processes in (1, 2):
        killed = folder / f"killed{processes}"
        for number in range(2):
            process = run(killed.name, processes)
            while len(list(killed.glob("*.safetensors"))) < 2 * number + 1:
                assert process.poll() is None
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.4))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process = run(killed.name, processes)
        assert process.wait() == 0, process.stderr.read()
        names = {"run.lock"}
        one, other = content(folder / "whole"), content(killed)
        assert {n: d for n, d in one.items() if n not in names} == {
            n: d for n, d in other.items() if n not in names
        }


def test_sigterm_ends_it_with_a_sentence(folder, people, monkeypatch):
    monkeypatch.setenv("SPOTS_SLEEP", "0.3")
    process = subprocess.Popen(
        [sys.executable, "-m", "hhd", *words(folder, people)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (folder / "targets" / "targets.json").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert error == "hhd: terminated; the same command goes on where it was\n"
    assert process.returncode == 143
    monkeypatch.setenv("SPOTS_SLEEP", "0")
    assert main(words(folder, people)) == 0


def test_a_key_tells_persons_apart(people, lsp14):
    persons = read_persons(people / "annotations.json", people / "images", lsp14)
    assert len({key_of(person) for person in persons}) == len(persons)


def test_a_folder_that_cannot_be_made_is_named(folder, people, capsys):
    (folder / "file").write_text("")
    commands = {
        "output": words(folder, people, output="file/targets"),
        "cache": train_words(people, folder, f"--cache={folder}/file/cache", "--loss=none",
                             "--targets=null"),
    }  # fmt: skip
    for what, command in commands.items():
        assert main(command) == 1
        error = capsys.readouterr().err
        assert f"hhd: {what} {folder}/file/" in error
        assert "cannot be made: Not a directory" in error
