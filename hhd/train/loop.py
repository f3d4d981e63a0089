"""The training loop, all of it: data, network, teacher, loss, steps, evaluation, checkpoint.

It is meant to be read, and copied where a run needs something else. One process, one device.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

import hhd_kernels as hk
from hhd.console import say
from hhd.data.coco import read_coco
from hhd.data.dataset import CropDataset, StepBatches, make_loader, normalise_images, read_batches
from hhd.data.mpii import read_mpii_truth
from hhd.data.skeleton import Skeleton, load_skeleton
from hhd.evaluation.coco_ap import ApRules, read_truth
from hhd.evaluation.decode import Decoder
from hhd.evaluation.report import Report, check_evaluation, evaluate
from hhd.files import file_digest, write_json
from hhd.models import build_model
from hhd.models.base import PoseModel, channels_last
from hhd.models.checkpoints import read_weights, start_from
from hhd.models.digest import first_not_finite
from hhd.models.files import ModelCard, save_model
from hhd.teach.teachers import Teacher, label_teacher, model_teacher, stored_teacher
from hhd.train.checkpoint import JsonLog, load_checkpoint, save_checkpoint
from hhd.train.data import build_data
from hhd.train.devices import choose_device
from hhd.train.losses import DistillationLoss, build_loss
from hhd.train.ownership import Stop, owned, refuse_several_processes
from hhd.train.progress import step_progress
from hhd.train.recipe import Recipe
from hhd.train.resume import check_same_inputs, check_same_run, checkpoint_path, input_files
from hhd.train.schedule import build_optimiser, build_schedule, catch_up


@dataclass(frozen=True)
class Trained:
    """What a run leaves: the network, how to decode it, its data and its accuracy there."""

    model: PoseModel
    decoder: Decoder
    val: CropDataset
    report: Report
    images_per_second: float


def train(recipe: Recipe, console: Console | None = None, stop: Stop | None = None) -> Trained:
    """Run a recipe, going on from the checkpoint in its folder ``output`` if there is one."""
    console, stop = console or Console(), stop or Stop()
    refuse_several_processes()
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
    hk.start_from_zero_maps(model.last_convolution())
    if recipe.weights is not None:
        afresh = start_from(model, read_weights(Path(recipe.weights)), recipe.model)
        say(console, f"not from {recipe.weights}: {', '.join(afresh)}" if afresh else "")
    model = channels_last(model.to(device))
    size = recipe.input_size[0] // model.stride, recipe.input_size[1] // model.stride
    train_data, val_data = build_data(recipe, skeleton, model.stride, console)
    truth = None
    if recipe.coco_ap:
        annotations = read_coco(recipe.data_path(recipe.val_annotations), skeleton, recipe.category)
        truth = read_truth(annotations, "box" if recipe.area_of_box else "refuse")
    heads = (
        None if recipe.mpii_truth is None else read_mpii_truth(recipe.data_path(recipe.mpii_truth))
    )
    # Before the first step what would else fail after an epoch.
    check_evaluation(val_data, skeleton, truth, heads)
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
    inputs = {name: file_digest(path) for name, path in input_files(recipe).items()}
    checkpoint = checkpoint_path(recipe)

    def assess(step: int) -> Report:
        """Evaluate and log it; broken off, it is made anew when the run goes on."""
        with stop.at_once():
            report = evaluate(
                model,
                decoder,
                val_data,
                batch_size=recipe.batch_size,
                workers=recipe.workers,
                device=device,
                truth=truth,
                ap_rules=ApRules(recipe.score, nms=recipe.nms, nms_threshold=recipe.nms_threshold),
                mpii_truth=heads,
            )
        epoch = step // per_epoch
        if not log.evaluated(step):
            log.write(step=step, epoch=epoch, **report.as_dict())
            say(console, f"{out.name}  epoch {epoch}/{recipe.epochs}  {report.summary()}")
        return report

    def to_evaluate(step: int) -> bool:
        epoch, within = divmod(step, per_epoch)
        return within == 0 and (epoch % recipe.evaluate_every == 0 or step == steps)

    with owned(out):
        # Where a killed run stopped. The order of the data is a function of the seed and the step.
        done, hhd_weight, train_seconds = 0, recipe.distillation()[1], 0.0
        if checkpoint.is_file():
            state = load_checkpoint(checkpoint)
            began_with = check_same_run(state, recipe, steps, checkpoint)
            check_same_inputs(state["inputs"], inputs, recipe, checkpoint)
            model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["rng"])
            done, hhd_weight = state["step"], state["hhd_weight"]
            train_seconds = state["train_seconds"]
            if began_with == recipe.epochs:
                schedule.load_state_dict(state["schedule"])
            else:
                lr = catch_up(schedule, optimiser, recipe, done)
                say(
                    console,
                    f"{out} goes on from {began_with} to {recipe.epochs} epochs, by the "
                    f"{recipe.schedule} schedule of all {recipe.epochs}: the next learning rate is "
                    f"{lr:.3g}",
                )
            if isinstance(criterion, DistillationLoss):
                criterion.set_weight(hhd_weight)
            if done == steps:
                say(console, f"{out} already finished: {done} of {steps} steps")
            else:
                say(console, f"going on at step {done} of {steps} from {checkpoint}")
        log = JsonLog(out / "log.jsonl", done)
        batches = StepBatches(
            len(train_data), recipe.batch_size, recipe.epochs, recipe.seed, start=done
        )
        loader = make_loader(train_data, batches, recipe.workers)
        # By the skeleton's joints, also in mirrored crops, where left and right are exchanged
        # (HRNet); the two need not weigh the same, and in crowdpose14 they do not.
        joint_weight = torch.tensor(skeleton.joint_weights, device=device)
        report = None
        if done and to_evaluate(done) and not log.evaluated(done):
            report = assess(done)

        model.train()
        with step_progress(console, out.name, steps, done) as show:
            began = time.perf_counter()
            for step, batch in enumerate(read_batches(loader), start=done + 1):
                waited = time.perf_counter() - began
                batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
                if recipe.joint_weights:
                    batch["joint_weight"] = joint_weight
                images = normalise_images(batch["image"]).contiguous(
                    memory_format=torch.channels_last
                )
                taught = None if teacher is None else teacher(batch, images)
                logits = maps_of(model, images)
                if step == 1 and recipe.match_gradients and isinstance(criterion, DistillationLoss):
                    hhd_weight = criterion.match_gradients(logits, batch, taught)
                    say(
                        console,
                        f"distillation weight {hhd_weight:.4g} by the first step's gradient norms",
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
                    log.write(
                        step=step,
                        **numbers,
                        lr=optimiser.param_groups[0]["lr"],
                        seconds=round(seconds, 4),
                        data_seconds=round(waited, 4),
                    )
                    show(step, "  ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
                if step % per_epoch == 0 or step % recipe.checkpoint_every == 0 or stop.requested:
                    check_finite(model, step)
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
                    stop.check()
                if to_evaluate(step):
                    report = assess(step)
                began = time.perf_counter()

        if report is None:
            report = assess(steps)
        save_model(out / "model.safetensors", model, card)
        write_json(out / "metrics.json", report.as_dict())
    return Trained(
        model.eval(), decoder, val_data, report, steps * recipe.batch_size / train_seconds
    )


def maps_of(model: PoseModel, images: Tensor) -> Tensor:
    """``model(images)``; ``ValueError`` names the options of a batch that its norms cannot take."""
    try:
        maps: Tensor = model(images)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch_size is {len(images)} and input_size is {[*images.shape[:1:-1]]}: features of "
            "one pixel, which batch norm cannot take alone; enlarge one of the two"
        ) from error
    return maps


def check_finite(model: PoseModel, step: int) -> None:
    """``FloatingPointError`` names a weight that is not finite, before it replaces good ones."""
    name = first_not_finite(model.state_dict())
    if name is not None:
        raise FloatingPointError(
            f"step {step}: {name} holds numbers that are not finite, so the run has diverged; "
            "its last checkpoint is from before that, and a lower lr or clip_norm holds it together"
        )


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
