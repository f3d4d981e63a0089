"""The examples run against the real packages, and learn."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hhd.cli import main

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
TRAINING = {
    "plain_pytorch": "torch",
    "lightning_module": "lightning",
    "hf_trainer": "transformers",
    "accelerate_loop": "accelerate",
    "mmengine_loss": "mmengine",
}


@pytest.fixture
def examples(monkeypatch, tmp_path):
    """The folder on the path, a folder to write to, one thread."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield EXAMPLES
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", TRAINING)
def test_each_trainer_learns(examples, name):
    """From six pixels, what this student knows at the start, to half of one in 30 steps."""
    pytest.importorskip(TRAINING[name])
    toy = importlib.import_module("toy")
    torch.manual_seed(0)
    assert toy.error_in_pixels(toy.Student(), toy.make_batch(64, seed=10_000)) > 4
    assert importlib.import_module(name).train(steps=30) < 0.5


def test_the_official_configuration_builds_our_loss(examples):
    """The official lite18 configuration's loss, by its own arguments, has the published values."""
    registry = pytest.importorskip("mmengine.registry")
    importlib.import_module("mmengine_loss")
    import hhd_kernels as hk

    official = {
        "type": "CropbiasLoss", "loss_weight": 0.5, "mode": 2, "ifsoftmax": 0, "normalize": 0,
        "norm_mode_s": 2, "norm_mode_t": 2, "crop_size": [8, 8], "t": 10,
    }  # fmt: skip
    loss = registry.MODELS.build(official)
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 5, 32, 32, generator=generator)
    teacher = torch.rand(2, 5, 32, 32, generator=generator)
    expected = hk.HHDLoss.published()(student, teacher)
    assert loss(s_feature=student, t_feature=teacher) == expected
    for changes, norms in (
        ({"norm_mode_s": 1, "norm_mode_t": 1}, ("l1", "l1")),
        ({"ifsoftmax": 1}, ("softmax", "softmax")),
        ({"ifsoftmax": 2}, ("none", "none")),
    ):
        other = registry.MODELS.build(official | changes)
        assert other(student, teacher) == hk.HHDLoss.published(normalize=norms)(student, teacher)
    with pytest.raises(ValueError, match="ifsoftmax is 3"):
        registry.MODELS.build(official | {"ifsoftmax": 3})


def test_the_walk_of_own_joints(examples, tmp_path):
    """Its commands as they stand, but for few pictures and an epoch."""
    shutil.copy(EXAMPLES / "own_joints" / "draw_birds.py", tmp_path)
    (block,) = re.findall(
        r"```\n(.+?)```", (EXAMPLES / "own_joints" / "README.md").read_text(), re.S
    )
    commands = block.strip().splitlines()
    assert len(commands) == 8
    for command in commands:
        words = shlex.split(command)
        if words[0] == "python":
            words += ["60"]
        if words[:2] == ["hhd", "train"]:
            words += ["--epochs", "1", "--batch-size", "8", "--workers", "0", "--threads", "1"]
        if words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], check=True)
        else:
            assert main(words[1:]) == 0, command
    predicted = tmp_path / "birds" / "predicted"
    assert len(list(predicted.glob("*.png"))) > 5
    assert (predicted / "coco_results.json").is_file()
    assert "l_wing - r_wing" not in (tmp_path / "birds" / "skeleton.yaml").read_text()
    assert "[l_wing, r_wing]" in (tmp_path / "birds" / "skeleton.yaml").read_text()
