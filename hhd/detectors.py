"""Who finds the persons: any function from a picture to boxes, and two libraries' detectors.

A detector is ``f(picture) -> boxes``: uint8 [H, W, 3] in BGR, as OpenCV has it, to [N, 5] of x, y,
width, height and score in pixels (or [N, 4] without scores).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from hhd.extras import import_extra
from hhd.text import one_line, shown

Detector = Callable[[NDArray[np.uint8]], ArrayLike]
FORMS = "torchvision, torchvision:MODEL, hf:ID or package.module:function"
TORCHVISION = "fasterrcnn_mobilenet_v3_large_320_fpn"
HUGGING_FACE = "PekingU/rtdetr_r18vd"


def load_detector(name: str, device: torch.device) -> Detector:
    """A detector by its name on the command line, one of :data:`FORMS`; ``ValueError`` says what
    is wrong with it."""
    kind, _, rest = name.partition(":")
    if kind == "torchvision":
        return torchvision_detector(rest or TORCHVISION, device=device)
    if kind == "hf":
        return hugging_face_detector(rest or HUGGING_FACE, device=device)
    if not kind or not rest:
        raise ValueError(f"detector is {shown(name)}; it takes {FORMS}")
    try:
        function = getattr(import_module(kind), rest, None)
    except ImportError as error:
        raise ValueError(f"detector {shown(name)}: {one_line(str(error))}") from error
    if not callable(function):
        raise ValueError(f"detector {shown(name)}: module {kind} has no function {rest}")
    return function


def torchvision_detector(
    model: str = TORCHVISION, *, weights: Any = "DEFAULT", device: torch.device | str = "cpu"
) -> Detector:
    """One of torchvision's detectors, trained on COCO; its persons are label 1.

    ``weights``: as torchvision takes them (downloaded at the first use), None for random ones.
    """
    models = import_extra("torchvision.models.detection")
    if model not in getattr(models, "__dict__", {}):
        raise ValueError(f"detector torchvision:{shown(model)} is none of torchvision's")
    extra = {} if weights is not None else {"weights_backbone": None}
    network = getattr(models, model)(weights=weights, **extra).eval().to(device)

    @torch.inference_mode()
    def detect(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        pixels = torch.from_numpy(np.ascontiguousarray(picture[:, :, ::-1]))
        image = pixels.permute(2, 0, 1).to(device).float() / 255
        (found,) = network([image])
        persons = found["labels"] == 1
        return _boxes(found["boxes"][persons], found["scores"][persons])

    return detect


def hugging_face_detector(
    model: str = HUGGING_FACE, *, threshold: float = 0.05, device: torch.device | str = "cpu"
) -> Detector:
    """An object detector of Hugging Face transformers: an id of the Hub, or a local folder.

    Its persons are the class of that name.
    """
    transformers = import_extra("transformers")
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(model)
        network = transformers.AutoModelForObjectDetection.from_pretrained(model).eval().to(device)
    except (OSError, ValueError) as error:
        raise ValueError(f"detector hf:{model}: {one_line(str(error))}") from error
    names = {number: str(name).lower() for number, name in network.config.id2label.items()}
    persons = [number for number, name in names.items() if name == "person"]
    if not persons:
        raise ValueError(f"detector hf:{model} has no class person; it has {shown(names)}")

    @torch.inference_mode()
    def detect(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        image = np.ascontiguousarray(picture[:, :, ::-1])
        inputs = processor(images=image, return_tensors="pt").to(device)
        (found,) = processor.post_process_object_detection(
            network(**inputs), threshold=threshold, target_sizes=[image.shape[:2]]
        )
        chosen = torch.isin(found["labels"], torch.tensor(persons, device=found["labels"].device))
        return _boxes(found["boxes"][chosen], found["scores"][chosen])

    return detect


def _boxes(corners: torch.Tensor, scores: torch.Tensor) -> NDArray[np.float64]:
    """[N, 5] of x, y, width, height, score from [N, 4] of two corners; empty boxes are left out."""
    values = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2], scores[:, None]], dim=1)
    return values[(values[:, 2:4] > 0).all(dim=1)].double().cpu().numpy()
