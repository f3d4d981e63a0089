"""What a run says while it goes on: a bar, log.jsonl, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hhd.console import say
from hhd.evaluation.report import Report
from hhd.extras import import_extra
from hhd.progress import progress
from hhd.train.checkpoint import JsonLog
from hhd.train.clock import LAPS, Clock
from hhd.train.losses import Terms
from hhd.train.run import Run

# Of a step in the mean that the bar shows.
SHARE = 0.1


class RunLog:
    """The log of a run, of which the first process alone writes."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.writes = run.processes.first
        self.lines = JsonLog(run.out / "log.jsonl", run.step) if self.writes else None
        self.board = self._board() if self.writes and run.recipe.tensorboard else None
        self.step_seconds: float | None = None
        self.shares = dict.fromkeys(LAPS, 0.0)
        self.losses = ""

    def _board(self) -> Any:
        import_extra("tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.run.out / "tensorboard"), purge_step=self.run.step + 1)

    def evaluated(self, step: int) -> bool:
        """Whether the evaluation after ``step`` is in the log; the same for all processes."""
        return bool(
            self.run.processes.gather(self.lines is not None and self.lines.evaluated(step))[0]
        )

    def is_due(self, step: int) -> bool:
        """Whether ``step`` gets a line."""
        return step % self.run.recipe.log_every == 0 or step == 1

    def step(self, run: Run, terms: Terms, clock: Clock) -> str:
        """Write what is due after a step; the text beside the bar."""
        self._measure(clock)
        rate = sum(run.sizes) / (self.step_seconds or clock.total)
        shares = "  ".join(f"{lap} {share:.0%}" for lap, share in self.shares.items() if share)
        text = f"{rate:.0f} images/s  {shares}"
        if not self.is_due(run.step):
            return text
        world = run.processes.world
        numbers = {name: float(run.processes.sum(term)) / world for name, term in terms.items()}
        values = {
            **numbers,
            "lr": run.optimiser.param_groups[0]["lr"],
            "seconds": round(clock.total, 4),
            **{f"{name}_seconds": round(s, 4) for name, s in clock.seconds.items()},
            "images_per_second": round(rate, 1),
        }
        self._write(run.step, values)
        self.losses = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        return text

    def evaluation(self, run: Run, report: Report) -> None:
        """Write an evaluation, once."""
        epoch = run.step // run.steps_per_epoch
        if self.lines is None or self.lines.evaluated(run.step):
            return
        self.lines.write(step=run.step, epoch=epoch, **report.as_dict())
        if self.board is not None and report.pck is not None:
            for name in ("at_02", "at_05", "auc"):
                self.board.add_scalar(f"pck/{name}", getattr(report.pck, name), run.step)
            self.board.flush()
        summary = report.summary()
        say(run.console, f"{run.out.name}  epoch {epoch}/{run.recipe.epochs}  {summary}")

    @contextmanager
    def progress(self) -> Iterator[Callable[[str], None]]:
        """A bar on a terminal that moves at every step, plain lines elsewhere."""
        run = self.run
        with progress(run.console, run.out.name, run.steps, run.step) as show:
            yield lambda text: show(run.step, f"{text}  {self.losses}")

    def _measure(self, clock: Clock) -> None:
        """A step's time and shares into the means."""
        weight = 1.0 if self.step_seconds is None else SHARE
        self.step_seconds = self.step_seconds or 0.0
        self.step_seconds += weight * (clock.total - self.step_seconds)
        for lap, seconds in clock.seconds.items():
            self.shares[lap] += weight * (seconds / clock.total - self.shares[lap])

    def _write(self, step: int, values: dict[str, float]) -> None:
        if self.lines is not None:
            self.lines.write(step=step, **values)
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"train/{name}", value, step)
