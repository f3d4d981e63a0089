"""A model file to an ONNX file that has been checked against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from hhd.checks import check_positive
from hhd.console import say
from hhd.engines import Crops, Engine, OnnxEngine, TorchEngine
from hhd.export.check import compare, print_accuracy
from hhd.export.crops import ANNOTATIONS, generated_crops, real_crops
from hhd.export.graph import OPSET, half_weights, metadata_of, onnx_graph, with_metadata
from hhd.export.int8 import int8_graph
from hhd.extras import import_extra
from hhd.files import make_folder, write_bytes
from hhd.models.files import load_model
from hhd.models.shipped import SHIPPED
from hhd.progress import counting

Precision = Literal["float32", "float16", "int8"]
# Of the largest distance in float32; of the median joint's where weights are rounded, which moves a
# joint with two likely places from one to the other.
LIMITS: dict[Precision, float] = {"float32": 0.1, "float16": 1.0, "int8": 1.0}
CALIBRATION = 100
BATCH = 10


def export_model(
    model: Path,
    output: Path,
    console: Console,
    *,
    decoding: Mapping[str, Any] | None = None,
    opset: int = OPSET,
    precision: Precision = "float32",
    calibrate: str | None = None,
    calibration: int = CALIBRATION,
    images: Path | None = None,
    check: Path | None = None,
    limit: float | None = None,
) -> None:
    """Write ``output`` and say what it is, or raise and leave what was there.

    Args:
        decoding: fields of the card that replace it within the graph; the flip test is ``none``
            unless it is among them.
        precision: ``float16`` keeps the weights so and computes in float32; ``int8`` takes
            ``calibrate``, pictures or annotations, and up to ``calibration`` crops of them.
        images: folder of the pictures of annotation files.
        check: annotations to measure the accuracy on, PyTorch's beside.
        limit: pixels of the crop that the graph may differ from PyTorch by, see ``LIMITS``.
    """
    if output.suffix != ".onnx":
        raise ValueError(f"output is {output}; it takes a file NAME.onnx")
    if output.is_dir():
        raise IsADirectoryError(f"output is {output}, which is a folder")
    if (precision == "int8") != (calibrate is not None):
        raise ValueError(
            "int8 takes --calibrate, pictures or annotations of what the network will see"
            if calibrate is None
            else f"calibrate is {calibrate}, which is for --int8 alone"
        )
    if images is not None and check is None and Path(calibrate or "").suffix not in ANNOTATIONS:
        raise ValueError(f"images is {images}, but no annotation file is given whose they are")
    limit = LIMITS[precision] if limit is None else limit
    check_positive("limit", limit)
    for module in ("onnx", "onnxruntime"):
        import_extra(module)
    network, card = load_model(model)
    exported = replace(card, **{"flip_test": "none", **(decoding or {})}, recipe=None)
    make_folder(output.parent, "output folder")
    crops = generated_crops(exported)
    if calibrate is not None:
        as_seen = replace(exported, recipe=card.recipe)
        crops = real_crops(calibrate, images, as_seen, calibration, console)
        if len(crops) < calibration:
            text = f"calibrated on {len(crops)} crops alone: more of what the network will see"
            say(console, f"{text} make int8 better, --check says by how much")
    licence = "Apache-2.0" if model == SHIPPED else None

    plain = onnx_graph(network, exported, opset)
    graphs: dict[Precision, bytes] = {"float32": plain}
    if precision == "float16":
        graphs["float16"] = half_weights(plain)
    elif precision == "int8":
        graphs["int8"] = int8_graph(plain, _batches(crops, console))
    reference = TorchEngine(network, exported, torch.device("cpu"))
    engines: dict[str, Engine] = {"PyTorch": reference}
    for name, graph in graphs.items():
        graphs[name] = with_metadata(graph, metadata_of(exported, name, licence))
        engines[f"ONNX {name}"] = OnnxEngine(graphs[name], output.name)
    # Looked at before the minutes that an evaluation takes.
    sentence = _checked(engines[f"ONNX {precision}"], reference, crops, precision, limit)
    if check is not None:
        print_accuracy(engines, replace(exported, recipe=card.recipe), check, images, console)
    write_bytes(output, graphs[precision])
    width, height = exported.input_size
    flip = f"flip test {exported.flip_test}"
    if exported.flip_test != "none":
        flip += ", which doubles the time"
    elif card.flip_test != "none":
        flip += f" (the card's is {card.flip_test}; --flip-test puts it in and doubles the time)"
    say(
        console,
        f"{output}: {card.model}, {len(card.skeleton)} joints of {card.skeleton.name}, "
        f"{precision}, {len(graphs[precision]) / 1e6:.1f} MB, ONNX opset {opset}, {flip}",
    )
    say(
        console,
        f"takes images uint8 [N, {height}, {width}, 3] in RGB; gives keypoints "
        f"[N, {len(card.skeleton)}, 2], x and y in pixels of the crop, and confidence "
        f"[N, {len(card.skeleton)}]",
    )
    say(console, sentence)


def _batches(crops: Crops, console: Console) -> Iterator[Crops]:
    with counting(console, "calibrate", len(crops), "crops") as advance:
        for start in range(0, len(crops), BATCH):
            yield crops[start : start + BATCH]
            advance(len(crops[start : start + BATCH]))


def _checked(
    engine: Engine, reference: Engine, crops: Crops, precision: Precision, limit: float
) -> str:
    """A sentence on how far the graph is from PyTorch; ``ValueError`` if that is too far."""
    crops = crops[:32]
    apart = compare(engine, reference, crops)
    strict = precision == "float32"
    kind = "calibration" if precision == "int8" else "generated"
    measured = apart.largest if strict else apart.median
    text = (
        f"from PyTorch by {apart.largest:.2g} pixels at most, {apart.mean:.2g} in the mean, "
        f"{apart.median:.2g} in the median, on {len(crops)} {kind} crops"
    )
    allowed = f"{limit:g} pixels {'at most' if strict else 'in the median'}"
    if not measured <= limit or not isfinite(measured):
        raise ValueError(
            f"the graph differs {text}, beyond the limit of {allowed}: nothing is written"
        )
    return f"differs {text} (limit: {allowed})"
