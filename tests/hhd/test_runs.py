"""Runs that are killed, doubled, extended or out of disk: one sentence, and nothing lost."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from hhd.cli import main
from hhd.models.digest import DIGEST, state_digest
from hhd.train import loop
from hhd.train.checkpoint import load_checkpoint, previous, save_checkpoint
from hhd.train.ownership import Stop, Terminated
from hhd.train.processes import Processes
from hhd.train.recipe import load_recipe, parse_recipe
from hhd.train.setup import set_up

QUIET = Console(quiet=True)


@pytest.fixture
def words(tiny):
    return ["train", "demo_student", *(f"--{key}={value}" for key, value in tiny.items())]


def start(words: list[str], *, group: bool = False, **environment: str) -> subprocess.Popen:
    """The command; with ``group`` it and its children get signals together."""
    return subprocess.Popen(
        [sys.executable, "-m", "hhd", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, start_new_session=group,
    )  # fmt: skip


def wait_for(path: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while not path.is_file():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def state() -> dict:
    generator = torch.Generator().manual_seed(0)
    return {
        "recipe": {"lr": 0.1}, "inputs": {}, "schedule": {"last_epoch": 7}, "step": 7,
        "model": {"weight": torch.randn(40, 40, generator=generator), "n": torch.tensor(3)},
        "optimiser": {"state": {0: {"exp_avg": torch.randn(40, 40, generator=generator)}}},
        "rng": [torch.arange(16, dtype=torch.uint8)], "train_seconds": 2.0,
        "average": None, "scaler": {}, "precision": "float32",
    }  # fmt: skip


def test_no_flipped_bit_loads_in_silence(tmp_path):
    """What a flip changes of the content is seen; the rest of the file is padding and names."""
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, state())
    whole, content = path.read_bytes(), load_checkpoint(path)
    rng = random.Random(0)
    refusals = []
    for _ in range(200):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            found = load_checkpoint(path)
        except ValueError as error:
            refusals.append(str(error))
        else:
            assert state_digest(found) == state_digest(content)
    assert len(refusals) > 100
    assert all("checkpoint.pt cannot be read (" in text for text in refusals)
    assert not any("weights_only" in text for text in refusals)


@pytest.mark.parametrize(
    "edit",
    [
        {"schedule": {}}, {"step": 10**9}, {"step": 8}, {"train_seconds": 5.0}, {DIGEST: "0" * 64},
        {"optimiser": {"state": {}}}, {"rng": [torch.zeros(16, dtype=torch.uint8)]},
        {DIGEST: None}, {"recipe": None}, {"model": {"weight": torch.zeros(40, 40)}},
    ],
    ids=lambda edit: next(iter(edit)),
)  # fmt: skip
def test_edited_states_are_refused(tmp_path, edit):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {**state(), "step": 6})
    save_checkpoint(path, state())
    content = load_checkpoint(path)
    for key, value in edit.items():
        if value is None:
            del content[key]
        else:
            content[key] = value
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"(its digest does not match|it lacks \w+)\): ") as error:
        load_checkpoint(path)
    # The last good one is kept, and said to be.
    assert str(error.value).endswith(
        f"{previous(path)}, of step 6, is whole: move it there to go on"
    )
    assert load_checkpoint(previous(path))["step"] == 6


def test_a_full_disk_is_a_sentence_and_the_old_checkpoint_whole(words, tiny, capsys, monkeypatch):
    def disk_is_full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    out = Path(tiny["output"])
    real, calls = os.fsync, 0

    def fill(descriptor):
        nonlocal calls
        calls += 1
        return real(descriptor) if calls < 5 else disk_is_full(descriptor)

    monkeypatch.setattr("hhd.files.os.fsync", fill)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error == (
        f"hhd: {out}/checkpoint.pt cannot be written: No space left on device; "
        "what was there is whole\n"
    )
    assert not list(out.glob("*.partial"))
    assert load_checkpoint(out / "checkpoint.pt")["step"] == 5
    monkeypatch.undo()
    assert main(words) == 0


def test_outputs_have_the_usual_mode(words, tiny):
    before = os.umask(0o022)
    try:
        assert main(words) == 0
    finally:
        os.umask(before)
    names = ("checkpoint.pt", "log.jsonl", "metrics.json", "model.safetensors")
    for name in names:
        assert (Path(tiny["output"]) / name).stat().st_mode & 0o777 == 0o644


def test_one_run_owns_its_folder(words, tiny, capsys):
    out = Path(tiny["output"])
    process = start([*words, "--epochs=400"])
    try:
        wait_for(out / "checkpoint.pt", process)
        assert main([*words, "--epochs=400"]) == 1
        error = capsys.readouterr().err
        assert f"{out} belongs to a run that is going on (process {process.pid} on " in error
        assert error.count("\n") == 1
    finally:
        process.kill()
        process.communicate()
    # The system lets go of it with the process, also where a data worker is still ending.
    assert main([*words, "--epochs=400", "--lr=0.5"]) == 1
    assert "belongs to a run with other values of lr" in capsys.readouterr().err


@pytest.mark.parametrize("to_workers", [False, True])
def test_sigterm_saves_and_leaves(words, tiny, to_workers):
    """To the run alone, or to all of its processes, as schedulers do."""
    out = Path(tiny["output"])
    # No step but the one that is under way is saved.
    long = [*words, "--epochs=4000", "--workers=1", "--log_every=1"]
    long += ["--checkpoint_every=100000", "--evaluate_every=100000"]
    process = start(long, group=to_workers)
    wait_for(out / "log.jsonl", process)
    time.sleep(0.3)
    children = subprocess.run(
        ["ps", "--ppid", str(process.pid), "-o", "pid="], capture_output=True, text=True
    ).stdout.split()
    assert children
    send = os.killpg if to_workers else os.kill
    send(process.pid, signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert error == f"hhd: terminated; the same command goes on from {out}/checkpoint.pt\n"
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])["step"]
    assert load_checkpoint(out / "checkpoint.pt")["step"] >= last
    for child in children:
        assert not Path(f"/proc/{child}").exists()


def test_a_run_that_is_to_end_saves_the_step_it_is_at(tiny):
    """Not only at the end of an epoch, nor at the recipe's own steps."""
    recipe = load_recipe("demo_student", **{**tiny, "checkpoint_every": 1000})
    stop = Stop()
    stop.requested = True
    for step in (1, 2):
        with pytest.raises(Terminated):
            loop.train(recipe, QUIET, stop)
        assert load_checkpoint(Path(recipe.output) / "checkpoint.pt")["step"] == step


def test_an_evaluation_ends_between_two_batches(tiny):
    """And is made when the run goes on."""
    recipe = load_recipe("demo_student", **{**tiny, "epochs": 1, "batch_size": 2})
    loop.train(recipe, QUIET)
    finished = Path(recipe.output) / "metrics.json"
    expected = finished.read_bytes()
    finished.unlink()

    class SecondBatch(Stop):
        asked = 0

        def check(self) -> None:
            self.asked += 1
            self.requested = self.asked == 2
            super().check()

    with pytest.raises(Terminated):
        loop.train(recipe, QUIET, SecondBatch())
    assert not finished.exists()
    loop.train(recipe, QUIET)
    assert finished.read_bytes() == expected


@pytest.mark.parametrize("told", [0, 1])
def test_an_evaluation_ends_in_all_processes(tiny, told):
    """Also in one that was not told, and waits for the others' predictions."""
    run = set_up(load_recipe("demo_student", **tiny), QUIET, Processes(torch.device("cpu")))
    own, stop = [], Stop()
    stop.requested = told == 0

    class FirstOfTwo(Processes):
        def gather(self, value):
            own.append(value)
            return [value, None if told == 1 else value]

    with pytest.raises(Terminated):
        run.assessment.predict(run.model, FirstOfTwo(torch.device("cpu"), 0, 2), stop)
    assert [found is None for found in own] == [told == 0]


@pytest.mark.parametrize("command", ["train", "eval"])
def test_a_killed_worker_is_a_sentence(words, tiny, people, command):
    out = Path(tiny["output"])
    if command == "eval":
        assert main(words) == 0
        words = ["eval", f"{out}/model.safetensors", f"--annotations={people}/annotations.json"]
    transform = (
        "import os, signal\n"
        "from hhd.data import dataset\n"
        "read = dataset.read_image\n"
        "def die(person):\n"
        "    if torch.utils.data.get_worker_info() is not None and person.annotation_id == 3:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return read(person)\n"
        "import torch.utils.data\n"
        "dataset.read_image = die\n"
        "import sys\n"
        "from hhd.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", transform, *words, "--workers=1"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("hhd: a process that loads data was killed, as the system does")
    assert done.stderr.count("\n") == 1
    if command == "train":
        assert f"{out}/checkpoint.pt" in done.stderr


@pytest.mark.parametrize("schedule", ["one_cycle", "multistep"])
def test_a_finished_run_can_be_extended(tiny, capsys, schedule):
    fields = {**tiny, "schedule": schedule, "milestones": [3]}
    loop.train(load_recipe("demo_student", **fields), QUIET)
    longer = load_recipe("demo_student", **{**fields, "epochs": 4})
    trained = loop.train(longer, Console(width=300))
    text = capsys.readouterr().out
    assert f"goes on from 2 to 4 epochs, by the {schedule} schedule of all 4: the next lear" in text
    assert "going on at step 10 of 20" in text
    lines = [json.loads(x) for x in (Path(longer.output) / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 21))
    whole = load_recipe("demo_student", **{**fields, "epochs": 4, "output": tiny["output"] + "2"})
    loop.train(whole, QUIET)
    other = [json.loads(x) for x in (Path(whole.output) / "log.jsonl").read_text().splitlines()]
    rates = [[x["lr"] for x in log if "loss" in x][10:] for log in (lines, other)]
    assert rates[0] == pytest.approx(rates[1])
    assert trained.report.pck is not None


def test_only_a_finished_run_can_be_extended(tiny, monkeypatch):
    class Killed(Exception):
        pass

    def die(*_arguments):
        save_checkpoint(*_arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("hhd.train.state.save_checkpoint", die)
        with pytest.raises(Killed):
            loop.train(load_recipe("demo_student", **tiny), QUIET)
    longer = load_recipe("demo_student", **{**tiny, "epochs": 4})
    with pytest.raises(
        ValueError, match=r"other values of epochs: .*finish it first and extend it"
    ):
        loop.train(longer, QUIET)
    loop.train(load_recipe("demo_student", **tiny), QUIET)
    shorter = load_recipe("demo_student", **{**tiny, "epochs": 1})
    with pytest.raises(ValueError, match="other values of epochs"):
        loop.train(shorter, QUIET)


def test_a_run_killed_while_it_is_evaluated_is_evaluated_when_it_goes_on(tiny, monkeypatch):
    class Killed(Exception):
        pass

    def die(*_arguments, **_options):
        raise Killed

    recipe = load_recipe("demo_student", **{**tiny, "evaluate_every": 1})
    with monkeypatch.context() as patched:
        patched.setattr("hhd.train.assess.predict", die)
        with pytest.raises(Killed):
            loop.train(recipe, QUIET)
    loop.train(recipe, QUIET)
    lines = [json.loads(x) for x in (Path(recipe.output) / "log.jsonl").read_text().splitlines()]
    assert [(x["step"], x["epoch"]) for x in lines if "epoch" in x] == [(5, 1), (10, 2)]


@pytest.mark.parametrize("option", ["--epoch=3", "--batch=4", "--flip=none"])
def test_misspelt_options_match_nothing(kites, capsys, option):
    assert main(kites.train_words(option)) == 1
    assert option.partition("=")[0] in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(kites.eval_words(option))
    with pytest.raises(SystemExit):
        main(kites.check_words(option))


def test_switches_may_stand_alone():
    recipe = parse_recipe(["demo_student", "--coco-ap", "--area-of-box", "--lr=0.1"])
    assert (recipe.coco_ap, recipe.area_of_box, recipe.lr) == (True, True, 0.1)
    assert not parse_recipe(["demo_student", "--coco-ap", "false"]).coco_ap


def test_a_batch_of_one_on_a_pixel_names_its_options(kites, capsys):
    words = kites.train_words("--model=mobilenetv2", "--input-size=[32,32]", "--batch-size=1")
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "batch_size is 1 and input_size is [32, 32]: features of one pixel" in error
    assert error.count("\n") == 1
