"""Cases of the golden codecs, their arrays, and the maps that the original code decoded."""

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np


@cache
def rules(folder: Path) -> Any:
    """The module that regenerates golden inputs."""
    spec = importlib.util.spec_from_file_location("golden_weights", folder / "golden_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    """The cases of these kinds, each with its arrays under "arrays"."""
    arrays = np.load(folder / "codecs.npz")
    found = []
    for case in json.loads((folder / "codecs_cases.json").read_text()):
        if case["kind"] in kinds:
            mark = f"{case['id']}_"
            own = {k.removeprefix(mark): arrays[k] for k in arrays.files if k.startswith(mark)}
            found.append(case | {"arrays": own})
    assert {case["kind"] for case in found} == set(kinds)
    return found


def maps_pair(folder: Path, inputs: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Student's and teacher's maps [B, K, H, W] of a case's ``inputs``, bit for bit."""
    names = ("gain_s", "offset_s", "noise_s", "noise_t", "radius")
    student, teacher = rules(folder).heatmap_pair(
        inputs["seed"], inputs["H"], inputs["W"], inputs["centers"], **{n: inputs[n] for n in names}
    )[:2]
    if inputs.get("edit", "none") != "none":
        student[1, 0] = 0
        student[1, 1] = -np.abs(student[1, 1])
        student[1, 2] = 0
        student[1, 2, 5, [6, 9]] = 1
    expected = next(inputs[key] for key in ("sha", "sha_logits", "sha_pred") if key in inputs)
    assert rules(folder).digest(student) == expected
    return student, teacher


def student_maps(folder: Path, case: dict[str, Any]) -> np.ndarray:
    """Maps [2, K, H, W] of a decoding case."""
    return maps_pair(folder, case["inputs"])[0]
