"""hhd export: the graph's numbers are PyTorch's, for every network, decoding and precision."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hhd import Pose
from hhd.cli import main
from hhd.data.dataset import CropDataset
from hhd.data.read import read_annotations
from hhd.data.synthetic import draw_person
from hhd.engines import OnnxEngine, TorchEngine
from hhd.export import run as export_run
from hhd.export.check import difference
from hhd.export.crops import generated_crops
from hhd.export.graph import half_weights, metadata_of, onnx_graph, with_metadata
from hhd.models import build_model
from hhd.models.files import ModelCard, load_model, save_model
from hhd.models.shipped import SHIPPED

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("one_thread")
EXAMPLE = Path(__file__).parents[2] / "examples" / "onnxruntime_decode.py"


def network_of(name, crops, joints=14):
    """A network with random weights whose maps have peaks."""
    torch.manual_seed(0)
    network = build_model(name, joints).eval()
    images = torch.from_numpy(crops.transpose(0, 3, 1, 2)).float() / 128 - 1
    last = network.last_convolution()
    with torch.no_grad():
        maps = network(images)
        last.weight /= maps.std(dim=(0, 2, 3)).clamp_min(1e-30).view(-1, 1, 1, 1)
    return network


def card_of(name, skeleton, **fields):
    values = {"task": "integral", "input_size": (64, 96), "decode_window": 9, **fields}
    return ModelCard(model=name, padding=1.25, beta=10.0, sigma=2.0, skeleton=skeleton, **values)


def engines_of(network, card, precision="float32"):
    graph = onnx_graph(network, card)
    if precision == "float16":
        graph = half_weights(graph)
    graph = with_metadata(graph, metadata_of(card, precision, None))
    onnx.checker.check_model(onnx.load_from_string(graph))
    return OnnxEngine(graph, "test"), TorchEngine(network, card, torch.device("cpu"))


def largest(engine, reference, crops):
    """The largest difference in pixels and in confidence, of a batch of 5 and of 1."""
    apart = []
    for batch in (crops[:5], crops[5:6]):
        (keypoints, sure), (wanted, wanted_sure) = engine(batch), reference(batch)
        assert keypoints.shape == wanted.shape == (len(batch), 14, 2)
        apart.append((abs(keypoints - wanted).max(), abs(sure - wanted_sure).max()))
    return np.max(apart, axis=0)


NETWORKS = (
    "lite0_student", "small_student", "phone", "litehrnet18", "mobilenetv2",
    "shufflenetv2", "hrnet_w32", "resnet50", "vitpose_s",
)  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(name, lsp14):
    if name == "vitpose_s":
        pytest.importorskip("transformers")
    size = (192, 256) if name == "vitpose_s" else (64, 96)
    card = card_of(name, lsp14, input_size=size)
    crops = generated_crops(card, 6)
    network = network_of(name, crops)
    pixels, confidence = largest(*engines_of(network, card), crops)
    assert pixels < 0.01
    assert confidence < 1e-4


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"decode_window": None}, 0.002),
        ({"confidence": "constant", "flip_test": "coordinates"}, 0.002),
        ({"flip_test": "heatmaps", "flip_shift": "cell"}, 0.002),
        ({"task": "heatmap", "heatmap_decode": "plain"}, 1e-9),
        ({"task": "heatmap", "heatmap_decode": "quarter"}, 1e-9),
        ({"task": "heatmap", "heatmap_decode": "quarter_hrnet"}, 1e-9),
        # The second derivative of random maps' logarithm is small, and divides.
        ({"task": "heatmap", "heatmap_decode": "dark", "flip_test": "heatmaps"}, 0.05),
        ({"task": "heatmap", "heatmap_decode": "dark_udp", "affine": "udp"}, 0.05),
    ],
)
def test_every_decoding(fields, limit, lsp14):
    card = card_of("small_student", lsp14, **fields)
    crops = generated_crops(card, 6)
    engine, reference = engines_of(network_of("small_student", crops), card)
    pixels, _ = largest(engine, reference, crops)
    assert pixels <= limit
    # The decoding counts: another one answers otherwise.
    other = replace(card, decode_window=5) if card.task == "integral" else None
    if other is None:
        other = replace(card, affine="standard", heatmap_decode="plain", flip_test="none")
    keypoints, _ = TorchEngine(reference.network, other, torch.device("cpu"))(crops)
    if fields.get("heatmap_decode") != "plain":
        assert abs(keypoints - engine(crops)[0]).max() > 0.1


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The shipped network by the command, as it comes."""
    path = tmp_path_factory.mktemp("export") / "student.onnx"
    assert main(["export", "--output", str(path)]) == 0
    return path


def test_what_the_file_says(shipped, tmp_path, capsys):
    _, card = load_model(SHIPPED)
    model = onnx.load(shipped)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["joints"]) == list(card.skeleton.joints)
    assert json.loads(said["input_size"]) == [160, 160]
    assert json.loads(said["padding"]) == 1.25
    assert said["affine"] == "standard"
    assert said["decode"] == "soft-argmax, beta 10, window 9, flip test none"
    assert said["precision"] == "float32"
    assert said["source"] == card.source
    assert said["licence"] == "Apache-2.0"
    # A recipe has the paths of the machine that trained it.
    assert json.loads(said["hhd"])["recipe"] is None
    assert {entry.domain for entry in model.opset_import} == {""}
    (images,), (keypoints, confidence) = model.graph.input, model.graph.output
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = [d.dim_param or d.dim_value for d in images.type.tensor_type.shape.dim]
    assert sides == ["batch", 160, 160, 3]
    assert (keypoints.name, confidence.name) == ("keypoints", "confidence")

    out = tmp_path / "plain.onnx"
    words = ["--output", str(out), "--decode-window=whole", "--flip-test=heatmaps", "--half"]
    assert main(["export", str(SHIPPED), *words, "--opset=18"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "float16, 2.2 MB, ONNX opset 18, flip test heatmaps, which doubles the time" in text
    assert "on 8 generated crops (limit: 1 pixels in the median)" in text
    assert out.stat().st_size < 0.55 * shipped.stat().st_size
    assert Pose(out).card.decode_window is None


def photographs(people, shared=None):
    """Annotations and pictures: generated people, or photographs."""
    if shared is None:
        return people / "annotations.json", people / "images"
    return shared / "lspet/annotations/lspet_val.json", shared / "lspet/images"


def test_pose_of_the_file_is_pose_of_the_model(shipped, people, lsp14, tmp_path):
    shared = Path(os.environ.get("HHD_SHARED", Path(__file__).parents[3] / "shared")) / "data"
    sources = [photographs(people), *([photographs(people, shared)] if shared.is_dir() else [])]
    by_onnx, by_torch = Pose(shipped), Pose(flip_test="none")
    assert by_onnx.joints == by_torch.joints
    for annotations, images in sources:
        persons = read_annotations(annotations, images, lsp14).require()[:8]
        work = [(person.image, [person.box]) for person in persons]
        for (one,), (other,) in zip(by_onnx.stream(work), by_torch.stream(work), strict=True):
            assert abs(one.keypoints - other.keypoints).max() < 0.01
            assert abs(one.confidence - other.confidence).max() < 1e-4
            assert one.score == pytest.approx(other.score, abs=1e-4)

    picture = people / "images" / "000001.png"
    rows = []
    for model, out in ((shipped, "a"), (SHIPPED, "b")):
        words = [str(model), str(picture), f"--output={tmp_path / out}", "--flip-test=none"]
        assert main(["predict", *words]) == 0
        rows.append(json.loads((tmp_path / out / "predictions.json").read_text())[0]["people"][0])
    for one, other in zip(rows[0]["joints"], rows[1]["joints"], strict=True):
        assert one["x"] == pytest.approx(other["x"], abs=0.011)


def test_the_example_runs_without_torch(shipped, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not to be imported')\n")
    picture = draw_person(5, 1).image[:, :90]
    file = tmp_path / "a.png"
    cv2.imwrite(str(file), picture)
    box = [10.5, 8.0, 61.0, 90.25]
    for words in ([str(side) for side in box], []):
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), str(shipped), str(file), *words],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows = [line.split() for line in done.stdout.splitlines()]
        (found,) = Pose(flip_test="none")(picture, [box] if words else None)
        assert [row[0] for row in rows] == list(Pose().joints)
        got = np.array([row[1:] for row in rows], dtype=float)
        assert abs(got[:, :2] - found.keypoints).max() < 0.01
        assert abs(got[:, 2] - found.confidence).max() < 1e-3


def test_the_example_crops_as_udp_has_it(tmp_path, lsp14, people):
    card = card_of("small_student", lsp14, affine="udp", task="heatmap", heatmap_decode="dark_udp")
    model, out = tmp_path / "model.safetensors", tmp_path / "udp.onnx"
    save_model(model, network_of("small_student", generated_crops(card)), card)
    assert main(["export", str(model), "--output", str(out)]) == 0
    picture = people / "images" / "000001.png"
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), str(out), str(picture), "10", "20", "50", "40"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    got = np.array([line.split()[1:3] for line in done.stdout.splitlines()], dtype=float)
    (found,) = Pose(model)(picture, [[10, 20, 50, 40]])
    assert np.median(abs(got - found.keypoints)) < 0.01


def test_int8_keeps_the_accuracy(tmp_path, shared_data, lsp14, capsys):
    """The shipped network on photographs that it has not seen: within two points of PCK."""
    annotations, images = photographs(None, shared_data)
    content = json.loads(annotations.read_text())
    content["annotations"] = content["annotations"][:24]
    few = tmp_path / "few.json"
    few.write_text(json.dumps(content))
    out = tmp_path / "int8.onnx"
    words = ["--int8", f"--calibrate={shared_data}/lspet/annotations/lspet_train.json"]
    words += ["--calibration=20", f"--check={few}", f"--images={images}"]
    assert main(["export", "--output", str(out), *words]) == 0
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        cells = [cell.strip() for cell in line.replace("│", "|").strip("|").split("|")]
        if cells[0] in ("PyTorch", "ONNX float32", "ONNX int8"):
            rows[cells[0]] = [float(cell) for cell in cells[1:4]]
    assert rows["ONNX float32"] == rows["PyTorch"]
    assert rows["PyTorch"][0] > 50
    assert np.abs(np.subtract(rows["ONNX int8"], rows["PyTorch"])).max() <= 2
    assert out.stat().st_size < 1.5e6


def test_int8_is_of_the_network_alone(tmp_path, people):
    out = tmp_path / "int8.onnx"
    words = ["--int8", f"--calibrate={people / 'images'}", "--limit=3"]
    assert main(["export", "--output", str(out), *words]) == 0
    graph = onnx.load(out).graph
    made_by = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    float_ones = [
        node.name
        for node in convolutions
        if getattr(made_by.get(node.input[1]), "op_type", "") != "DequantizeLinear"
    ]
    assert float_ones == ["/network/final/Conv"]
    decoding = [
        node
        for node in graph.node
        if not node.name.startswith("/network/")
        and node.op_type not in ("QuantizeLinear", "DequantizeLinear")
    ]
    made = [made_by[name].op_type for node in decoding for name in node.input if name in made_by]
    assert "LogSoftmax" in {node.op_type for node in decoding}
    assert "DequantizeLinear" not in made
    persons = read_annotations(*photographs(people), Pose().skeleton).require()
    data = CropDataset(persons, Pose().skeleton, input_size=(160, 160), stride=2)
    crops = np.stack([data[i]["image"].transpose(1, 2, 0) for i in range(8)])
    network, card = load_model(SHIPPED)
    reference = TorchEngine(network, replace(card, flip_test="none"), torch.device("cpu"))
    keypoints, _ = OnnxEngine(out.read_bytes(), "int8")(crops)
    assert difference(keypoints, reference(crops)[0]).median < 1.5


def test_a_graph_that_differs_is_not_written(tmp_path, capsys, monkeypatch):
    """A planted bug in what is exported, which PyTorch's own path does not have."""

    def shifted(network, card, opset):
        return onnx_graph(network, replace(card, decode_window=None), opset)

    out = tmp_path / "student.onnx"
    out.write_bytes(b"mine")
    monkeypatch.setattr(export_run, "onnx_graph", shifted)
    assert main(["export", "--output", str(out)]) == 1
    error = capsys.readouterr().err
    assert "the graph differs from PyTorch by" in error
    assert "beyond the limit of 0.1 pixels at most: nothing is written" in error
    assert error.count("\n") == 1
    assert out.read_bytes() == b"mine"


def test_bad_input_is_one_sentence(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    good = ["--output", str(tmp_path / "x.onnx")]
    for words, sentence in (
        (["--output", "x.pt"], "output is x.pt; it takes a file NAME.onnx"),
        (["--output", f"{tmp_path}/file/x.onnx"], "output folder"),
        ([*good, "--int8"], "int8 takes --calibrate, pictures or annotations"),
        ([*good, "--calibrate", "x"], "calibrate is x, which is for --int8 alone"),
        ([*good, "--int8", f"--calibrate={tmp_path}/no"], "calibrate: image"),
        ([*good, "--int8", f"--calibrate={tmp_path}/empty"], "calibrate: folder"),
        ([*good, "--int8", "--calibrate=no.json"], "annotation file no.json does not exist"),
        ([*good, "--images=x"], "images is x, but no annotation file is given"),
        ([*good, "--limit=-1"], "limit is -1.0; it takes a positive number"),
        ([*good, "--opset=40"], "opset is 40; it takes 13 to 20"),
        ([*good, "--check=no.json"], "annotation file no.json does not exist"),
        ([f"{tmp_path}/no.safetensors", *good], "no.safetensors does not exist"),
        ([*good, "--beta=-1"], "beta is -1.0"),
    ):
        assert main(["export", *words]) == 1, words
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["export", *good]) == 1
    assert "pip install 'hhd-kernels[onnx]'" in capsys.readouterr().err


def test_files_that_are_not_ours_are_named(tmp_path, capsys, shipped):
    foreign = onnx.load(shipped)
    del foreign.metadata_props[:]
    onnx.save(foreign, str(tmp_path / "foreign.onnx"))
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    for name, words, sentence in (
        ("no.onnx", [], "does not exist"),
        ("junk.onnx", [], "is no ONNX file that can be run"),
        ("foreign.onnx", [], "has no hhd card; it takes an .onnx that hhd export wrote"),
        ("foreign.onnx", ["--device=tpu"], "device is 'tpu'; it takes auto, cpu"),
        (shipped, ["--flip-test=heatmaps"], "flip_test is 'heatmaps', but model file"),
    ):
        assert main(["predict", str(tmp_path / name), str(tmp_path / "a.png"), *words]) == 1
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
