"""Model files: weights as safetensors with a card that says everything needed to run them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hhd.checks import check_odd, check_positive, check_sizes
from hhd.data.skeleton import Skeleton
from hhd.files import is_file, json_text, parse_json, write_bytes
from hhd.models.base import PoseModel
from hhd.models.build import build_model, check_model_name
from hhd.models.digest import first_not_finite
from hhd.text import one_line, shown

Task = Literal["heatmap", "integral"]
FlipTest = Literal["none", "coordinates", "heatmaps"]
Affine = Literal["standard", "udp"]
HeatmapDecoding = Literal["plain", "quarter", "quarter_hrnet", "dark", "dark_udp"]
FlipShift = Literal["exact", "cell", "none"]
Confidence = Literal["mass", "constant"]


@dataclass(frozen=True)
class ModelCard:
    """What a model file holds beside its weights. Sizes are (width, height).

    How its maps are decoded is part of it: ``decode_window`` is the side of the local soft-argmax
    (None: whole map), ``flip_test`` averages with the mirrored picture, ``affine`` is the crop's
    geometry and so what a heatmap cell stands for; ``heatmap_decode``, ``flip_shift`` and
    ``confidence`` are explained in :mod:`hhd.evaluation.decode`. ``deconv`` is the head's, None
    the network's usual one. Where it comes from: ``preset``, the loss's named set of defaults, and
    ``recipe`` of a run of ours, ``source`` of a converted file.
    """

    model: str
    task: Task
    input_size: tuple[int, int]
    padding: float
    beta: float
    sigma: float
    skeleton: Skeleton
    decode_window: int | None = None
    flip_test: FlipTest = "none"
    affine: Affine = "standard"
    heatmap_decode: HeatmapDecoding = "dark"
    flip_shift: FlipShift = "exact"
    confidence: Confidence = "mass"
    deconv: tuple[int, ...] | None = None
    preset: str | None = None
    recipe: dict[str, Any] | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        check_model_name(self.model)
        for name, kind in get_type_hints(ModelCard).items():
            if get_origin(kind) is Literal and getattr(self, name) not in get_args(kind):
                choices = ", ".join(get_args(kind))
                raise ValueError(
                    f"{name} is {shown(getattr(self, name))}; it takes one of {choices}"
                )
        for name in ("padding", "sigma"):
            check_positive(name, getattr(self, name), most=100)
        check_positive("beta", self.beta)
        check_sizes("input_size", self.input_size, 2)
        if self.deconv is not None:
            check_sizes("deconv", self.deconv)
        if self.decode_window is not None:
            check_odd("decode_window", self.decode_window)
        if self.task == "heatmap":
            check_udp_decoding(self.affine, self.heatmap_decode)


def check_udp_decoding(affine: Affine, heatmap_decode: HeatmapDecoding) -> None:
    """``ValueError`` where heatmaps would be read on another grid than the crop's."""
    if (heatmap_decode == "dark_udp") != (affine == "udp"):
        raise ValueError(
            f"affine is {affine} and heatmap_decode is {heatmap_decode}; "
            "dark_udp goes with affine udp"
        )


def save_model(path: Path, model: PoseModel, card: ModelCard) -> None:
    """Write the weights and the card, and the folder; the file appears whole or not at all."""
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save(tensors, metadata={"hhd": card_text(card)}))


def card_text(card: ModelCard) -> str:
    """The card as the JSON that :func:`read_card` reads."""
    return json_text(asdict(card))


def load_model(path: Path) -> tuple[PoseModel, ModelCard]:
    """The network in eval mode, and its card. Only tensors are read, nothing is executed."""
    if not is_file(path):
        raise FileNotFoundError(f"model file {path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        if path.suffix == ".onnx":
            raise ValueError(
                f"model file {path} is an ONNX file, which hhd predict runs and hhd export --check "
                "measures; this takes a model.safetensors"
            ) from error
        raise ValueError(
            f"model file {path} is not a safetensors file, which hhd convert makes of a "
            f"checkpoint: {one_line(str(error))}"
        ) from error
    if "hhd" not in metadata:
        raise ValueError(
            f"model file {path} has no hhd card; it takes a model.safetensors that hhd train wrote"
        )
    try:
        card = read_card(metadata["hhd"])
        model = build_model(card.model, len(card.skeleton), deconv=card.deconv)
        model.check_input_size(card.input_size)
        model.load_state_dict(tensors)
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"model file {path} does not fit this version of hhd: {one_line(str(error))}"
        ) from error
    name = first_not_finite(tensors)
    if name is not None:
        raise ValueError(f"model file {path} is of a run that diverged: {name} is not finite")
    return model.eval(), card


def read_card(text: str) -> ModelCard:
    """The card that :func:`save_model` wrote as JSON; ``ValueError``, ``KeyError`` or ``TypeError``
    on any other text."""
    content = parse_json(text)
    if not isinstance(content, dict) or not isinstance(content.get("recipe", {}), dict | None):
        raise ValueError("the card is no object, or its recipe is none")
    fields = {k: v if k == "recipe" else _freeze(v) for k, v in content.items()}
    fields["skeleton"] = Skeleton(**fields["skeleton"])
    return ModelCard(**fields)


def _freeze(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _freeze(item) for key, item in value.items()}
    return tuple(_freeze(item) for item in value) if isinstance(value, list) else value
