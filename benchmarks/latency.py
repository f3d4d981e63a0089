"""`python -m benchmarks.latency`: what a person takes on one core, network and decoding.

The claim that integral networks decode fast, against heatmap decoding as it is commonly written
(NumPy and OpenCV, joint by joint) and as it is written here. Contestants take turns; medians.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hhd_kernels as hk
from benchmarks import environment
from hhd.data.dataset import normalise_images
from hhd.data.skeleton import load_skeleton
from hhd.engines import Crops, TorchEngine
from hhd.evaluation.decode import dark_kernel, dark_udp, quarter_offset
from hhd.export.crops import generated_crops
from hhd.export.graph import onnx_graph
from hhd.export.int8 import int8_graph
from hhd.models import build_model
from hhd.models.base import PoseModel
from hhd.models.files import ModelCard, load_model
from hhd.models.shipped import SHIPPED

BETA = 10.0
SIZES = ((17, 64, 48), (14, 80, 80))
NETWORKS = (
    ("lite0_student", 14, (96, 96)),
    ("shipped", 14, (160, 160)),
    ("phone", 17, (256, 192)),
    ("litehrnet18", 17, (256, 192)),
    ("mobilenetv2", 17, (256, 192)),
)
"""Name, joints, (height, width)."""

Call = Callable[[], object]
Maps = NDArray[np.float32]


def medians(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Seconds of each; every round calls all of them, in a new order."""
    draw = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in draw.sample(list(calls), len(calls)):
            calls[name]()
            start = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - start)
    return {name: median(found) for name, found in times.items()}


def peaks(maps: Maps) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Columns and rows [K] of the maps' maxima."""
    rows, columns = np.divmod(maps.reshape(len(maps), -1).argmax(1), maps.shape[2])
    return columns, rows


def quarter_by_joint(maps: Maps) -> NDArray[np.float64]:
    """The quarter offset in a loop over joints."""
    height, width = maps.shape[1:]
    coords = np.stack(peaks(maps), axis=1).astype(np.float64)
    for joint, heat in enumerate(maps):
        x, y = (int(v) for v in coords[joint])
        if 0 < x < width - 1 and 0 < y < height - 1:
            slope = [heat[y, x + 1] - heat[y, x - 1], heat[y + 1, x] - heat[y - 1, x]]
            coords[joint] += 0.25 * np.sign(slope)
    return coords


def dark_by_joint(maps: Maps, kernel: int = 11) -> NDArray[np.float64]:
    """DARK with a blur and a Newton step for each joint."""
    height, width = maps.shape[1:]
    coords = np.stack(peaks(maps), axis=1).astype(np.float64)
    border = kernel // 2
    for joint, heat in enumerate(maps):
        padded = np.zeros((height + 2 * border, width + 2 * border), np.float32)
        padded[border:-border, border:-border] = heat
        blurred = cv2.GaussianBlur(padded, (kernel, kernel), 0)[border:-border, border:-border]
        logs = np.log(np.maximum(blurred * (heat.max() / blurred.max()), 1e-10))
        x, y = (int(v) for v in coords[joint])
        if 1 < x < width - 2 and 1 < y < height - 2:
            dx = 0.5 * (logs[y, x + 1] - logs[y, x - 1])
            dy = 0.5 * (logs[y + 1, x] - logs[y - 1, x])
            xx = 0.25 * (logs[y, x + 2] - 2 * logs[y, x] + logs[y, x - 2])
            yy = 0.25 * (logs[y + 2, x] - 2 * logs[y, x] + logs[y - 2, x])
            cross = logs[y + 1, x + 1] - logs[y - 1, x + 1] - logs[y + 1, x - 1]
            xy = 0.25 * (cross + logs[y - 1, x - 1])
            hessian = np.array([[xx, xy], [xy, yy]])
            if xx * yy - xy * xy != 0:
                coords[joint] -= np.linalg.inv(hessian) @ np.array([dx, dy])
    return coords


def integral_eager(maps: Tensor) -> Tensor:
    """The expectation in plain PyTorch."""
    p = torch.softmax(BETA * maps.flatten(2), dim=2).view_as(maps)
    x = (p.sum(2) * torch.arange(maps.shape[3])).sum(2)
    y = (p.sum(3) * torch.arange(maps.shape[2])).sum(2)
    return torch.stack([x, y], dim=2)


def decoders(joints: int, height: int, width: int) -> dict[str, Call]:
    """Every decoder on one person's maps, Gaussians with noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    centers = rng.uniform(8, [width - 9, height - 9], (joints, 2))
    squares = (columns - centers[:, :1, None]) ** 2 + (rows - centers[:, 1:, None]) ** 2
    noise = rng.uniform(0, 0.02, squares.shape)
    array = (np.exp(-squares / 8) + noise).astype(np.float32)
    maps, kernel = torch.from_numpy(array)[None], dark_kernel(2.0)
    return {
        "integral, whole map": lambda: hk.soft_argmax(maps, BETA),
        "integral, local": lambda: hk.soft_argmax(maps, BETA, window=9),
        "integral, whole map, plain PyTorch": lambda: integral_eager(maps),
        "peak": lambda: hk.locate_teacher(maps),
        "peak, as commonly written": lambda: peaks(array),
        "quarter offset": lambda: quarter_offset(maps),
        "quarter offset, as commonly written": lambda: quarter_by_joint(array),
        "DARK": lambda: hk.locate_teacher(maps, refine="dark", blur_kernel=kernel),
        "DARK with UDP's stencil": lambda: dark_udp(maps, kernel),
        "DARK, as commonly written": lambda: dark_by_joint(array),
    }


def networks(names: Collection[str]) -> dict[str, Call]:
    """Each network on one crop of pixels, by PyTorch and by ONNX Runtime.

    The graphs of hhd export have normalisation and decoding within them: of the integral network,
    and of the same as a heatmap network, plain and DARK. Its graph of maps is there, too, decoded
    as it is commonly written.
    """
    calls: dict[str, Call] = {}
    for name, joints, size in (row for row in NETWORKS if row[0] in names):
        network, card = load_model(SHIPPED) if name == "shipped" else untrained(name, joints, size)
        card = replace(card, flip_test="none", recipe=None)
        at = f"{name} {size[0]}x{size[1]}"
        crops = generated_crops(card, 1)
        images = normalise_images(torch.from_numpy(crops.transpose(0, 3, 1, 2).copy()))
        calls[f"{at}, maps, PyTorch"] = lambda network=network, images=images: network(images)
        engine = TorchEngine(network, card, torch.device("cpu"))
        calls[f"{at}, integral, PyTorch"] = lambda engine=engine, crops=crops: engine(crops)
        graph = onnx_graph(network, card)
        variants = {
            "integral": graph,
            "integral, int8": int8_graph(graph, [generated_crops(card, 16)]),
        }
        for decode in ("plain", "dark"):
            heat = replace(card, task="heatmap", heatmap_decode=decode)
            variants[f"heatmap, {decode}"] = onnx_graph(network, heat)
            variants[f"heatmap, {decode}, int8"] = int8_graph(
                variants[f"heatmap, {decode}"], [generated_crops(card, 16)]
            )
        for variant, model in variants.items():
            run = session_of(model, ["keypoints", "confidence"])
            calls[f"{at}, {variant}, ONNX"] = lambda run=run, crops=crops: run(crops)
        # Its maps leave the graph, as in most deployments.
        for kind in ("", ", int8"):
            model, output = with_maps(variants[f"heatmap, plain{kind}"])
            run = session_of(model, [output])
            for decode, common in (("plain", peaks), ("dark", dark_by_joint)):
                calls[f"{at}, heatmap, {decode}{kind}, ONNX and NumPy"] = (
                    lambda run=run, crops=crops, common=common: common(run(crops)[0][0])
                )
    return calls


def untrained(name: str, joints: int, size: tuple[int, int]) -> tuple[PoseModel, ModelCard]:
    """A network whose weights are random, which costs what trained ones do."""
    skeleton = load_skeleton("coco17" if joints == 17 else "lsp14")
    height, width = size
    card = ModelCard(name, "integral", (width, height), 1.25, BETA, 2.0, skeleton, decode_window=9)
    return build_model(name, joints).eval(), card


def session_of(model: bytes, outputs: list[str]) -> Callable[[Crops], list[Maps]]:
    """A graph on one core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda crops: session.run(outputs, {"images": crops})


def with_maps(model: bytes) -> tuple[bytes, str]:
    """The graph with its maps as an output alone, and their name."""
    import onnx
    from onnx.utils import Extractor

    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    inside = [node for node in proto.graph.node if node.name.startswith("/network/")]
    made = {name for node in inside for name in node.output}
    used = [
        name
        for node in proto.graph.node
        if not node.name.startswith("/network/")
        for name in node.input
        if name in made
    ]
    return Extractor(proto).extract_model(["images"], used[:1]).SerializeToString(), used[0]


@torch.inference_mode()
def measure(rounds: int, names: Collection[str]) -> dict[str, dict[str, float]]:
    """Microseconds by group and contestant."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found = {
        f"decoding {joints} x {height} x {width}": medians(
            decoders(joints, height, width), 10 * rounds
        )
        for joints, height, width in SIZES
    }
    found["networks"] = medians(networks(names), rounds)
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--networks", nargs="+", choices=[n[0] for n in NETWORKS], help="of them")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(arguments)
    found = measure(options.rounds, options.networks or [row[0] for row in NETWORKS])
    for group, times in found.items():
        print(group)
        for name, seconds in times.items():
            print(f"  {name:52} {1e6 * seconds:9.1f} us")
    if options.json:
        content = {"environment": environment.collect(), "seconds": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
