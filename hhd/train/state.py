"""The state of a run: enough of it in a checkpoint to go on to the same result."""

from __future__ import annotations

from typing import Any

import torch

from hhd.console import say
from hhd.models.digest import first_not_finite
from hhd.train.checkpoint import load_checkpoint, save_checkpoint
from hhd.train.precision import build_scaler
from hhd.train.resume import check_same_inputs, check_same_run, checkpoint_path, input_digests
from hhd.train.run import Run
from hhd.train.schedule import catch_up


def save(run: Run, inputs: dict[str, str]) -> None:
    """Write the checkpoint; ``FloatingPointError`` names a weight that is not finite, before it
    replaces good ones."""
    name = first_not_finite(run.model.state_dict())
    if name is not None:
        raise FloatingPointError(
            f"step {run.step}: {name} holds numbers that are not finite, so the run has diverged; "
            "its last checkpoint is from before that, and a lower lr or clip_norm holds it together"
        )
    generators = run.processes.gather(torch.get_rng_state())
    if not run.processes.first:
        return
    state = {
        "recipe": run.recipe.as_dict(),
        "inputs": inputs,
        "model": run.model.state_dict(),
        "average": None if run.average is None else run.average.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "schedule": run.schedule.state_dict(),
        "scaler": run.scaler.state_dict(),
        "rng": generators,
        "step": run.step,
        "precision": run.precision,
        "train_seconds": run.seconds,
    }
    save_checkpoint(checkpoint_path(run.recipe), state)


def resume(run: Run) -> dict[str, str]:
    """Go on from the checkpoint in the run's folder, if there is one; the digests of its inputs."""
    recipe, path = run.recipe, checkpoint_path(run.recipe)
    inputs = input_digests(recipe)
    if not path.is_file():
        return inputs
    state = load_checkpoint(path)
    began_with = check_same_run(state, recipe, run.steps, path)
    check_same_inputs(state["inputs"], inputs, recipe, path)
    _restore(run, state)
    if began_with == recipe.epochs:
        run.schedule.load_state_dict(state["schedule"])
    else:
        lr = catch_up(run.schedule, run.optimiser, recipe, run.step)
        say(
            run.console,
            f"{run.out} goes on from {began_with} to {recipe.epochs} epochs, by the "
            f"{recipe.schedule} schedule of all {recipe.epochs}: the next learning rate is "
            f"{lr:.3g}",
        )
    if run.step == run.steps:
        say(run.console, f"{run.out} already finished: {run.step} of {run.steps} steps")
    else:
        say(run.console, f"going on at step {run.step} of {run.steps} from {path}")
    return inputs


def _restore(run: Run, state: dict[str, Any]) -> None:
    run.model.load_state_dict(state["model"])
    run.optimiser.load_state_dict(state["optimiser"])
    if run.average is not None:
        run.average.load_state_dict(state["average"])
    run.scaler = build_scaler(state["precision"], run.processes.device)
    run.scaler.load_state_dict(state["scaler"])
    run.step, run.seconds, run.precision = state["step"], state["train_seconds"], state["precision"]
    if len(state["rng"]) == run.processes.world:
        torch.set_rng_state(state["rng"][run.processes.rank])
    else:
        say(
            run.console,
            f"the checkpoint is of {len(state['rng'])} processes, and there are "
            f"{run.processes.world}: dropout, if there is any, draws anew",
        )
