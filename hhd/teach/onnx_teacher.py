"""Teachers that are ONNX files, run by ONNX Runtime; extra ``hhd-kernels[onnx]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hhd.extras import import_extra
from hhd.teach.card import TeacherCard
from hhd.teach.opened import Crops, Opened, files_digest, no_input_size, normalised
from hhd.text import one_line

FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# Networks that normalise by themselves.
WHOLE = {"tensor(uint8)": np.uint8, "tensor(int32)": np.int32}


def open_onnx(card: TeacherCard, device: torch.device) -> Opened:
    """The network of an ``.onnx`` file, on the GPU if ``device`` is one and ONNX Runtime has it."""
    path = Path(card.network)
    runtime = import_extra("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in runtime.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0}))
    try:
        session = runtime.InferenceSession(str(path), options, providers=providers)
    # ONNX Runtime's errors have no class of their own.
    except Exception as error:
        raise ValueError(
            f"teacher network {path} is no ONNX file that can be run: {one_line(str(error))}"
        ) from error
    network = _Network(session, card, device)
    return Opened(card, network, files_digest([path, *_external_files(path)]))


class _Network:
    def __init__(self, session: Any, card: TeacherCard, device: torch.device) -> None:
        self.session, self.card, self.device = session, card, device
        self.path = card.network
        inputs = session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(entry.name for entry in inputs)
            raise ValueError(
                f"teacher network {self.path} has {len(inputs)} inputs ({names}); it takes one, "
                "the images"
            )
        self.input = inputs[0]
        self.outputs = self._outputs()
        self.dtype = self._dtype()
        self._check_input()
        first = self.input.shape[0]
        self.batch = first if isinstance(first, int) else None

    def __call__(self, crops: Crops) -> tuple[Tensor, ...]:
        if self.dtype in WHOLE.values():
            images = np.ascontiguousarray(
                crops if self.card.channels == "rgb" else crops[..., ::-1]
            )
            images = images if self.card.layout == "nhwc" else images.transpose(0, 3, 1, 2)
        else:
            images = normalised(crops, self.card, torch.device("cpu")).numpy()
        images = np.ascontiguousarray(images, dtype=self.dtype)
        size = len(images) if self.batch is None else self.batch
        parts = [self._run(images[i : i + size], size) for i in range(0, len(images), size)]
        return tuple(torch.cat(output).to(self.device) for output in zip(*parts, strict=True))

    def _run(self, images: NDArray[Any], size: int) -> list[Tensor]:
        count = len(images)
        # A batch of fixed size is filled up.
        filled = np.concatenate([images, images[:1].repeat(size - count, axis=0)])
        try:
            answers = self.session.run(self.outputs, {self.input.name: filled})
        except Exception as error:
            raise ValueError(
                f"teacher network {self.path} cannot run on images {list(filled.shape)}: "
                f"{one_line(str(error))}"
            ) from error
        return [
            torch.from_numpy(np.asarray(answer, dtype=np.float32))[:count] for answer in answers
        ]

    def _outputs(self) -> list[str]:
        there = [output.name for output in self.session.get_outputs()]
        if self.card.kind == "simcc":
            wanted = {"output_x": self.card.output_x, "output_y": self.card.output_y}
        elif self.card.output is None and len(there) == 1:
            wanted = {"output": there[0]}
        else:
            wanted = {"output": self.card.output}
        for field, name in wanted.items():
            if name not in there:
                raise ValueError(
                    f"teacher network {self.path}: {field} is {name}; it takes one of "
                    f"{', '.join(there)}"
                )
        return [name for name in wanted.values() if name is not None]

    def _dtype(self) -> Any:
        found = (FLOATS | WHOLE).get(self.input.type)
        if found is None:
            raise ValueError(
                f"teacher network {self.path} takes {self.input.type}; it can be one of "
                f"{', '.join(FLOATS | WHOLE)}"
            )
        plain = self.card.mean == (0, 0, 0) and self.card.std == (1, 1, 1)
        if found in WHOLE.values() and not plain:
            raise ValueError(
                f"teacher network {self.path} takes {self.input.type}, pixels as they are: mean "
                "must be [0, 0, 0] and std [1, 1, 1]"
            )
        return found

    def _check_input(self) -> None:
        if self.card.input_size is None:
            raise no_input_size(self.card)
        width, height = self.card.input_size
        sides = (3, height, width) if self.card.layout == "nchw" else (height, width, 3)
        shape = self.input.shape
        # A dynamic side has a name, or none.
        misfit = len(shape) != 4 or any(
            isinstance(side, int) and side != wanted
            for side, wanted in zip(shape[1:], sides, strict=False)
        )
        if misfit:
            raise ValueError(
                f"teacher network {self.path} takes images {shape}; layout {self.card.layout} and "
                f"input_size {list(self.card.input_size)} give [B, {', '.join(map(str, sides))}]"
            )


def _external_files(path: Path) -> list[Path]:
    """The files beside an ``.onnx`` that hold its larger tensors."""
    onnx = import_extra("onnx")
    graph = onnx.load(str(path), load_external_data=False).graph
    names = {
        entry.value
        for tensor in graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path.parent / name for name in sorted(names)]
