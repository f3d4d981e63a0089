"""``hhd demo``: what a teacher is worth where labels are few, on generated people, in minutes.

A heatmap teacher learns from every label; the students see 64 of 1,600. All students take the
same steps of the same labelled crops from the same weights; the last two see the other pictures
too, without labels, through the teacher's maps.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from hhd.console import show_table
from hhd.data.dataset import CropDataset, normalise_images
from hhd.data.loading import make_loader
from hhd.data.synthetic import write_dataset
from hhd.evaluation.decode import Decoder
from hhd.evaluation.pck import Pck
from hhd.evaluation.report import evaluate
from hhd.files import read_json, write_json
from hhd.models.files import load_model
from hhd.pictures import write_pictures
from hhd.teach.teachers import label_teacher
from hhd.train.data import build_data
from hhd.train.loop import Trained, train
from hhd.train.losses import build_loss
from hhd.train.recipe import Recipe, load_recipe

LOCAL_WINDOW = 9


@dataclass(frozen=True)
class Row:
    """One line of the table: accuracy decoded over the whole map and locally, and what it cost."""

    name: str
    whole: Pck
    local: Pck | None
    loss_ms: float
    images_per_second: float


def run_demo(out: Path, *, seed: int = 0, tiny: bool = False) -> list[Row]:
    """Train, compare and draw into ``out``; what an earlier demo left there is replaced."""
    clear(out)
    console = Console()
    began = time.perf_counter()
    pictures, labelled, held_out = (64, 32, 32) if tiny else (1600, 64, 400)
    console.print(
        f"Draws {pictures} people; a teacher learns from all of them, four students from the "
        f"labels of {labelled}, two of them from the teacher on the others, too. One seed, small "
        "networks: it shows what a teacher is worth, and cannot rank the two ways to distil.",
        highlight=False,
    )
    write_dataset(out / "data" / "train", pictures, seed)
    write_dataset(out / "data" / "val", held_out, seed + 1)
    hide_labels(out / "data" / "train" / "annotations.json", labelled)
    runs: dict[str, Trained] = {}
    recipes = demo_recipes(out, seed, tiny)
    for number, (name, recipe) in enumerate(recipes.items(), start=1):
        console.print(
            f"[{number}/{len(recipes)}] {name}: {TOLD[name]}", highlight=False, markup=False
        )
        runs[name] = train(recipe, console)
    rows = [_row(name, recipes[name], trained) for name, trained in runs.items()]
    seconds = time.perf_counter() - began
    print_table(console, rows, held_out, seed)
    windows = {n: r.distillation()[0] if r.distils() else 0 for n, r in recipes.items()}
    write_pictures(out, runs, windows)
    write_json(out / "results.json", _numbers(rows, seed, seconds))
    console.print(
        f"{seconds:.0f} s; in {out}: overview.png, predictions.png, heatmaps.png, curves.png, "
        "results.json",
        highlight=False,
    )
    return rows


TOLD = {
    "teacher": "a heatmap network, every label",
    "integral": "coordinates alone, few labels",
    "labels": "windowed KL to Gaussians at the same few labels",
    "published": "the same few, and the teacher on the other pictures: published loss",
    "kl": "the same few, and the teacher on the other pictures: windowed KL",
}
RUNS = tuple(TOLD)
# Says that a folder is the demo's, to be cleared by the next one.
MARK = ".hhd-demo"


def hide_labels(annotations: Path, labelled: int) -> None:
    """Beside ``annotations``: few.json, its first ``labelled`` pictures, and unlabelled.json, the
    others with their boxes alone."""
    content = read_json(annotations, "annotation file")
    for name, part in (("few", slice(labelled)), ("unlabelled", slice(labelled, None))):
        people = content["annotations"][part]
        if name == "unlabelled":
            people = [
                {**a, "keypoints": [0] * len(a["keypoints"]), "num_keypoints": 0} for a in people
            ]
        part_of = {"images": content["images"][part], "annotations": people}
        write_json(annotations.with_name(f"{name}.json"), {**content, **part_of})


def clear(out: Path) -> None:
    """Make ``out`` a folder without the data and runs of an earlier demo; others are refused."""
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise FileExistsError(f"{out} holds files that are not a demo's: choose another output")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
    for name in ("data", *RUNS):
        if (out / name).exists():
            shutil.rmtree(out / name)


def demo_recipes(out: Path, seed: int, tiny: bool) -> dict[str, Recipe]:
    """The teacher, and one student four ways, from the same weights over the same batches."""
    paths: dict[str, Any] = {"data_root": str(out / "data"), "seed": seed}
    for part in ("train", "val"):
        paths[f"{part}_annotations"] = f"{part}/annotations.json"
        paths[f"{part}_images"] = f"{part}/images"
    if tiny:
        paths |= {"epochs": 1, "evaluate_every": 1, "batch_size": 16, "workers": 0}
    teacher = load_recipe("demo_teacher", **paths, output=str(out / "teacher"))
    paths["train_annotations"] = "train/few.json"
    student = load_recipe("demo_student", **paths)
    taught = replace(
        student,
        loss="kl",
        teacher=str(out / "teacher" / "model.safetensors"),
        teacher_gate=0.0 if tiny else 0.1,
        teacher_floor=0.2,
        further_annotations=("train/unlabelled.json",),
        further_images=("train/images",),
        further_batch=(student.batch_size,),
    )
    students = {
        "integral": student,
        "labels": replace(student, loss="kl", teacher="labels"),
        "published": replace(taught, loss="published"),
        "kl": taught,
    }
    named = {name: replace(recipe, output=str(out / name)) for name, recipe in students.items()}
    return {"teacher": teacher, **named}


def _row(name: str, recipe: Recipe, trained: Trained) -> Row:
    scores = []
    for window in (None, LOCAL_WINDOW) if recipe.task == "integral" else (None,):
        card = replace(trained.decoder.card, decode_window=window)
        scores.append(_score(trained, Decoder(card), trained.val))
    local = scores[1] if len(scores) > 1 else None
    return Row(name, scores[0], local, time_loss(recipe, trained), trained.images_per_second)


def _score(trained: Trained, decoder: Decoder, data: CropDataset) -> Pck:
    device = torch.device("cpu")
    report = evaluate(trained.model, decoder, data, batch_size=64, workers=0, device=device)
    assert report.pck is not None  # generated persons are labelled
    return report.pck


def time_loss(recipe: Recipe, trained: Trained, repeats: int = 15) -> float:
    """Milliseconds of the loss and its gradient at the logits on one training batch, the median."""
    skeleton = trained.decoder.card.skeleton
    data, _ = build_data(recipe, skeleton, trained.model.stride, Console(quiet=True))
    batch = next(iter(make_loader(data.parts[0], recipe.batch_size, 0)))
    images = normalise_images(batch["image"])
    with torch.no_grad():
        logits = trained.model(images)
        size = (logits.shape[3], logits.shape[2])
        teacher = None
        if recipe.teacher == "labels":
            teacher = label_teacher(size, recipe.sigma)(batch, images)
        elif recipe.teacher is not None:
            teacher = load_model(Path(recipe.teacher))[0](images)
    criterion = build_loss(recipe, size)
    times = []
    for _ in range(repeats):
        leaf = logits.clone().requires_grad_()
        began = time.perf_counter()
        loss, _ = criterion(leaf, criterion.prepare(batch, teacher))
        torch.autograd.grad(loss, leaf)
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


def print_table(console: Console, rows: list[Row], pictures: int, seed: int) -> None:
    """Accuracy and cost, a line a run."""
    title = f"PCK and AUC (%), {pictures} generated pictures, seed {seed}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("run")
    for decode in ("whole", "local"):
        for number in ("@0.2", "@0.5", "AUC"):
            table.add_column(f"{decode}\n{number}", justify="right")
    table.add_column("loss\nms/step", justify="right")
    table.add_column("training\nimages/s", justify="right")
    for row in rows:
        cells = [
            f"{100 * value:.1f}" if score else "-"
            for score in (row.whole, row.local)
            for value in ((score.at_02, score.at_05, score.auc) if score else (0.0, 0.0, 0.0))
        ]
        table.add_row(row.name, *cells, f"{row.loss_ms:.1f}", f"{row.images_per_second:.0f}")
    show_table(console, table)
    console.print(
        f"whole, local: soft-argmax over the map or {LOCAL_WINDOW}x{LOCAL_WINDOW} around its peak; "
        "the teacher's column is its peak (DARK)"
    )


def _numbers(rows: list[Row], seed: int, seconds: float) -> dict[str, Any]:
    def score(pck: Pck | None) -> dict[str, float] | None:
        return None if pck is None else {"pck@0.2": pck.at_02, "pck@0.5": pck.at_05, "auc": pck.auc}

    return {
        "note": "generated data, one seed",
        "seed": seed,
        "seconds": seconds,
        "runs": {
            row.name: {
                "whole": score(row.whole),
                "local": score(row.local),
                "loss_ms": row.loss_ms,
                "images_per_second": row.images_per_second,
            }
            for row in rows
        },
    }
