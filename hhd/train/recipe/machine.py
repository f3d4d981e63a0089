"""Where a run takes place and what it writes; none of it changes the result."""

from dataclasses import dataclass

from hhd.checks import check_from_zero, check_positive


@dataclass(frozen=True)
class MachineFields:
    """Where a run takes place and what it writes; none of it changes the result."""

    workers: int = 1
    """Processes that load data."""
    threads: int = 0
    """Torch threads; 0 leaves torch's choice."""
    device: str = "auto"
    """cpu, cuda or auto."""
    checkpoint_every: int = 50
    """Steps between checkpoints; the end of an epoch is one too."""
    log_every: int = 10
    """Steps between lines of log.jsonl."""
    tensorboard: bool = False
    """Write the log for TensorBoard too, into its folder tensorboard (extra
    hhd-kernels[tensorboard])."""
    output: str = "runs/default"
    """Folder for the log, the checkpoint and the model."""

    def check(self) -> None:
        for name in ("checkpoint_every", "log_every"):
            check_positive(name, getattr(self, name))
        for name in ("workers", "threads"):
            check_from_zero(name, getattr(self, name))
