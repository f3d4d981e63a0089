"""The training loop: data, teacher, forward, loss, backward, step.

It is meant to be read, and copied where a run needs something else. What it works on is built in
``setup.py``; checkpoints are ``state.py``, the evaluation is ``assess.py``.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from rich.console import Console
from torch import Tensor

from hhd.data.dataset import CropDataset, normalise_images
from hhd.data.loading import make_loader, read_batches
from hhd.evaluation.decode import Decoder
from hhd.evaluation.report import Report
from hhd.files import write_json
from hhd.models.base import PoseModel
from hhd.models.files import save_model
from hhd.train.clock import Clock
from hhd.train.environment import environment
from hhd.train.log import RunLog
from hhd.train.losses import Terms
from hhd.train.ownership import Stop, owned
from hhd.train.precision import autocast
from hhd.train.processes import joined_processes
from hhd.train.recipe import Recipe
from hhd.train.run import Run
from hhd.train.setup import set_precision, set_up
from hhd.train.state import resume, save
from hhd.train.step_parts import (
    check_loss,
    exchange_later,
    leave_processes,
    maps_of,
    step_totals,
)


@dataclass(frozen=True)
class Trained:
    """What a run leaves: the network, how to decode it, its data and its accuracy there."""

    model: PoseModel
    decoder: Decoder
    val: CropDataset
    report: Report
    images_per_second: float


def train(recipe: Recipe, console: Console | None = None, stop: Stop | None = None) -> Trained:
    """Run a recipe, going on from the checkpoint in its folder ``output`` if there is one.

    Under torchrun each process takes its share of every step, and the first one writes.
    """
    with joined_processes(recipe.device) as processes:
        console = console or Console()
        run = set_up(recipe, console if processes.first else Console(quiet=True), processes)
        with owned(run.out) if processes.first else nullcontext():
            try:
                return train_run(run, stop or Stop())
            finally:
                leave_processes(run)


def train_run(run: Run, stop: Stop) -> Trained:
    """Make the steps that are left, evaluate, and write the model."""
    if run.processes.first:
        write_json(run.out / "environment.json", environment(run.processes))
    inputs = resume(run)
    log = RunLog(run)
    report = None
    if run.step and run.to_evaluate(run.step) and not log.evaluated(run.step):
        report = assess(run, log, stop)
    loader = make_loader(run.data, run.batches(), run.recipe.workers)
    clock = Clock(run.processes.device)
    run.model.train()
    with log.progress() as show:
        for batch in read_batches(loader):
            clock.lap("data")
            terms = train_step(run, batch, clock)
            run.step += 1
            run.seconds += clock.total
            show(log.step(run, terms, clock))
            ending = bool(run.processes.sum(torch.tensor(float(stop.requested))))
            if run.to_save(run.step) or ending:
                save(run, inputs)
                if ending:
                    stop.end()
            if run.to_evaluate(run.step):
                report = assess(run, log, stop)
            clock.begin(exact=log.is_due(run.step + 1))
    if report is None:
        report = assess(run, log, stop)
    if run.processes.first:
        save_model(run.out / "model.safetensors", run.result, run.assessment.decoder.card)
        write_json(run.out / "metrics.json", report.as_dict())
    run.processes.wait()
    images_per_second = run.step * sum(run.sizes) / run.seconds
    decoder, data = run.assessment.decoder, run.assessment.data
    return Trained(run.result.eval(), decoder, data, report, images_per_second)


def train_step(run: Run, batch: dict[str, Tensor], clock: Clock) -> Terms:
    """One step of the optimiser on this process's crops; the loss and its terms, to log."""
    recipe, device = run.recipe, run.processes.device
    batch = {key: value.to(device, non_blocking=True) for key, value in batch.items()}
    if not run.precision:
        set_precision(run, batch["image"][:: recipe.accumulate])
    if run.joint_weights is not None:
        batch["joint_weight"] = run.joint_weights
    images = normalise_images(batch["image"]).contiguous(memory_format=torch.channels_last)
    taught = None if run.teacher is None else run.teacher(batch, images)
    prepared = run.criterion.prepare(batch, taught)
    totals = step_totals(run, prepared)
    clock.lap("teacher")

    run.optimiser.zero_grad(set_to_none=True)
    logged: list[Terms] = []
    for part in range(recipe.accumulate):
        mine = {key: value[part :: recipe.accumulate] for key, value in prepared.items()}
        last = part == recipe.accumulate - 1
        with nullcontext() if last else exchange_later(run):
            with autocast(device, run.precision):
                logits = maps_of(run, images[part :: recipe.accumulate])
            clock.lap("forward")
            loss, terms = run.criterion(logits, mine, totals)
            check_loss(run, loss, terms)
            clock.lap("loss")
            run.scaler.scale(loss / recipe.accumulate).backward()
            clock.lap("backward")
        logged.append({"loss": loss.detach(), **terms})

    if recipe.clip_norm:
        run.scaler.unscale_(run.optimiser)
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip_norm)
    run.scaler.step(run.optimiser)
    run.scaler.update()
    run.schedule.step()
    if run.average is not None:
        run.average.update_parameters(run.model)
    clock.lap("optimiser")
    return {name: torch.stack([part[name] for part in logged]).mean() for name in logged[0]}


def assess(run: Run, log: RunLog, stop: Stop) -> Report:
    """Evaluate and log it; broken off, it is made anew when the run goes on."""
    report = run.assessment(run.result, run.processes, stop)
    log.evaluation(run, report)
    return report
