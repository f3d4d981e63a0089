"""The network of an exported graph in int8 by ONNX Runtime's static quantisation.

QDQ, activations uint8, weights int8 by output channel. Normalisation, the last convolution, whose
maps the decoding reads, and all of the decoding stay float32.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hhd.engines import Crops
from hhd.extras import import_extra

# An activation goes with its convolution, or the range that it cuts would be measured uncut.
QUANTISED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Relu", "Clip", "Add", "Resize")
# Names that torch.onnx.export derives from the attribute of hhd.export.graph.Whole.
NETWORK = "/network/"


def int8_graph(model: bytes, crops: Iterable[Crops]) -> bytes:
    """The ``model`` of :func:`hhd.export.graph.onnx_graph` in int8.

    ``crops``: batches of uint8 [N, H, W, 3], RGB, such as the network will see.
    """
    onnx = import_extra("onnx")
    quantization = import_extra("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.batches = iter(crops)

        def get_next(self) -> dict[str, Crops] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    proto = onnx.load_from_string(model)
    level = logging.root.manager.disable
    # It warns that the graph might not be folded, which it is.
    logging.disable(logging.WARNING)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantization.quantize_static(
                proto,
                path,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=list(QUANTISED),
                nodes_to_exclude=_float_nodes(proto.graph),
                calibrate_method=quantization.CalibrationMethod.MinMax,
            )
            return path.read_bytes()
    finally:
        logging.disable(level)


def _float_nodes(graph: Any) -> list[str]:
    """Names of the nodes outside of the network, and of the convolutions that give its maps."""
    outside = [node for node in graph.node if not node.name.startswith(NETWORK)]
    read = {name for node in outside for name in node.input}
    maps = [
        node for node in graph.node if node.name.startswith(NETWORK) and read & set(node.output)
    ]
    return [node.name for node in (*outside, *maps)]
