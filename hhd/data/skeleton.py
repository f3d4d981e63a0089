"""A skeleton: joint names, mirror pairs, limbs, OKS sigmas and PCK normaliser, from a YAML file."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from hhd.checks import check_from_zero, check_positive
from hhd.data.sides import sides
from hhd.files import is_file, read_yaml
from hhd.text import LONGEST_NAME, meant, shown

SHIPPED = Path(__file__).parent / "skeletons"
OKS_SIGMA = 0.067
"""The mean of COCO's seventeen, for joints whose labellers' spread nobody has measured."""


@dataclass(frozen=True)
class Skeleton:
    """Joints by name; every other field refers to those names. Indices come from the methods.

    ``flip_pairs`` are the joints that change places in the mirrored picture (the person's left one
    first where the names do not say which is), ``limbs`` the lines that are drawn.

    May be left out: ``sigmas`` of OKS (:data:`OKS_SIGMA` each); ``pck_normaliser``, the pair of
    joints whose distance is PCK's unit, or "box" for the longer side of the person's box (box);
    ``pck_joints`` (all); ``upper_body``, the joints of a half-body crop's upper half, all others
    being its lower half; ``joint_weights``, HRNet's USE_DIFFERENT_JOINTS_WEIGHT.
    """

    name: str
    joints: tuple[str, ...]
    flip_pairs: tuple[tuple[str, str], ...]
    limbs: tuple[tuple[str, str], ...] = ()
    sigmas: tuple[float, ...] = ()
    pck_normaliser: tuple[str, str] | str = "box"
    pck_joints: tuple[str, ...] = ()
    upper_body: tuple[str, ...] = ()
    joint_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_name("a skeleton's name", self.name)
        for name, value in vars(self).items():
            if name not in ("name", "pck_normaliser") and not isinstance(value, tuple):
                raise ValueError(f"skeleton {self.name}: {name} is {shown(value)}; it takes a list")
        for joint in self.joints:
            check_name(f"skeleton {self.name}: a joint", joint)
        if len(set(self.joints)) != len(self.joints) or not self.joints:
            raise ValueError(f"skeleton {self.name}: joints must be a list of distinct names")
        if not self.sigmas:
            object.__setattr__(self, "sigmas", (OKS_SIGMA,) * len(self.joints))
        if not self.pck_joints:
            object.__setattr__(self, "pck_joints", self.joints)
        if len(self.sigmas) != len(self.joints):
            raise ValueError(
                f"skeleton {self.name}: {len(self.sigmas)} sigmas for {len(self.joints)} joints"
            )
        if self.joint_weights and len(self.joint_weights) != len(self.joints):
            raise ValueError(
                f"skeleton {self.name}: {len(self.joint_weights)} joint_weights "
                f"for {len(self.joints)} joints"
            )
        for sigma in self.sigmas:
            check_positive(f"skeleton {self.name}: a sigma", sigma)
        for weight in self.joint_weights:
            check_from_zero(f"skeleton {self.name}: a joint weight", weight)
        if not isinstance(self.pck_normaliser, tuple) and self.pck_normaliser != "box":
            raise ValueError(
                f"skeleton {self.name}: pck_normaliser is {shown(self.pck_normaliser)}; "
                "it takes two joints or box"
            )
        normaliser = () if isinstance(self.pck_normaliser, str) else (self.pck_normaliser,)
        pairs = [*self.flip_pairs, *self.limbs, *normaliser]
        if any(not isinstance(pair, tuple) or len(pair) != 2 for pair in pairs):
            raise ValueError(
                f"skeleton {self.name}: flip_pairs, limbs and pck_normaliser take two joints"
            )
        named = [*pairs, self.pck_joints, self.upper_body]
        unknown = [name for group in named for name in group if name not in self.joints]
        if unknown:
            raise ValueError(f"skeleton {self.name}: {shown(unknown)} not among its joints")
        if any(a == b for a, b in pairs):
            raise ValueError(
                f"skeleton {self.name}: a pair of flip_pairs, limbs or pck_normaliser is one joint"
            )
        mirrored = [name for pair in self.flip_pairs for name in pair]
        if len(set(mirrored)) != len(mirrored):
            raise ValueError(f"skeleton {self.name}: a joint is in more than one of flip_pairs")

    def __len__(self) -> int:
        return len(self.joints)

    def indices(self, names: tuple[str, ...]) -> list[int]:
        """Positions of ``names`` among the joints."""
        return [self.joints.index(name) for name in names]

    def flip_order(self) -> list[int]:
        """For each joint, the joint that takes its place in the mirrored picture."""
        order = list(range(len(self.joints)))
        for pair in self.flip_pairs:
            left, right = self.indices(pair)
            order[left], order[right] = right, left
        return order

    def sides(self) -> list[str | None]:
        """Each joint's side, "left" or "right"; None for those that no other one mirrors."""
        return sides(self.joints, self.flip_pairs)

    def limb_indices(self) -> list[tuple[int, int]]:
        """Pairs of joint positions to draw a line between."""
        return [(self.joints.index(a), self.joints.index(b)) for a, b in self.limbs]

    def normaliser_name(self) -> str:
        """What PCK is measured in, for titles."""
        if isinstance(self.pck_normaliser, str):
            return self.pck_normaliser
        return " - ".join(self.pck_normaliser)


def load_skeleton(name_or_path: str) -> Skeleton:
    """A shipped skeleton by name, or a YAML file with :class:`Skeleton`'s fields."""
    path = SHIPPED / f"{name_or_path}.yaml"
    if not is_file(path):
        path = Path(name_or_path)
    if not is_file(path):
        shipped = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
        raise FileNotFoundError(
            f"skeleton is {shown(name_or_path)}: neither a file nor one of {shipped}"
            + meant(name_or_path, shipped.split(", "))
        )
    content = read_yaml(path, "skeleton file")
    needed = {field.name for field in fields(Skeleton) if field.default is MISSING}
    known = {field.name for field in fields(Skeleton)}
    if not isinstance(content, dict) or not needed <= set(content) <= known:
        got = shown(sorted(map(str, content)) if isinstance(content, dict) else content)
        raise ValueError(
            f"skeleton file {path} has {got}; it takes {sorted(needed)}, "
            f"and may have {sorted(known - needed)}"
        )
    numeric = ("sigmas", "joint_weights")
    return Skeleton(**{key: _freeze(value, key not in numeric) for key, value in content.items()})


def check_name(what: str, name: Any) -> None:
    """``ValueError`` unless it is text that can be printed, and of a length to be read."""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(
            f"{what} is {shown(name)}; it takes 1 to {LONGEST_NAME} printable characters"
        )


def _freeze(value: Any, names: bool) -> Any:
    """Lists as tuples; of ``names``, numbers as the text that an annotation file may spell them."""
    if isinstance(value, list):
        return tuple(_freeze(item, names) for item in value)
    return str(value) if names and type(value) is int else value
