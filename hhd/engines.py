"""What runs a network on crops: PyTorch, or ONNX Runtime on a file of ``hhd export``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from hhd.data.affine import Array
from hhd.data.dataset import normalise_images
from hhd.evaluation.decode import Decoder
from hhd.extras import import_extra
from hhd.files import is_file
from hhd.models.base import PoseModel, channels_last
from hhd.models.files import ModelCard, load_model, read_card
from hhd.text import one_line, shown
from hhd.train.devices import choose_device

Crops = NDArray[np.uint8]


class Engine(Protocol):
    """Crops [N, H, W, 3], RGB of the card's input size -> keypoints [N, K, 2], (x, y) in pixels of
    the crop, and confidence [N, K]."""

    card: ModelCard

    def __call__(self, crops: Crops) -> tuple[Array, Array]: ...


def open_engine(model: Path, device: str = "auto", decoding: Mapping[str, Any] = {}) -> Engine:
    """The engine of a model.safetensors, or of an .onnx that ``hhd export`` wrote.

    ``decoding`` replaces fields of the card; a graph is decoded as it was exported, so an .onnx
    takes what it has. ``FileNotFoundError`` and ``ValueError`` name the file.
    """
    if model.suffix != ".onnx":
        network, card = load_model(model)
        return TorchEngine(network, replace(card, **decoding), choose_device(device))
    if not is_file(model):
        raise FileNotFoundError(f"model file {model} does not exist")
    engine = OnnxEngine(model.read_bytes(), str(model), device)
    for name, value in decoding.items():
        if value != getattr(engine.card, name):
            raise ValueError(
                f"{name} is {shown(value)}, but model file {model} decodes within its graph, by "
                f"{shown(getattr(engine.card, name))}: export it anew"
            )
    return engine


class TorchEngine:
    """A network in PyTorch, decoded by the card."""

    def __init__(self, network: PoseModel, card: ModelCard, device: torch.device) -> None:
        self.card, self.device = card, device
        self.network = channels_last(network.to(device))
        self.decoder = Decoder(card)

    @torch.inference_mode()
    def __call__(self, crops: Crops) -> tuple[Array, Array]:
        pixels = torch.from_numpy(crops.transpose(0, 3, 1, 2))
        images = normalise_images(pixels.to(self.device)).contiguous(
            memory_format=torch.channels_last
        )
        coords, confidence = self.decoder(self.network, images)
        cells = self.decoder.cells_per_pixel(images, self.network.stride)
        return coords.double().cpu().numpy() / cells, confidence.double().cpu().numpy()


class OnnxEngine:
    """A graph that ``hhd export`` wrote, from pixels to keypoints, run by ONNX Runtime.

    Args:
        model: the bytes of the .onnx.
        name: what messages call it.
        device: ``auto`` and ``cpu`` run on the CPU, ``cuda`` on ONNX Runtime's own GPU build.
    """

    def __init__(self, model: bytes, name: str, device: str = "auto") -> None:
        runtime = import_extra("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Its warnings are of its own optimiser; errors are raised.
        options.log_severity_level = 4
        try:
            self.session = runtime.InferenceSession(
                model, options, providers=[_provider(runtime, device)]
            )
        # ONNX Runtime's errors have no class of their own.
        except Exception as error:
            raise ValueError(
                f"model file {name} is no ONNX file that can be run: {one_line(str(error))}"
            ) from error
        metadata = self.session.get_modelmeta().custom_metadata_map
        if "hhd" not in metadata:
            raise ValueError(
                f"model file {name} has no hhd card; it takes an .onnx that hhd export wrote"
            )
        try:
            self.card = read_card(metadata["hhd"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"model file {name} does not fit this version of hhd: {one_line(str(error))}"
            ) from error

    def __call__(self, crops: Crops) -> tuple[Array, Array]:
        outputs = self.session.run(["keypoints", "confidence"], {"images": crops})
        keypoints, confidence = (np.asarray(output, dtype=np.float64) for output in outputs)
        return keypoints, confidence


def _provider(runtime: Any, device: str) -> Any:
    if device in ("auto", "cpu"):
        return "CPUExecutionProvider"
    name, _, index = device.partition(":")
    if name != "cuda" or (index and not index.isdigit()):
        raise ValueError(f"device is {device!r}; it takes auto, cpu, cuda or cuda:N")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise ValueError(
            f"device is {device!r}, but this ONNX Runtime has no CUDA: install onnxruntime-gpu"
        )
    return "CUDAExecutionProvider", {"device_id": int(index or 0)}
