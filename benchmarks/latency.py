"""`python -m benchmarks.latency`: what decoding takes beside the network, one person, one core.

The claim that integral networks decode fast, against heatmap decoding as it is commonly written
(NumPy and OpenCV, joint by joint) and as it is written here. Contestants take turns; medians.
"""

import argparse
import json
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hhd_kernels as hk
from benchmarks import environment
from hhd.evaluation.decode import dark_kernel, dark_udp, quarter_offset
from hhd.models import build_model
from hhd.models.files import load_model
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


def networks(folder: Path) -> dict[str, Call]:
    """Each network on one crop, by PyTorch and by ONNX Runtime."""
    import onnxruntime

    calls: dict[str, Call] = {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    for name, joints, size in NETWORKS:
        model = load_model(SHIPPED)[0] if name == "shipped" else build_model(name, joints).eval()
        images = torch.randn(1, 3, *size)
        path = folder / f"{name}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (images,), path, dynamo=False, opset_version=17)
        session = onnxruntime.InferenceSession(path, options)
        feed = {session.get_inputs()[0].name: images.numpy()}
        at = f"{name} {size[0]}x{size[1]}"
        calls[f"{at}, PyTorch"] = lambda model=model, images=images: model(images)
        calls[f"{at}, ONNX Runtime"] = lambda session=session, feed=feed: session.run(None, feed)
    return calls


@torch.inference_mode()
def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds by group and contestant."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    found = {
        f"decoding {joints} x {height} x {width}": medians(
            decoders(joints, height, width), 10 * rounds
        )
        for joints, height, width in SIZES
    }
    with tempfile.TemporaryDirectory() as folder:
        found["networks"] = medians(networks(Path(folder)), rounds)
    return found


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args(arguments)
    found = measure(options.rounds)
    for group, times in found.items():
        print(group)
        for name, seconds in times.items():
            print(f"  {name:42} {1e6 * seconds:9.1f} us")
    if options.json:
        content = {"environment": environment.collect(), "seconds": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
