"""Steps, learning rate, seed."""

from dataclasses import dataclass
from typing import Literal

from hhd.checks import check_from_zero, check_positive, check_share


@dataclass(frozen=True)
class OptimiserFields:
    """Steps, learning rate, seed."""

    epochs: int = 8
    """Passes over the training data."""
    batch_size: int = 32
    """Crops a step, of all processes together."""
    accumulate: int = 1
    """Parts that a process takes its crops of a step in, one after the other, to save memory."""
    optimiser: Literal["adamw", "adam"] = "adamw"
    """Adam adds weight_decay to the gradient, AdamW to the step."""
    lr: float = 1e-3
    """Peak learning rate."""
    lr_batch: int | None = None
    """The batch_size that lr is for; another scales it in proportion (default: as it is)."""
    weight_decay: float = 0.01
    """The optimiser's weight decay."""
    schedule: Literal["one_cycle", "multistep"] = "one_cycle"
    """One cycle, or a linear warm-up and falls at milestones (HRNet, mmpose)."""
    warmup: float = 0.3
    """One cycle: share of the steps in which the learning rate rises."""
    warmup_steps: int = 0
    """Multistep: steps in which the learning rate rises from warmup_factor of its peak."""
    warmup_factor: float = 0.001
    """Multistep: where the learning rate starts, a share of its peak."""
    milestones: tuple[int, ...] = (170, 200)
    """Multistep: after these epochs the learning rate is multiplied by lr_gamma."""
    lr_gamma: float = 0.1
    """Multistep: factor at a milestone."""
    clip_norm: float = 0.0
    """Clip the gradient's norm to this; 0 does not."""
    ema: float = 0.0
    """Decay a step of the moving average of the weights that is evaluated and kept; 0 has none."""
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    """Of the networks' arithmetic, by torch.autocast; auto measures which is fastest."""
    compile: bool = False
    """Compile the network with torch.compile."""
    sync_norm: bool = True
    """With several processes, batch norms see all crops of the step instead of their process's."""
    seed: int = 0
    """Seed of the initial weights, the order of the data and the augmentation."""

    def check(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "lr", "lr_gamma"):
            check_positive(name, getattr(self, name))
        if self.lr_batch is not None:
            check_positive("lr_batch", self.lr_batch)
        for name in ("weight_decay", "warmup_steps", "clip_norm", "seed"):
            check_from_zero(name, getattr(self, name))
        check_share("warmup_factor", self.warmup_factor)
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it takes a share between 0 and 1")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema is {self.ema}; it takes a share from 0 below 1")
        if list(self.milestones) != sorted(self.milestones) or min(self.milestones, default=1) < 1:
            raise ValueError(f"milestones is {list(self.milestones)}; it takes rising epochs")
