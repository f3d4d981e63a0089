"""A run built from its recipe."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import hhd_kernels as hk
from hhd.console import say
from hhd.data.dataset import normalise_images
from hhd.data.loading import StepBatches
from hhd.data.skeleton import Skeleton, load_skeleton
from hhd.models import build_model
from hhd.models.base import PoseModel, channels_last
from hhd.models.checkpoints import read_weights, start_from
from hhd.models.files import ModelCard
from hhd.train.assess import build_assessment
from hhd.train.average import MovingAverage
from hhd.train.data import build_data
from hhd.train.losses import DistillationLoss, StepLoss, build_loss
from hhd.train.norms import synchronised
from hhd.train.precision import build_scaler, choose_precision
from hhd.train.processes import Processes
from hhd.train.recipe import Recipe
from hhd.train.run import Run
from hhd.train.schedule import build_optimiser, build_schedule, step_rate
from hhd.train.teacher import build_teacher


def set_up(recipe: Recipe, console: Console, processes: Processes) -> Run:
    """A run that has not made a step; what would fail later fails here."""
    device = processes.device
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    skeleton = load_skeleton(recipe.skeleton)
    model = build_network(recipe, skeleton, processes, console)
    size = recipe.input_size[0] // model.stride, recipe.input_size[1] // model.stride
    criterion = build_loss(recipe, size)
    data, val_data = build_data(recipe, skeleton, model.stride, console)
    sizes = [recipe.batch_size, *recipe.further_batch]
    lengths = [len(part) for part in data.parts]
    steps_per_epoch = StepBatches(lengths, sizes, 1, recipe.seed, world=processes.world).per_epoch
    check_parts(recipe, sizes, processes.world)
    say_scale(recipe, sizes, processes, console)
    optimiser = build_optimiser(model.parameters(), recipe)
    if processes.world > 1:
        # Dropout draws for each process by itself.
        torch.manual_seed(recipe.seed + processes.rank)
    return Run(
        recipe=recipe,
        console=console,
        processes=processes,
        skeleton=skeleton,
        model=model,
        network=in_processes(model, recipe, processes),
        average=build_average(model, recipe),
        teacher=build_teacher(recipe, skeleton, size, criterion, device),
        criterion=criterion,
        optimiser=optimiser,
        scaler=build_scaler("float32", device),
        schedule=build_schedule(optimiser, recipe, steps_per_epoch),
        data=data,
        sizes=sizes,
        steps_per_epoch=steps_per_epoch,
        assessment=build_assessment(
            recipe, skeleton, build_card(recipe, skeleton, criterion), val_data
        ),
        joint_weights=(
            torch.tensor(skeleton.joint_weights, device=device) if recipe.joint_weights else None
        ),
    )


def build_network(
    recipe: Recipe, skeleton: Skeleton, processes: Processes, console: Console
) -> PoseModel:
    """The network with the weights that it starts from, on its device."""
    model = build_model(recipe.model, len(skeleton), recipe.pretrained, recipe.deconv)
    model.check_input_size(recipe.input_size)
    if recipe.joint_weights and not skeleton.joint_weights:
        raise ValueError(f"joint_weights is true, but skeleton {skeleton.name} has none")
    if recipe.start == "zero":
        hk.start_from_zero_maps(model.last_convolution())
    if recipe.weights is not None:
        afresh = start_from(model, read_weights(Path(recipe.weights)), recipe.model)
        say(console, f"not from {recipe.weights}: {', '.join(afresh)}" if afresh else "")
    if processes.world > 1 and recipe.sync_norm:
        synchronised(model, processes.device)
    return channels_last(model.to(processes.device))


def in_processes(model: PoseModel, recipe: Recipe, processes: Processes) -> nn.Module:
    """The network as a step calls it."""
    network: nn.Module = model
    if recipe.compile:
        compiled: nn.Module = torch.compile(model)  # type: ignore[assignment]
        network = compiled
    if processes.world > 1:
        # Gradients of 1 x 1 weights have the strides of either layout, which is said each time.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        network = DistributedDataParallel(network)
    return network


def build_average(model: PoseModel, recipe: Recipe) -> MovingAverage | None:
    """The moving average of weights and batch norms' statistics, if the recipe has one."""
    return MovingAverage(model, recipe.ema) if recipe.ema else None


def build_card(recipe: Recipe, skeleton: Skeleton, criterion: StepLoss) -> ModelCard:
    """What the network's file will say of it."""
    return ModelCard(
        recipe.model,
        recipe.task,
        recipe.input_size,
        recipe.padding,
        recipe.beta if recipe.decode_beta is None else recipe.decode_beta,
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


def check_parts(recipe: Recipe, sizes: list[int], world: int) -> None:
    """``ValueError`` unless every process can take its crops in as many parts as asked for."""
    if any(size // world % recipe.accumulate for size in sizes):
        raise ValueError(
            f"accumulate is {recipe.accumulate}, but a process has "
            f"{' and '.join(str(size // world) for size in sizes)} crops a step; it takes a divisor"
        )


def say_scale(recipe: Recipe, sizes: list[int], processes: Processes, console: Console) -> None:
    """How a step's crops are shared and what that makes of the learning rate, if anything."""
    crops, share = " + ".join(map(str, sizes)), sum(sizes) // (processes.world * recipe.accumulate)
    parts = []
    if processes.world > 1:
        parts.append(f"{processes.world} processes")
    if recipe.accumulate > 1:
        parts.append(f"{recipe.accumulate} parts, one after the other")
    if parts:
        say(console, f"{crops} crops a step, {share} at a time: {' of '.join(parts)}")
    if recipe.lr_batch is not None and recipe.lr_batch != recipe.batch_size:
        say(
            console,
            f"lr {step_rate(recipe):.3g}: {recipe.lr:.3g} is for {recipe.lr_batch} crops a step, "
            f"and there are {recipe.batch_size}",
        )


def set_precision(run: Run, images: Tensor) -> None:
    """Choose the precision of the run's steps, by a measurement if it says auto."""
    wanted = run.recipe.precision
    if wanted == "auto":
        normal = normalise_images(images).contiguous(memory_format=torch.channels_last)
        # One process decides for all.
        found = choose_precision(run.model, normal) if run.processes.first else None
        chosen = run.processes.gather(found)[0]
        assert chosen is not None
        run.precision, sentence = chosen
        say(run.console, sentence)
    else:
        run.precision = wanted
    run.scaler = build_scaler(run.precision, run.processes.device)
