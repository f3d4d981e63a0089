"""Every command and every Python block of README.md and docs/ runs, in a small world of its names.

Blocks marked ``text`` are not run: what installs, what takes several machines or full data sets.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hhd.cli import main
from hhd.data.skeleton import load_skeleton
from hhd.data.split import split_annotations
from hhd.data.synthetic import write_dataset
from hhd.demo import hide_labels
from hhd.models import build_model
from hhd.models.files import ModelCard, save_model

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
SMALL = ["--epochs=1", "--batch-size=8", "--workers=0", "--threads=1", "--model=small_student"]
SMALL += [
    "--pretrained=false",
    "--input-size=[64,64]",
    "--sigma=1.5",
    "--drop-swapped-labels=false",
]


def blocks(page: Path, *kinds: str) -> list[str]:
    found = BLOCK.findall(page.read_text())
    assert found or "```" not in page.read_text()
    return [text for kind, text in found if kind in kinds]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The files that the pages name."""
    folder = tmp_path_factory.mktemp("world")
    write_dataset(folder / "my", 48, seed=0)
    hide_labels(folder / "my" / "annotations.json", 40)
    (folder / "my" / "few.json").unlink()
    split_annotations(folder / "my" / "annotations.json", 0.2)
    pictures = sorted((folder / "my" / "images").iterdir())
    (folder / "photos").mkdir()
    for picture in pictures[:3]:
        path = folder / "photos" / f"{picture.stem}.jpg"
        cv2.imwrite(str(path), cv2.imread(str(picture)))
    shutil.copytree(ROOT / "examples", folder / "examples")
    cv2.imwrite(str(folder / "photo.jpg"), cv2.imread(str(pictures[0])))
    rows = [
        {"image": f"{p.stem}.jpg", "bbox": [20, 10, 60, 90], "score": 0.9} for p in pictures[:3]
    ]
    (folder / "boxes.json").write_text(json.dumps(rows))
    detector = "def find_people(picture):\n    return [[20, 10, 60, 90, 0.9]]\n"
    (folder / "my_detector.py").write_text(detector)
    torch.manual_seed(0)
    lsp14 = load_skeleton("lsp14")
    for name, task in (("teacher", "heatmap"), ("model", "integral")):
        card = ModelCard("small_student", task, (64, 64), 1.25, 10.0, 1.5, lsp14)
        save_model(folder / f"{name}.safetensors", build_model("small_student", 14), card)
    return folder


@pytest.fixture
def inside(world, monkeypatch):
    monkeypatch.chdir(world)
    monkeypatch.syspath_prepend(str(world))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield world
    torch.set_num_threads(threads)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page(page, inside):
    """In order; trainings are made small, by options that come after the page's own."""
    for block in blocks(page, "sh"):
        for command in block.replace("\\\n", " ").strip().splitlines():
            words = shlex.split(command, comments=True)
            if words[0] == "python":
                subprocess.run([sys.executable, *words[1:]], check=True, capture_output=True)
                continue
            assert words[0] == "hhd", f"{command} is none of ours; mark its block text"
            words += SMALL if words[1] == "train" else []
            words += ["--further-batch=[4]"] if "--further-annotations" in words else []
            assert main(words[1:]) == 0, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page(page, inside):
    names: dict[str, object] = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


def test_the_python_of_the_readme(inside):
    """Its losses take the tensors that docs/loss.md makes."""
    generator = torch.Generator().manual_seed(0)
    names: dict[str, object] = {
        "student_logits": torch.randn(2, 5, 64, 48, generator=generator).requires_grad_(),
        "teacher_heatmaps": torch.rand(2, 5, 64, 48, generator=generator),
        "target_coords": torch.rand(2, 5, 2, generator=generator) * 40,
        "weight": torch.ones(2, 5),
    }
    for block in blocks(ROOT / "README.md", "python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["student_logits"].grad.abs().sum() > 0
    assert np.isfinite(names["people"][0].keypoints).all()


def test_commands_that_are_not_run_are_commands(capsys):
    """Of text blocks and of README: each hhd command and option is there."""

    def help_of(*words: str) -> str:
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        return capsys.readouterr().out

    pages = [(page, ("text",)) for page in PAGES] + [(ROOT / "README.md", ("", "text"))]
    lines = [
        line.partition("#")[0].split()
        for page, kinds in pages
        for block in blocks(page, *kinds)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    commands = [words[1:] for words in lines if words[:1] == ["hhd"]]
    assert len(commands) > 4
    fields = help_of("train")
    for words in commands:
        count = 2 if words[0] == "data" else 1
        text = help_of(*words[:count]) + (fields if words[0] in ("data", "train") else "")
        for word in words:
            option = word.partition("=")[0]
            if option.startswith("--"):
                field = "--" + option[2:].replace("-", "_")
                assert option in text or field in text, " ".join(words)


def test_pictures_and_pages_that_are_linked_exist():
    for page in [ROOT / "README.md", *PAGES]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if not target.startswith(("http:", "https:")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_site_builds(tmp_path):
    """Strictly: a broken link or a page outside of the contents is an error."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    recipe = (tmp_path / "recipe" / "index.html").read_text()
    for field in ("coordinate_weight", "teacher_gate", "rotation_factor", "precision"):
        assert f"<code>{field}</code>" in recipe
    assert "IntegralHHDLoss" in (tmp_path / "api" / "index.html").read_text()
