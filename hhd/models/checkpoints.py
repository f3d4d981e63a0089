"""Weights from other people's files, see :mod:`hhd.models.layouts`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from hhd.files import is_file
from hhd.models.base import PoseModel
from hhd.models.digest import DIGEST, first_not_finite, state_digest
from hhd.models.files import ModelCard, read_card
from hhd.models.layouts import find_layout, rename
from hhd.models.torch_files import read_torch_file
from hhd.text import one_line

Part = Literal["student", "teacher"]


class Pair(NamedTuple):
    """A distiller's file: the two networks' keys by prefix; what has neither is the distiller's."""

    name: str
    student: str
    teacher: str


PAIRS = (
    # mmrazor SingleTeacherDistill, and the official HHD code, which is a fork of it.
    Pair("mmrazor", "architecture.", "teacher."),
    Pair("DWPose", "student.", "teacher."),
)


# DistributedDataParallel's, and a training module's of its network (Lightning).
PREFIXES = ("module.", "model.")


@dataclass(frozen=True)
class Weights:
    """What a file holds of one network: tensors under our keys, the layout it had, of a run of ours
    the recipe, and of a model file of ours the card. ``debias``: mmpose's integral head of that
    name, by the file's configuration or its own name."""

    path: Path
    layout: str
    tensors: dict[str, Tensor]
    integral: bool
    recipe: dict[str, Any] | None = None
    card: ModelCard | None = None
    debias: bool = False

    def refuse(self, reason: str) -> ValueError:
        """The error that says of this file why it cannot be used."""
        return ValueError(f"checkpoint {self.path} ({self.layout}) {reason}")

    @property
    def joints(self) -> int:
        """Maps that its head gives."""
        for key in ("head.final_layer.weight", "head.conv.weight", "final.weight"):
            if key in self.tensors and self.tensors[key].dim():
                return len(self.tensors[key])
        raise self.refuse("has no last convolution of a pose network")


def read_weights(path: Path, part: Part | None = None) -> Weights:
    """Read a checkpoint of any layout; of a distiller's file the student, or the named ``part``.

    Nothing that the file holds is run, see :mod:`hhd.models.torch_files`.
    """
    if not is_file(path):
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    recipe, debias, caffe = None, "debias" in path.stem, "caffe" in path.stem
    if path.suffix == ".safetensors":
        tensors, card = _load_safetensors(path)
        if card is not None and part is None:
            return Weights(path, "hhd", tensors, card.task == "integral", card.recipe, card)
    else:
        content = _content(path)
        tensors, recipe = _state_dict(content, path), _recipe(content)
        configuration = _configuration(content)
        debias = debias or bool(re.search(r"debias\s*=\s*True", configuration))
        caffe = caffe or bool(re.search(r"style\s*=\s*['\"]caffe", configuration))
    if recipe is not None and part is None:
        return Weights(path, "hhd train", tensors, recipe["task"] == "integral", recipe)
    names = []
    pair = next((pair for pair in PAIRS if any(k.startswith(pair.student) for k in tensors)), None)
    if pair is None and part is not None:
        raise ValueError(f"checkpoint {path} holds one network, not a student and a teacher")
    if pair is not None:
        prefix = pair.teacher if part == "teacher" else pair.student
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        names.append(pair.name)
        if not tensors:
            raise ValueError(f"checkpoint {path} ({pair.name}) has no {part} in it")
    integral = "head.linspace_x" in tensors
    layout = find_layout(tensors)
    if layout is not None:
        tensors = rename(tensors, layout)
        names.append(layout.name)
    layout_name = ", ".join(names) or "unknown layout"
    weights = Weights(path, layout_name, tensors, integral, debias=integral and debias)
    refusal = None if layout is None else layout.refusal
    if caffe and "backbone.layer4.0.conv2.weight" in tensors:
        # The same keys and shapes, but the stride is the first 1x1's, the colours BGR up to 255.
        refusal = "is a caffe-style ResNet, whose strides are others: take a pytorch-style one"
    if refusal is not None:
        raise weights.refuse(refusal)
    return weights


def load_weights(model: PoseModel, weights: Weights, name: str) -> None:
    """Load all of a network; ``ValueError`` names the first keys that do not fit ``name``."""
    misfits = _misfits(model, weights.tensors)
    if misfits:
        raise weights.refuse(f"does not fit {name}: {'; '.join(misfits)}")
    name_of = first_not_finite(weights.tensors)
    if name_of is not None:
        raise weights.refuse(f"is of a run that diverged: {name_of} is not finite")
    # Strict but for the counters of batch norms, which files from before torch 0.4.1 lack.
    try:
        model.load_state_dict(weights.tensors, strict=False)
    except RuntimeError as error:
        # Keys and shapes are right.
        raise weights.refuse("has tensors that are quantised or without values") from error


def start_from(model: PoseModel, weights: Weights, name: str) -> list[str]:
    """Load a network whose head may be another's; the parameters that keep their own start."""
    head = ("head.", "final.")
    wanted = model.state_dict()
    tensors = {
        key: value
        for key, value in weights.tensors.items()
        if not key.startswith(head) or (key in wanted and wanted[key].shape == value.shape)
    }
    afresh = [key for key in wanted if key.startswith(head) and key not in tensors]
    tensors |= {key: wanted[key] for key in afresh}
    load_weights(model, replace(weights, tensors=tensors), name)
    return afresh


def _misfits(model: PoseModel, tensors: dict[str, Tensor]) -> list[str]:
    wanted = model.state_dict()
    counters = {key for key in wanted if key.endswith(".num_batches_tracked")}
    misshapen = [
        f"{key} is {list(tensors[key].shape)}, it takes {list(value.shape)}"
        for key, value in wanted.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    found = {
        "missing ": [key for key in wanted if key not in tensors and key not in counters],
        "unexpected ": [key for key in tensors if key not in wanted],
        "": misshapen,
    }
    return [f"{kind}{_first(items)}" for kind, items in found.items() if items]


def _first(items: list[str], most: int = 3) -> str:
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by key, out of what training code wraps round them, without its prefixes.

    mmengine keeps averaged weights twice: its ``state_dict`` is the averaged one, to be deployed.
    """
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"checkpoint {path} holds no parameters by name")
    others = [
        str(k) for k, v in content.items() if not (isinstance(k, str) and isinstance(v, Tensor))
    ]
    if others:
        raise ValueError(f"checkpoint {path} holds no parameters by name, but {_first(others)}")
    # torch.compile names whatever it wraps.
    tensors = {key.replace("_orig_mod.", ""): value for key, value in content.items()}
    while prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in tensors)), None):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _recipe(content: Any) -> dict[str, Any] | None:
    """The recipe of a run of ours."""
    recipe = content.get("recipe") if isinstance(content, dict) else None
    return recipe if isinstance(recipe, dict) and "task" in recipe else None


def _content(path: Path) -> Any:
    try:
        content = read_torch_file(path)
    except ValueError as error:
        raise ValueError(f"checkpoint {path} cannot be read: {error}") from error
    if isinstance(content, dict) and DIGEST in content and content[DIGEST] != state_digest(content):
        raise ValueError(f"checkpoint {path} is damaged, or was changed: its digest does not match")
    return content


def _configuration(content: Any) -> str:
    """The configuration that mmengine keeps beside the weights, as text."""
    meta = content.get("meta") if isinstance(content, dict) else None
    text = meta.get("cfg") if isinstance(meta, dict) else None
    return text if isinstance(text, str) else ""


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], ModelCard | None]:
    """The tensors by key, and the card of a model file of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"checkpoint {path} is not a safetensors file: {one_line(str(error))}"
        ) from error
    if "hhd" not in metadata:
        return tensors, None
    try:
        return tensors, read_card(metadata["hhd"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint {path} has a card that hhd does not read: {error}") from error
