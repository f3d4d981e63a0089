"""What has to be known of a teacher beside its weights: a small YAML, a teacher card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hhd.checks import check_finite, check_positive, check_sizes
from hhd.data.affine import Affine
from hhd.data.dataset import RGB_MEAN, RGB_STD
from hhd.data.skeleton import check_name, load_skeleton
from hhd.files import read_yaml
from hhd.models.build import check_model_name
from hhd.teach.grid import GridConvention
from hhd.text import shown

HUB, CALLABLE = "hf:", "python:"
Layout = Literal["nchw", "nhwc"]
Activation = Literal["none", "sigmoid", "softmax"]


@dataclass(frozen=True)
class TeacherCard:
    """A teacher's network and how to ask it. Sizes are (width, height) in pixels or cells.

    ``network`` is a file, relative to the YAML: an ``.onnx``, a ``model.safetensors`` of ours, or
    another's checkpoint, whose network ``model`` names; a folder with the ``config.json`` and
    ``*.safetensors`` of a ViTPose of transformers; ``hf:`` and such a network's id on the hub; or
    ``python:package.module:function``, a function of uint8 crops [B, H, W, 3] in RGB that gives
    what the output of a network would be.

    A network sees (pixels - ``mean``) / ``std``, both given in RGB of values 0..255, its channels
    in the order ``channels``. ``kind`` heatmaps: ``output`` is [B, C, h, w] or, by
    ``output_layout``, [B, h, w, C]. ``kind`` simcc (Li et al., ECCV 2022): the vectors
    ``output_x`` [B, C, W split_ratio] and ``output_y`` [B, C, H split_ratio], which make maps of
    ``map_size``. ``activation`` turns the output into maps in which 0 means "no joint here";
    ``beta`` is the softmax's inverse temperature (RTMPose: 10).

    ``joints`` names the output's channels in order. ``joint_map`` says for a joint of the student
    which of them, or which channel number, teaches it, or null for none; every other joint is
    taught by the one of its name, if there is one. ``grid`` and ``affine`` are what the teacher was
    trained with, see :mod:`hhd.teach.grid` and :mod:`hhd.data.affine`; ``padding`` is the view it
    prefers, the crop's size in boxes. What is None is the network's own, if its file says, or
    ``padding`` 1.25, ``affine`` standard, and the ``grid`` stride, with udp align_corners.
    """

    network: str
    model: str | None = None
    input_size: tuple[int, int] | None = None
    mean: tuple[float, float, float] = RGB_MEAN
    std: tuple[float, float, float] = RGB_STD
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Layout = "nchw"
    kind: Literal["heatmaps", "simcc"] = "heatmaps"
    output: str | None = None
    output_layout: Layout = "nchw"
    output_x: str | None = None
    output_y: str | None = None
    split_ratio: float = 2.0
    map_size: tuple[int, int] | None = None
    activation: Activation = "none"
    beta: float = 1.0
    grid: GridConvention | None = None
    joints: tuple[str, ...] | None = None
    joint_map: Mapping[str, str | int | None] = field(default_factory=dict)
    padding: float | None = None
    affine: Affine | None = None

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(TeacherCard).items():
            _check_kind(name, getattr(self, name), kind)
        if self.model is not None:
            check_model_name(self.model)
        for name in ("input_size", "map_size"):
            if getattr(self, name) is not None:
                check_sizes(name, getattr(self, name), 2)
        for name, check in (("mean", check_finite), ("std", check_positive)):
            values = getattr(self, name)
            if not isinstance(values, tuple) or len(values) != 3:
                raise ValueError(f"{name} is {shown(values)}; it takes three numbers: r, g, b")
            for value in values:
                check(name, value)
        check_positive("split_ratio", self.split_ratio)
        check_positive("beta", self.beta)
        if self.padding is not None:
            check_positive("padding", self.padding, most=100)
        self._check_joints()
        if self.kind == "simcc" and self.map_size is None:
            raise ValueError("kind is simcc, which needs map_size, (width, height) in cells")

    def _check_joints(self) -> None:
        if self.joints is not None:
            if not isinstance(self.joints, tuple) or not self.joints:
                raise ValueError(
                    f"joints is {shown(self.joints)}; it takes names, or a skeleton's name"
                )
            for joint in self.joints:
                check_name("joints: a name", joint)
            twice = sorted({name for name in self.joints if self.joints.count(name) > 1})
            if twice:
                raise ValueError(f"joints has {shown(twice)} more than once")
        if not isinstance(self.joint_map, Mapping):
            raise ValueError(
                f"joint_map is {shown(self.joint_map)}; it takes lines of the form  joint: channel"
            )
        for joint, channel in self.joint_map.items():
            check_name("joint_map: a joint", joint)
            if not (channel is None or isinstance(channel, str)) and (
                type(channel) is not int or channel < 0
            ):
                raise ValueError(
                    f"joint_map: {joint} is {shown(channel)}; it takes one of the teacher's "
                    "joints, a channel's number from 0 up, or null"
                )

    def is_named(self) -> bool:
        """Whether ``network`` is a name and not a file or a folder."""
        return self.network.startswith((HUB, CALLABLE))


def read_teacher_card(path: Path) -> TeacherCard:
    """The card in a YAML file; ``FileNotFoundError`` and ``ValueError`` name the file."""
    content = read_yaml(path, "teacher card")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ValueError(
            f"teacher card {path} is {shown(content)}; it takes lines of the form  field: value"
        )
    known = [field.name for field in fields(TeacherCard)]
    for key in content:
        if key not in known:
            close = get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
            raise ValueError(f"teacher card {path} has {shown(key)}, which is no field; {hint}")
    if not isinstance(content.get("network"), str):
        got = shown(content["network"]) if "network" in content else "missing"
        raise ValueError(f"teacher card {path}: network is {got}; it takes a file or a name")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
    }
    if not values["network"].startswith((HUB, CALLABLE)):
        values["network"] = str(path.parent / values["network"])
    try:
        if isinstance(values.get("joints"), str):
            values["joints"] = load_skeleton(values["joints"]).joints
        return TeacherCard(**values)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"teacher card {path}: {error}") from error


def _check_kind(name: str, value: Any, kind: Any) -> None:
    """``ValueError`` unless a choice is one of its words and a text is a text."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return
    for one in kinds:
        if get_origin(one) is Literal and value not in get_args(one):
            raise ValueError(
                f"{name} is {shown(value)}; it takes one of {', '.join(get_args(one))}"
            )
        if one is str and not isinstance(value, str):
            raise ValueError(f"{name} is {shown(value)}; it takes a text")
