"""A network as one ONNX graph: uint8 crops in, keypoints in their pixels and confidence out."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hhd.data.dataset import normalise_images
from hhd.evaluation.decode import Decoder
from hhd.extras import import_extra
from hhd.files import json_text
from hhd.models.base import PoseModel
from hhd.models.files import ModelCard, card_text

OPSET = 17
"""Every ONNX Runtime from 1.12 on takes it, mobile builds too, and torch's exporter writes it."""
OPSETS = range(13, 21)
MOST_BYTES = 2**31 - 2**24
INPUT = "uint8 [N, height, width, 3], RGB, 0 to 255: normalised within"
OUTPUTS = "keypoints float32 [N, K, 2], (x, y) in pixels of the crop; confidence float32 [N, K]"


class Whole(nn.Module):
    """What is exported: normalisation, network, decoding by the card, and the way back to pixels.

    images uint8 [N, H, W, 3] RGB -> keypoints float32 [N, K, 2], (x, y) in pixels of the crop, the
    centre of the first being (0, 0), and confidence float32 [N, K].
    """

    def __init__(self, network: PoseModel, card: ModelCard) -> None:
        super().__init__()
        self.network, self.decoder = network, Decoder(card)
        width, height = card.input_size
        images = torch.empty(1, 3, height, width, device="meta")
        cells = self.decoder.cells_per_pixel(images, network.stride)
        self.pixels_per_cell: Tensor
        self.register_buffer("pixels_per_cell", torch.from_numpy(1 / cells).float())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        coords, confidence = self.decoder(
            self.network, normalise_images(images.permute(0, 3, 1, 2))
        )
        return coords * self.pixels_per_cell, confidence


class _OnlyTheBatchVaries(TorchFunctionMode):
    """Shapes of traced tensors whose sides are numbers, not operators of the graph."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        if function == torch.Tensor.shape.__get__ and len(out):  # type: ignore[attr-defined]
            return (out[0], *map(int, out[1:]))
        return out


def onnx_graph(network: PoseModel, card: ModelCard, opset: int = OPSET) -> bytes:
    """The ONNX model of any batch size, decoded by the card, without metadata.

    ``ValueError`` for an opset that the exporter does not write, and for networks beyond 2 GB,
    which one ONNX file cannot hold.
    """
    import_extra("onnx")
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    if size >= MOST_BYTES:
        raise ValueError(
            f"model {card.model} has {size / 1e9:.1f} GB of weights; one ONNX file holds 2 GB"
        )
    if opset not in OPSETS:
        raise ValueError(f"opset is {opset}; it takes {OPSETS[0]} to {OPSETS[-1]}")
    width, height = card.input_size
    # Two: a batch of one is one in too many places.
    images = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    names = ["images", "keypoints", "confidence"]
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        torch.no_grad(),
        _OnlyTheBatchVaries(),
    ):
        path = Path(folder) / "model.onnx"
        # Of the exporter's age, and of sides that are constants as they are meant to be.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Whole(network, card).eval(),
            (images,),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "batch"} for name in names},
        )
        model = path.read_bytes()
    return _folded(_without_empty_inputs(model))


def _without_empty_inputs(model: bytes) -> bytes:
    """The model without inputs that are named as absent at a node's end, which keep ONNX Runtime
    from folding padding into convolutions."""
    onnx = import_extra("onnx")
    proto = onnx.load_from_string(model)
    for node in proto.graph.node:
        while node.input and not node.input[-1]:
            node.input.pop()
    content: bytes = proto.SerializeToString()
    return content


def _folded(model: bytes) -> bytes:
    """The same in ONNX's own operators, with constants folded, and batch norms and padding folded
    into convolutions, by ONNX Runtime."""
    runtime = import_extra("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def with_metadata(model: bytes, metadata: Mapping[str, str]) -> bytes:
    """The model with its ``metadata_props``."""
    onnx = import_extra("onnx")
    proto = onnx.load_from_string(model)
    onnx.helper.set_model_props(proto, dict(metadata))
    # ONNX Runtime adds domains of its own, which nothing here is of.
    used = {node.domain for node in proto.graph.node}
    kept = [entry for entry in proto.opset_import if entry.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    proto.producer_name = "hhd export"
    content: bytes = proto.SerializeToString()
    return content


def metadata_of(card: ModelCard, precision: str, licence: str | None) -> dict[str, str]:
    """What the file says of itself: ``hhd`` is the whole card as JSON, the others are for people
    and for programs without hhd."""
    decode = (
        f"soft-argmax, beta {card.beta:g}, "
        + ("whole map" if card.decode_window is None else f"window {card.decode_window}")
        if card.task == "integral"
        else f"heatmap, {card.heatmap_decode}"
    )
    return {
        "hhd": card_text(card),
        "model": card.model,
        "joints": json_text(card.skeleton.joints),
        "limbs": json_text(card.skeleton.limbs),
        "input": INPUT,
        "outputs": OUTPUTS,
        "input_size": json_text(card.input_size),
        "padding": json_text(card.padding),
        "affine": card.affine,
        "decode": f"{decode}, flip test {card.flip_test}",
        "sigma": json_text(card.sigma),
        "precision": precision,
        "source": card.source or "not said",
        "licence": licence or "not said",
    }


def half_weights(model: bytes) -> bytes:
    """The model with its weights kept as float16, and cast to float32 when it is loaded."""
    onnx = import_extra("onnx")
    proto = onnx.load_from_string(model)
    casts, kept = [], []
    for tensor in proto.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == "float32" and values.size > 64 and abs(values).max() < 65504:
            name = f"{tensor.name}_half"
            kept.append(onnx.numpy_helper.from_array(values.astype("float16"), name))
            casts.append(
                onnx.helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT)
            )
        else:
            kept.append(tensor)
    nodes = [*casts, *proto.graph.node]
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.initializer.extend(kept)
    proto.graph.node.extend(nodes)
    content: bytes = proto.SerializeToString()
    return content
