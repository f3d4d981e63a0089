"""BlazePose as a teacher: an ONNX file of its heatmaps and the card that `hhd teach` takes.

    pip install tf2onnx tensorflow-cpu ai-edge-litert onnxruntime   # in an environment of its own
    pip download --no-deps mediapipe==0.10.21   # a zip; holds pose_landmark_full.tflite
    npm pack @mediapipe/pose@0.5.1675469404     # a tar; holds pose_landmark_heavy.tflite too
    python benchmarks/blazepose.py pose_landmark_heavy.tflite --output teachers

It writes blazepose_heavy.onnx and blazepose_heavy.yaml, and compares the ONNX file with the TFLite
interpreter. BlazePose has no neck and no top of the head.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import yaml

SIDE, CELLS, CHANNELS = 256, 64, 39
# 33 landmarks (mediapipe's PoseLandmark) under the names that skeletons use, six auxiliary ones.
JOINTS = (
    *("nose", "left_eye_inner", "left_eye", "left_eye_outer"),
    *("right_eye_inner", "right_eye", "right_eye_outer", "left_ear", "right_ear"),
    *("mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index"),
    *("left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle", "left_heel", "right_heel", "left_foot_index"),
    *("right_foot_index", *(f"auxiliary_{number}" for number in range(6))),
)


def convert(tflite: Path, path: Path) -> None:
    """Write the part of the network that gives the heatmaps, for batches of any size."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.onnx"
        command = [sys.executable, "-m", "tf2onnx.convert", "--opset", "17"]
        subprocess.run([*command, "--tflite", str(tflite), "--output", str(whole)], check=True)
        graph = onnx.load(whole).graph
        heatmaps = next(
            output.name
            for output in graph.output
            if [side.dim_value for side in output.type.tensor_type.shape.dim][1:]
            == [CELLS, CELLS, CHANNELS]
        )
        onnx.utils.extract_model(str(whole), str(path), [graph.input[0].name], [heatmaps])
    model = onnx.load(path)
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # Shapes between the two are of one picture.
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def card(network: str) -> dict[str, object]:
    """The teacher card: mediapipe finds cells by floor(64 x), so they tile the input."""
    return {
        "network": network,
        "input_size": [SIDE, SIDE],
        "mean": [0, 0, 0],
        "std": [255, 255, 255],
        "layout": "nhwc",
        "output_layout": "nhwc",
        "activation": "sigmoid",
        "grid": "half_pixel",
        "padding": 1.25,
        "joints": list(JOINTS),
    }


def difference(tflite: Path, path: Path, pictures: int = 4) -> tuple[float, float]:
    """Largest difference of the logits between the interpreters on noise, and largest logit."""
    from ai_edge_litert.interpreter import Interpreter

    noise = np.random.default_rng(0).random((pictures, SIDE, SIDE, 3), dtype=np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: noise})[0]
    interpreter = Interpreter(str(tflite))
    interpreter.allocate_tensors()
    output = next(
        output["index"]
        for output in interpreter.get_output_details()
        if tuple(output["shape"][1:]) == (CELLS, CELLS, CHANNELS)
    )
    expected = []
    for picture in noise:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None])
        interpreter.invoke()
        expected.append(interpreter.get_tensor(output)[0])
    return float(np.abs(found - expected).max()), float(np.abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="pose_landmark_{lite,full,heavy}.tflite")
    parser.add_argument("--output", type=Path, required=True, help="folder for .onnx and .yaml")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"blazepose_{options.model.stem.removeprefix('pose_landmark_')}.onnx"
    convert(options.model, path)
    path.with_suffix(".yaml").write_text(yaml.safe_dump(card(path.name), sort_keys=False))
    apart, largest = difference(options.model, path)
    print(f"{path}: logits up to {largest:.0f}, at most {apart:.1e} from the TFLite interpreter")


if __name__ == "__main__":
    main()
