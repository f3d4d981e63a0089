"""The official loss's golden cases: their inputs, and the same call asked of oracle or backend."""

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import oracle
from kernels.samples import BACKENDS

Array = NDArray[Any]
Case = dict[str, Any]
ANSWERERS = ["oracle", *BACKENDS]


class Answer(NamedTuple):
    """What one implementation says: the loss times 0.5, its gradient and both integer centres."""

    loss: float
    grad: Array
    student_centers: Array
    teacher_centers: Array


@cache
def rules(folder: Path) -> ModuleType:
    """The module that regenerates golden inputs."""
    spec = importlib.util.spec_from_file_location("golden_weights", folder / "golden_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def load_cases(folder: Path, name: str) -> list[Case]:
    return json.loads((folder / name).read_text())


def normalizations(case: Case) -> tuple[str, str]:
    """Our names for the case's (student, teacher) normalisation."""
    if case["ifsoftmax"] == 1:
        return "softmax", "softmax"
    if case["ifsoftmax"] == 3:
        return "softmax", "none"
    norms = {1: "l1", 2: "l2"}
    return norms[case["norm_mode_s"]], norms[case["norm_mode_t"]]


def maps(folder: Path, case: Case, pair: Case) -> tuple[Array, Array]:
    """Student and teacher maps of one case, before any edit."""
    student, teacher = rules(folder).heatmap_pair(
        pair["seed"],
        case["H"],
        case["W"],
        pair["centers"],
        **{name: pair[name] for name in ("gain_s", "offset_s", "noise_s", "noise_t", "radius")},
    )
    return student, teacher


def check_maps(folder: Path, case: Case, student: Array, teacher: Array) -> None:
    """The maps are bit for bit those that the official code saw."""
    assert rules(folder).digest(student) == case["sha_student"]
    assert rules(folder).digest(teacher) == case["sha_teacher"]


def ask(answerer: str, case: Case, student: Array, teacher: Array) -> Answer:
    """The official call, asked of the oracle or of the backend with that name."""
    if answerer == "oracle":
        return _ask_oracle(case, student, teacher)
    return _ask_backend(answerer, case, student, teacher)


def ask_oracle_at(case: Case, student: Array, teacher: Array, student_centers: Array) -> Answer:
    """The oracle with the student's centres given."""
    return _ask_oracle(case, student, teacher, student_centers)


def _ask_oracle(
    case: Case, student: Array, teacher: Array, student_centers: Array | None = None
) -> Answer:
    window, (kind_s, kind_t) = tuple(case["crop"]), normalizations(case)
    centers, windows, _ = oracle.teacher_targets(
        teacher, window, normalize=kind_t, border="mirror_published"
    )
    if student_centers is None:
        student_centers = oracle.locate_student(student, centers, "published", window=window)
    loss, grad = oracle.hhd_loss(
        student,
        centers,
        windows,
        beta=1.0,
        normalize=kind_s,
        divergence="sse",
        border="mirror_published",
        reduction="official",
        student_centers=student_centers,
    )
    return Answer(0.5 * loss, 0.5 * grad, student_centers, centers)


def _ask_backend(backend: str, case: Case, student: Array, teacher: Array) -> Answer:
    import torch

    import hhd_kernels as hk

    logits = torch.as_tensor(student).clone().requires_grad_()
    heatmaps, window = torch.as_tensor(teacher), tuple(case["crop"])
    with hk.use_backend(backend):
        criterion = hk.HHDLoss.published(window=window, normalize=normalizations(case))
        loss = criterion(logits, heatmaps)
        loss.backward()
        centers = hk.locate_teacher(heatmaps)
        student_centers = hk.locate_student(logits.detach(), centers, "published", window=window)
    assert logits.grad is not None
    arrays = (logits.grad, student_centers, centers)
    return Answer(loss.item(), *(tensor.cpu().numpy() for tensor in arrays))


def relative_l2(got: Array, expected: Array) -> float:
    """The L2 distance over the L2 norm of what is expected."""
    difference = np.asarray(got, np.float64) - np.asarray(expected, np.float64)
    return float(np.linalg.norm(difference) / max(np.linalg.norm(expected), 1e-300))
