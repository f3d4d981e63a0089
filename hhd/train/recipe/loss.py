"""The loss of integral networks."""

from dataclasses import dataclass
from typing import Any, Literal

from hhd.checks import check_from_zero, check_positive

# Window and weight of the distillation where a recipe names none.
DISTILLATION = {"published": (8, 0.5), "kl": (7, 10.0)}
BASELINE = (7, 1.0)


@dataclass(frozen=True)
class LossFields:
    """The loss of integral networks."""

    coordinate_loss: Literal["l1", "smooth_l1"] = "l1"
    """Of integral networks: L1 in units of sigma, or mmpose's SmoothL1 on x / W, y / H (which the
    published loss always has)."""
    coordinate_weight: float = 1.0
    """Weight of the coordinate loss."""
    loss: Literal["none", "published", "kl", "js", "kd_mse", "kd_kl"] = "none"
    """Beside the coordinate loss: none; distillation by the published HHD or our windowed KL;
    baselines: DSNT's Jensen-Shannon divergence to the target map (no teacher), distillation of the
    whole map by squared error or by KL."""
    window: int | None = None
    """Side of the distillation's window in heatmap pixels (default: the loss's own, kl 7, published
    8)."""
    locate: Literal["peak", "debiased"] | None = None
    """Where the student's window lies: at its peak, or at its unbiased centre, from the whole map's
    expectation (default: the loss's own, kl peak; published as its code has it)."""
    sampling: Literal["nearest", "bilinear"] | None = None
    """Windows of whole cells, or read between them (default: the loss's own, nearest)."""
    hhd_weight: float | None = None
    """Weight of the loss beside the coordinates' (default: its own, published 0.5, kl 10, others
    1)."""

    def check(self) -> None:
        if self.window is not None:
            check_positive("window", self.window)
        if self.hhd_weight is not None:
            check_from_zero("hhd_weight", self.hhd_weight)
        check_from_zero("coordinate_weight", self.coordinate_weight)
        for name, value in self.windows().items():
            if self.loss not in ("published", "kl"):
                raise ValueError(
                    f"{name} is {value}, but loss is {self.loss}, which has no windows; it goes "
                    "with published or kl"
                )

    def distils(self) -> bool:
        """Whether the loss takes a teacher."""
        return self.loss not in ("none", "js")

    def windows(self) -> dict[str, Any]:
        """What the recipe changes of the loss's windows."""
        given = {"locate": self.locate, "sampling": self.sampling}
        return {name: value for name, value in given.items() if value is not None}

    def distillation(self) -> tuple[int, float]:
        """Window and weight of the distillation, the loss's own where the recipe names none."""
        window, weight = DISTILLATION.get(self.loss, BASELINE)
        return (
            window if self.window is None else self.window,
            weight if self.hhd_weight is None else self.hhd_weight,
        )
