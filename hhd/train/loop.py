"""The training loop, all of it: data, network, teacher, loss, steps, evaluation, checkpoint.

It is meant to be read, and copied where a run needs something else. One process, one device.
"""

from __future__ import annotations

import importlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from hhd.data.augment import Augmentation
from hhd.data.dataset import (
    CropDataset,
    StepBatches,
    Transform,
    make_loader,
    normalise_images,
    read_batches,
)
from hhd.data.mpii import read_mpii_truth
from hhd.data.read import read_annotations
from hhd.data.skeleton import Skeleton, load_skeleton
from hhd.evaluation.coco_ap import ApRules
from hhd.evaluation.decode import Decoder
from hhd.evaluation.report import Report, check_evaluation, evaluate
from hhd.models import build_model
from hhd.models.base import PoseModel, channels_last, start_from_zero_maps
from hhd.models.checkpoints import read_weights, start_from
from hhd.models.files import ModelCard, save_model
from hhd.teach.maps import TeacherMaps
from hhd.teach.teachers import Teacher, label_teacher, model_teacher, stored_teacher
from hhd.train.checkpoint import (
    JsonLog,
    file_digest,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from hhd.train.losses import DistillationLoss, build_loss
from hhd.train.progress import step_progress
from hhd.train.recipe import Recipe
from hhd.train.schedule import build_optimiser, build_schedule


@dataclass(frozen=True)
class Trained:
    """What a run leaves: the network, how to decode it, its data and its accuracy there."""

    model: PoseModel
    decoder: Decoder
    val: CropDataset
    report: Report
    images_per_second: float


def train(recipe: Recipe, console: Console | None = None) -> Trained:
    """Run a recipe, going on from the checkpoint in its folder ``output`` if there is one."""
    console = console or Console()
    out = Path(recipe.output)
    device = choose_device(recipe.device)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)

    # The network and what it is trained on.
    skeleton = load_skeleton(recipe.skeleton)
    model = build_model(recipe.model, len(skeleton), recipe.pretrained, recipe.deconv)
    model.check_input_size(recipe.input_size)
    if recipe.joint_weights and not skeleton.joint_weights:
        raise ValueError(f"joint_weights is true, but skeleton {skeleton.name} has none")
    if recipe.task == "heatmap":
        start_from_zero_maps(model)
    if recipe.weights is not None:
        afresh = start_from(model, read_weights(Path(recipe.weights)), recipe.model)
        if afresh:
            console.print(f"not from {recipe.weights}: {', '.join(afresh)}", highlight=False)
    model = channels_last(model.to(device))
    size = recipe.input_size[0] // model.stride, recipe.input_size[1] // model.stride
    train_data, val_data = build_data(recipe, skeleton, model.stride, console)
    annotations = recipe.data_path(recipe.val_annotations) if recipe.coco_ap else None
    heads = (
        None if recipe.mpii_truth is None else read_mpii_truth(recipe.data_path(recipe.mpii_truth))
    )
    missing_area: Literal["refuse", "box"] = "box" if recipe.area_of_box else "refuse"
    # Before the first step what would else fail after an epoch.
    check_evaluation(val_data, annotations, missing_area, heads)
    teacher = build_teacher(recipe, skeleton, size, device)
    criterion = build_loss(recipe, size)
    card = ModelCard(
        recipe.model,
        recipe.task,
        recipe.input_size,
        recipe.padding,
        recipe.beta,
        recipe.sigma,
        skeleton,
        recipe.decode_window if recipe.decode == "local" else None,
        recipe.flip_test,
        recipe.affine,
        recipe.heatmap_decode,
        recipe.flip_shift,
        recipe.confidence,
        recipe.deconv,
        criterion.criterion.preset if isinstance(criterion, DistillationLoss) else None,
        recipe.as_dict(),
    )
    decoder = Decoder(card)

    # Optimiser and schedule.
    per_epoch = len(StepBatches(len(train_data), recipe.batch_size, 1, recipe.seed))
    steps = per_epoch * recipe.epochs
    optimiser = build_optimiser(model.parameters(), recipe)
    schedule = build_schedule(optimiser, recipe, per_epoch)

    # Where a killed run stopped. The order of the data is a function of the seed and the step.
    checkpoint = checkpoint_path(recipe)
    inputs_of = input_files(recipe)
    inputs = {name: file_digest(path) for name, path in inputs_of.items()}
    done, hhd_weight, train_seconds = 0, recipe.distillation()[1], 0.0
    if checkpoint.is_file():
        state = load_checkpoint(checkpoint)
        check_same_run(state["recipe"], recipe, checkpoint)
        check_same_inputs(state.get("inputs", {}), inputs, recipe, checkpoint)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["rng"])
        done, hhd_weight, train_seconds = state["step"], state["hhd_weight"], state["train_seconds"]
        if isinstance(criterion, DistillationLoss):
            criterion.set_weight(hhd_weight)
        if done == steps:
            console.print(f"{out} already finished: {done} of {steps} steps", highlight=False)
        else:
            console.print(f"going on at step {done} of {steps} from {checkpoint}")
    out.mkdir(parents=True, exist_ok=True)
    log = JsonLog(out / "log.jsonl", done)
    batches = StepBatches(
        len(train_data), recipe.batch_size, recipe.epochs, recipe.seed, start=done
    )
    loader = make_loader(train_data, batches, recipe.workers)

    # By the skeleton's joints, also in mirrored crops, where left and right are exchanged (HRNet);
    # the two need not weigh the same, and in crowdpose14 they do not.
    joint_weight = torch.tensor(skeleton.joint_weights, device=device)

    def assess() -> Report:
        return evaluate(
            model,
            decoder,
            val_data,
            batch_size=recipe.batch_size,
            workers=recipe.workers,
            device=device,
            coco_annotations=annotations,
            ap_rules=ApRules(recipe.score, nms=recipe.nms, nms_threshold=recipe.nms_threshold),
            missing_area=missing_area,
            mpii_truth=heads,
        )

    report = None
    model.train()
    with step_progress(console, out.name, steps, done) as show:
        began = time.perf_counter()
        for step, batch in enumerate(read_batches(loader), start=done + 1):
            waited = time.perf_counter() - began
            batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
            if recipe.joint_weights:
                batch["joint_weight"] = joint_weight
            images = normalise_images(batch["image"]).contiguous(memory_format=torch.channels_last)
            taught = None if teacher is None else teacher(batch, images)
            logits = model(images)
            if step == 1 and recipe.match_gradients and isinstance(criterion, DistillationLoss):
                hhd_weight = criterion.match_gradients(logits, batch, taught)
                console.print(
                    f"distillation weight {hhd_weight:.4g} from the first step's gradient norms"
                )

            loss, terms = criterion(logits, batch, taught)
            if not torch.isfinite(loss):
                values = {name: float(term) for name, term in terms.items()}
                raise FloatingPointError(
                    f"step {step}: the loss is {loss.item()}; its terms are {values}"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if recipe.clip_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimiser.step()
            schedule.step()

            seconds = time.perf_counter() - began
            train_seconds += seconds
            if step % recipe.log_every == 0 or step == 1:
                numbers = {
                    "loss": float(loss.detach()),
                    **{name: float(term) for name, term in terms.items()},
                }
                lr = optimiser.param_groups[0]["lr"]
                log.write(
                    step=step,
                    **numbers,
                    lr=lr,
                    seconds=round(seconds, 4),
                    data_seconds=round(waited, 4),
                )
                show(step, "  ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
            epoch, within = divmod(step, per_epoch)
            if within == 0 and (epoch % recipe.evaluate_every == 0 or step == steps):
                report = assess()
                log.write(step=step, epoch=epoch, **report.as_dict())
                console.print(
                    f"{out.name}  epoch {epoch}/{recipe.epochs}  {report.summary()}",
                    highlight=False,
                )
            if within == 0 or step % recipe.checkpoint_every == 0:
                state = {
                    "recipe": recipe.as_dict(),
                    "inputs": inputs,
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "rng": torch.get_rng_state(),
                    "step": step,
                    "hhd_weight": hhd_weight,
                    "train_seconds": train_seconds,
                }
                save_checkpoint(checkpoint, state)
            began = time.perf_counter()

    if report is None:
        report = assess()
    save_model(out / "model.safetensors", model, card)
    write_atomically(out / "metrics.json", json.dumps(report.as_dict(), indent=1).encode())
    return Trained(
        model.eval(), decoder, val_data, report, steps * recipe.batch_size / train_seconds
    )


def choose_device(name: str) -> torch.device:
    """``auto`` is the GPU if there is one."""
    gpus = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    if name not in ("cpu", "cuda") and not re.fullmatch(r"cuda:\d+", name):
        raise ValueError(f"device is {name!r}; it takes auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise ValueError(f"device is {name!r}, but torch sees {gpus} CUDA GPUs")
    return device


def build_data(
    recipe: Recipe, skeleton: Skeleton, stride: int, console: Console
) -> tuple[CropDataset, CropDataset]:
    """Training crops, augmented, and evaluation crops, which are never filtered or augmented."""
    train_data = build_train_data(recipe, skeleton, stride, console)
    files = input_files(recipe)
    val_persons = read_annotations(
        files["val_annotations"],
        recipe.data_path(recipe.val_images),
        skeleton,
        boxes=recipe.boxes,
        detections=files.get("val_detections"),
        score_threshold=recipe.detection_threshold,
    )
    console.print(
        f"{len(train_data)} persons to train on, {len(val_persons)} to evaluate on",
        highlight=False,
    )
    return train_data, CropDataset(val_persons, skeleton, **_geometry(recipe, stride))


def build_train_data(
    recipe: Recipe, skeleton: Skeleton, stride: int, console: Console
) -> CropDataset:
    """The training crops alone, for which no file of the evaluation need be there."""
    files = input_files(recipe)
    train_persons = read_annotations(
        files["train_annotations"],
        recipe.data_path(recipe.train_images),
        skeleton,
        boxes=recipe.boxes,
    )
    if recipe.drop_swapped_labels:
        swapped = sum(person.swapped for person in train_persons)
        train_persons = [person for person in train_persons if not person.swapped]
        console.print(f"{swapped} training persons with swapped labels left out", highlight=False)
    maps = None
    if recipe.teacher_maps is not None:
        maps = TeacherMaps(
            files["teacher_maps"],
            files["teacher_ids"],
            skeleton,
            input_size=recipe.input_size,
            stride=stride,
            activation=recipe.teacher_activation,
            joint_map=recipe.teacher_joint_map,
            grid=recipe.teacher_grid,
        )
        maps.check_covers(person.annotation_id for person in train_persons)
    augmentation = Augmentation(
        recipe.scale_factor,
        recipe.rotation_factor,
        recipe.rotation_probability,
        recipe.flip_probability,
        recipe.half_body_probability,
        shift_probability=recipe.shift_probability,
        rule=recipe.augmentation,
    )
    return CropDataset(
        train_persons,
        skeleton,
        **_geometry(recipe, stride),
        augmentation=augmentation,
        transform=None if recipe.transform is None else load_transform(recipe.transform),
        teacher_maps=maps,
        seed=recipe.seed,
    )


def _geometry(recipe: Recipe, stride: int) -> dict[str, Any]:
    return {
        "input_size": recipe.input_size,
        "stride": stride,
        "padding": recipe.padding,
        "affine": recipe.affine,
    }


def load_transform(name: str) -> Transform:
    """The user's function called ``package.module.function``."""
    module, _, function = name.rpartition(".")
    try:
        found: Transform = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"transform is {name!r}, which cannot be imported: {error}") from error
    if not callable(found):
        raise ValueError(f"transform is {name!r}, which is no function")
    return found


def build_teacher(
    recipe: Recipe, skeleton: Skeleton, size: tuple[int, int], device: torch.device
) -> Teacher | None:
    """The teacher that the recipe names, if any."""
    if recipe.teacher_maps is not None:
        return stored_teacher
    if recipe.teacher is None:
        return None
    if recipe.teacher == "labels":
        return label_teacher(size, recipe.sigma)
    return model_teacher(
        Path(recipe.teacher),
        skeleton,
        input_size=recipe.input_size,
        affine=recipe.affine,
        size=size,
        joint_map=recipe.teacher_joint_map,
        device=device,
        network=recipe.teacher_model,
    )


def input_files(recipe: Recipe) -> dict[str, Path]:
    """The files whose content the result depends on, by field, but for the pictures."""
    files = {
        "train_annotations": recipe.data_path(recipe.train_annotations),
        "val_annotations": recipe.data_path(recipe.val_annotations),
    }
    for field in ("val_detections", "mpii_truth"):
        name = getattr(recipe, field)
        if name is not None:
            files[field] = recipe.data_path(name)
    if recipe.weights is not None:
        files["weights"] = Path(recipe.weights)
    if recipe.teacher is not None and recipe.teacher != "labels":
        files["teacher"] = Path(recipe.teacher)
    if recipe.teacher_maps is not None:
        files["teacher_maps"] = maps = recipe.data_path(recipe.teacher_maps)
        ids = recipe.teacher_ids
        files["teacher_ids"] = maps.with_suffix(".json") if ids is None else recipe.data_path(ids)
    return files


def checkpoint_path(recipe: Recipe) -> Path:
    """Where a run keeps its state."""
    return Path(recipe.output) / "checkpoint.pt"


def check_same_run(saved: dict[str, Any], recipe: Recipe, path: Path) -> None:
    """A checkpoint goes on only under the recipe that began it."""
    free = {"output", "device", "workers", "threads", "checkpoint_every", "log_every", "data_root"}
    now, usual = recipe.as_dict(), Recipe().as_dict()
    # A field that came after the run began had its default then.
    before = {key: saved.get(key, usual[key]) for key in now}
    changed = sorted(key for key in now if key not in free and before[key] != now[key])
    if changed:
        raise ValueError(
            f"{path} belongs to a run with other values of {', '.join(changed)}: "
            "choose another output"
        )


def check_same_inputs(
    saved: dict[str, str], inputs: dict[str, str], recipe: Recipe, path: Path
) -> None:
    """A checkpoint goes on only with the files that began it; older ones do not know theirs."""
    files = input_files(recipe)
    changed = [str(files[name]) for name in inputs if saved.get(name, inputs[name]) != inputs[name]]
    if changed:
        raise ValueError(
            f"{path} belongs to a run with another content of {', '.join(changed)}: "
            "choose another output"
        )
