"""Every kind of teacher gives its own numbers as maps of the student's joints, or says why not."""

import json
import shutil
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

from hhd.data.dataset import RGB_MEAN, RGB_STD, normalise_images
from hhd.models import build_model
from hhd.models.files import ModelCard, save_model
from hhd.teach.networks import open_teacher

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

WIDTH, HEIGHT, STRIDE = 24, 32, 4
JOINTS = ["left_hip", "right_hip", "nose"]
TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
WEIGHT = torch.randn(3, 3, STRIDE, STRIDE, generator=torch.manual_seed(0)) / 7


@pytest.fixture
def crops():
    return np.random.default_rng(1).integers(0, 256, (5, HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def write(tmp_path):
    """Writes a card, and gives its path."""

    def card(name="teacher", **values):
        path = tmp_path / f"{name}.yaml"
        values = {"network": "net.onnx", "input_size": [WIDTH, HEIGHT], "joints": JOINTS} | values
        path.write_text(yaml.safe_dump(values))
        return path

    return card


def write_onnx(path, *, batch="batch", layout="nchw", output_layout="nchw", dtype="float32"):
    """One convolution by WEIGHT, of stride 4; its output is called maps, beside another one."""
    sides = [3, HEIGHT, WIDTH] if layout == "nchw" else [HEIGHT, WIDTH, 3]
    nodes = [helper.make_node("Cast", ["images"], ["whole"], to=TensorProto.FLOAT)]
    seen = "whole"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [seen], ["planes"], perm=[0, 3, 1, 2]))
        seen = "planes"
    nodes.append(helper.make_node("Conv", [seen, "weight"], ["answer"], strides=[STRIDE] * 2))
    turned = [0, 2, 3, 1] if output_layout == "nhwc" else [0, 1, 2, 3]
    nodes.append(helper.make_node("Transpose", ["answer"], ["maps"], perm=turned))
    nodes.append(helper.make_node("Identity", ["answer"], ["other"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TYPES[dtype], [batch, *sides])],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * 4)
            for n in ("maps", "other")
        ],
        [numpy_helper.from_array(WEIGHT.numpy(), "weight")],
    )
    save(graph, path)


def save(graph, path):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def answers(crops, mean=RGB_MEAN, std=RGB_STD, bgr=False):
    """What the tiny network gives, by torch."""
    images = (torch.from_numpy(crops).float() - torch.tensor(mean)) / torch.tensor(std)
    images = images.flip(3) if bgr else images
    return F.conv2d(images.permute(0, 3, 1, 2), WEIGHT, stride=STRIDE)


def joint(lsp14, name):
    return lsp14.joints.index(name)


@pytest.mark.parametrize("batch", ["batch", 1, 3])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("output_layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_onnx_heatmaps(tmp_path, write, crops, lsp14, batch, layout, output_layout, dtype):
    layouts = {"layout": layout, "output_layout": output_layout}
    write_onnx(tmp_path / "net.onnx", batch=batch, dtype=dtype, **layouts)
    found = open_teacher(write(output="maps", **layouts), lsp14)(crops)
    expected = answers(crops).clamp(min=0)
    assert found.shape == (5, 14, 8, 6)
    assert found.dtype == torch.float32
    tolerance = 1e-4 if dtype == "float32" else 2e-2
    for channel, name in enumerate(JOINTS[:2]):
        place = joint(lsp14, name)
        torch.testing.assert_close(found[:, place], expected[:, channel], atol=tolerance, rtol=0)
    others = [i for i, name in enumerate(lsp14.joints) if name not in JOINTS]
    assert not found[:, others].any()


def test_onnx_colours_and_normalisation(tmp_path, write, crops, lsp14):
    write_onnx(tmp_path / "net.onnx")
    path = write(output="maps", channels="bgr", mean=[10, 20, 30], std=[40, 50, 60])
    found = open_teacher(path, lsp14)(crops)[:, joint(lsp14, "left_hip")]
    expected = answers(crops, (10.0, 20.0, 30.0), (40.0, 50.0, 60.0), bgr=True)[:, 0].clamp(min=0)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_onnx_of_whole_pixels(tmp_path, write, crops, lsp14, channels, layout):
    write_onnx(tmp_path / "net.onnx", dtype="uint8", layout=layout)
    options = {"output": "maps", "layout": layout, "channels": channels}
    with pytest.raises(
        ValueError, match=r"takes tensor\(uint8\), pixels as they are: mean must be"
    ):
        open_teacher(write(**options), lsp14)
    path = write(mean=[0, 0, 0], std=[1, 1, 1], **options)
    found = open_teacher(path, lsp14)(crops)[:, joint(lsp14, "left_hip")]
    plain = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    expected = answers(crops, *plain, bgr=channels == "bgr")[:, 0].clamp(min=0)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-5)


def test_onnx_logits(tmp_path, write, crops, lsp14):
    write_onnx(tmp_path / "net.onnx")
    raw, place = answers(crops)[:, 0], joint(lsp14, "left_hip")
    found = open_teacher(write(output="maps", activation="sigmoid"), lsp14)(crops)[:, place]
    torch.testing.assert_close(found, raw.sigmoid(), atol=1e-4, rtol=0)
    found = open_teacher(write(output="maps", activation="softmax", beta=3), lsp14)(crops)[:, place]
    expected = (3 * raw.flatten(1)).softmax(1).view_as(raw)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def write_simcc(path):
    """The brightest red pixel of each column and row, as the vectors x and y of one joint."""
    axes = {"x": [1, 2], "y": [1, 3]}
    nodes = [helper.make_node("Slice", ["images", "from", "to", "axis"], ["red"])]
    for name, over in axes.items():
        nodes.append(helper.make_node("ReduceMax", ["red"], [f"{name}_"], axes=over, keepdims=0))
        nodes.append(helper.make_node("Unsqueeze", [f"{name}_", "axis"], [name]))
    graph = helper.make_graph(
        nodes,
        "simcc",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["b", 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in axes],
        [
            numpy_helper.from_array(np.array([value]), name)
            for name, value in (("from", 0), ("to", 1), ("axis", 1))
        ],
    )
    save(graph, path)


@pytest.mark.parametrize("activation", ["none", "softmax"])
@pytest.mark.parametrize(("grid", "offset"), [("stride", 0), ("half_pixel", 1.5)])
def test_onnx_simcc(tmp_path, write, lsp14, activation, grid, offset):
    write_simcc(tmp_path / "net.onnx")
    crops = np.zeros((2, HEIGHT, WIDTH, 3), dtype=np.uint8)
    crops[0, 13, 7, 0], crops[1, 22, 18, 0] = 255, 128
    path = write(
        kind="simcc", output_x="x", output_y="y", split_ratio=1, map_size=[6, 8], beta=20,
        activation=activation, grid=grid, joints=["left_hip"], mean=[0, 0, 0], std=[255] * 3,
    )  # fmt: skip
    found = open_teacher(path, lsp14)(crops)[:, joint(lsp14, "left_hip")]
    assert found.shape == (2, 8, 6)
    for maps, (x, y) in zip(found, [(7, 13), (18, 22)], strict=True):
        mass = maps / maps.sum()
        centre = mass.sum(0) @ torch.arange(6.0), mass.sum(1) @ torch.arange(8.0)
        expected = (x - offset) / 4, (y - offset) / 4
        # A softmax has a background.
        np.testing.assert_allclose(centre, expected, atol=5e-3 if activation == "softmax" else 1e-5)
    peaks = found.amax((1, 2))
    if activation == "none":
        # The peak is as high as the vectors', however the cells share it.
        torch.testing.assert_close(peaks, torch.tensor([1.0, 128 / 255]))
    else:
        torch.testing.assert_close(found.sum((1, 2)), torch.ones(2))
    with pytest.raises(
        ValueError, match=r"simcc vectors \[2, 1, 24\] along x; it takes \[2, 1, 48\]"
    ):
        open_teacher(
            write(kind="simcc", output_x="x", output_y="y", map_size=[6, 8], joints=["left_hip"]),
            lsp14,
        )(crops)


def test_onnx_with_its_tensors_beside_it(tmp_path, write, crops, lsp14):
    write_onnx(tmp_path / "net.onnx")
    whole = open_teacher(write(output="maps"), lsp14)
    model = onnx.load(str(tmp_path / "net.onnx"))
    beside = {"save_as_external_data": True, "location": "net.bin", "size_threshold": 0}
    onnx.save(model, str(tmp_path / "net.onnx"), **beside)
    split = open_teacher(write(output="maps"), lsp14)
    torch.testing.assert_close(split(crops), whole(crops), atol=0, rtol=0)
    data = bytearray((tmp_path / "net.bin").read_bytes())
    data[3] ^= 64
    (tmp_path / "net.bin").write_bytes(data)
    assert open_teacher(write(output="maps"), lsp14).digest != split.digest


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "output is None; it takes one of maps, other"),
        ({"output": "map"}, "output is map; it takes one of maps, other"),
        ({"kind": "simcc", "map_size": [6, 8]}, "output_x is None; it takes one of maps, other"),
        (
            {"output": "maps", "layout": "nhwc"},
            r"layout nhwc and input_size \[24, 32\] give \[B, 32",
        ),
        ({"output": "maps", "input_size": [48, 64]}, r"takes images \['batch', 3, 32, 24\]"),
        ({"output": "maps", "input_size": None}, "input_size is missing; a teacher card"),
    ],
)
def test_an_onnx_file_that_the_card_does_not_fit(tmp_path, write, lsp14, options, sentence):
    write_onnx(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=rf"teacher .*net.onnx.*{sentence}"):
        open_teacher(write(**options), lsp14)


def test_no_onnx_file(tmp_path, write, lsp14):
    with pytest.raises(FileNotFoundError, match=r"teacher network .*net.onnx does not exist"):
        open_teacher(write(), lsp14)
    (tmp_path / "net.onnx").write_bytes(b"no graph")
    with pytest.raises(ValueError, match=r"net.onnx is no ONNX file that can be run: "):
        open_teacher(write(), lsp14)


def test_joints_by_name_number_and_none(tmp_path, write, crops, lsp14):
    write_onnx(tmp_path / "net.onnx")
    joint_map = {"neck": "nose", "head_top": 2, "right_hip": None}
    network = open_teacher(write(output="maps", joint_map=joint_map), lsp14)
    taught = {"left_hip": 0, "neck": 2, "head_top": 2}
    assert network.channels == [taught.get(name, -1) for name in lsp14.joints]
    assert network.untaught == tuple(name for name in lsp14.joints if name not in taught)
    found = network(crops)
    torch.testing.assert_close(found[:, 12], answers(crops)[:, 2].clamp(min=0), atol=1e-4, rtol=0)
    assert not found[:, joint(lsp14, "right_hip")].any()
    # Numbers alone, without names.
    bare = open_teacher(write(output="maps", joints=None, joint_map={"neck": 2}), lsp14)
    torch.testing.assert_close(bare(crops)[:, 12], found[:, 12])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"joint_map": {"nek": 1}}, r"joint_map names \['nek'\], not among the joints of skeleton"),
        ({"joints": ["a", "b", "c"]}, r"teaches no joint of skeleton lsp14: its joints are \['a'"),
        ({"joint_map": {"neck": "throat"}}, "joint_map names 'throat', not among the teacher's"),
        ({"joints": None}, "teaches no joint of skeleton lsp14: its card names no joints"),
        ({"joint_map": {"neck": 3}}, "joint_map names channel 3 of 3 joints"),
    ],
)
def test_joints_that_do_not_fit(tmp_path, write, lsp14, options, sentence):
    write_onnx(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=sentence):
        open_teacher(write(output="maps", **options), lsp14)


def test_channels_are_as_many_as_the_card_says(tmp_path, write, crops, lsp14):
    write_onnx(tmp_path / "net.onnx")
    four = open_teacher(write(output="maps", joints=[*JOINTS, "neck"]), lsp14)
    with pytest.raises(
        ValueError, match=r"gave maps \[5, 3, 8, 6\] as nchw; it takes \[5, 4, h, w\]"
    ):
        four(crops)
    bare = open_teacher(write(output="maps", joints=None, joint_map={"neck": 3}), lsp14)
    with pytest.raises(ValueError, match="has 3 channels; joint_map names channel 3"):
        bare(crops)


@pytest.mark.parametrize(
    "crops",
    [np.zeros((1, 24, 32, 3), np.uint8), np.zeros((1, 32, 24, 3)), np.zeros((0, 32, 24, 3))],
)
def test_crops_of_another_size(tmp_path, write, lsp14, crops):
    write_onnx(tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"crops is .*takes uint8 \[B, 32, 24, 3\]"):
        open_teacher(write(output="maps"), lsp14)(crops)


@pytest.fixture
def mine(monkeypatch):
    """Puts a function where ``python:mine:teacher`` finds it."""

    def put(function):
        module = ModuleType("mine")
        module.teacher = function
        monkeypatch.setitem(sys.modules, "mine", module)

    return put


def test_a_function(mine, write, crops, lsp14):
    seen = []

    def teacher(crops):
        seen.append(crops)
        return crops[:, ::4, ::4].transpose(0, 3, 1, 2)

    mine(teacher)
    network = open_teacher(write(network="python:mine:teacher"), lsp14)
    found = network(crops)
    assert seen[0] is crops
    expected = torch.from_numpy(crops[:, ::4, ::4, 1]).float()
    torch.testing.assert_close(found[:, joint(lsp14, "right_hip")], expected)
    assert network.describe()["network"] == "python:mine:teacher"


@pytest.mark.parametrize(
    ("gives", "sentence"),
    [
        (lambda n: np.full((n, 3, 8, 6), np.nan), "gave a map of right_hip that is not finite"),
        (lambda n: np.full((n, 3, 8, 6), np.inf), "gave a map of right_hip that is not finite"),
        (lambda n: np.zeros((n, 8, 6)), r"gave maps \[5, 8, 6\] as nchw"),
        (lambda n: np.zeros((n - 1, 3, 8, 6)), r"gave maps \[4, 3, 8, 6\] as nchw"),
        (lambda n: "nothing", "gave no array"),
        (lambda n: (np.zeros((n, 3, 8, 6)),) * 2, "gave 2 outputs; heatmaps takes 1"),
    ],
)
def test_a_function_that_gives_no_maps(mine, write, crops, lsp14, gives, sentence):
    mine(lambda crops: gives(len(crops)))
    with pytest.raises(ValueError, match=f"teacher python:mine:teacher {sentence}"):
        open_teacher(write(network="python:mine:teacher"), lsp14)(crops)


def test_a_nan_where_nothing_is_taught_is_nothing(mine, write, crops, lsp14):
    maps = np.ones((5, 3, 8, 6), dtype=np.float32)
    maps[:, 2] = np.nan
    mine(lambda crops: maps)
    found = open_teacher(write(network="python:mine:teacher"), lsp14)(crops)
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("python:no_such:f", "cannot be imported: No module named 'no_such'"),
        ("python:os:no_such", "cannot be imported: module 'os' has no attribute 'no_such'"),
        ("python:os", r"cannot be imported: .*it takes python:package.module:function"),
        ("python:os:name", "is no function"),
    ],
)
def test_no_function(write, lsp14, name, sentence):
    with pytest.raises(ValueError, match=rf"teacher is '{name}', which {sentence}"):
        open_teacher(write(network=name), lsp14)


def test_a_model_of_ours_needs_no_card(tmp_path, write, lsp14):
    model = build_model("small_teacher", 14).eval()
    own = ModelCard(
        "small_teacher", "heatmap", (64, 96), 1.4, 10.0, 1.5, lsp14, affine="udp",
        heatmap_decode="dark_udp",
    )  # fmt: skip
    save_model(tmp_path / "model.safetensors", model, own)
    network = open_teacher(tmp_path / "model.safetensors", lsp14)
    assert (network.input_size, network.padding, network.affine, network.grid) == (
        (64, 96), 1.4, "udp", "align_corners",
    )  # fmt: skip
    assert network.untaught == ()
    crops = np.random.default_rng(1).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)
    images = normalise_images(torch.from_numpy(crops).permute(0, 3, 1, 2))
    with torch.no_grad():
        expected = model(images).clamp(min=0)
    torch.testing.assert_close(network(crops), expected, atol=1e-5, rtol=1e-4)
    # A card may add to what the model's own says.
    path = write(
        network="model.safetensors", padding=1.1, input_size=None, joints=None,
        joint_map={"neck": "head_top"},
    )  # fmt: skip
    mapped = open_teacher(path, lsp14)
    assert (mapped.padding, mapped.affine) == (1.1, "udp")
    torch.testing.assert_close(mapped(crops)[:, 12], network(crops)[:, 13])
    with pytest.raises(
        ValueError, match=r"teacher network .*: input_size is \[24, 32\]; the model"
    ):
        open_teacher(write(network="model.safetensors"), lsp14)


def test_an_integral_network_teaches_its_implicit_map(tmp_path, lsp14):
    """Of the Gaussian that its targets are it would make a map that peaks at 1."""
    torch.manual_seed(0)
    model = build_model("small_student", len(lsp14)).eval()
    card = ModelCard("small_student", "integral", (64, 96), 1.4, 5.0, 2.0, lsp14)
    save_model(tmp_path / "student.safetensors", model, card)
    network = open_teacher(tmp_path / "student.safetensors", lsp14)
    crops = np.random.default_rng(1).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)
    images = normalise_images(torch.from_numpy(crops).permute(0, 3, 1, 2))
    with torch.no_grad():
        mass = torch.softmax(5.0 * model(images).flatten(2), dim=2)
    found = network(crops)
    torch.testing.assert_close(found.flatten(2), mass * 2 * np.pi * 4.0, atol=1e-5, rtol=1e-4)
    cells = torch.arange(found.shape[3]) - 10.0
    profile = torch.exp(-cells.square() / 8)
    gaussian = torch.outer(profile, profile)
    assert float(gaussian.max() / gaussian.sum() * 2 * np.pi * 4) == pytest.approx(1, abs=0.01)


def test_another_checkpoint_by_its_model(tmp_path, write, lsp14):
    model = build_model("small_teacher", 3).eval()
    torch.save({"state_dict": model.state_dict()}, tmp_path / "their.pth")
    with pytest.raises(ValueError, match=r"their.pth is another's checkpoint.*must name the model"):
        open_teacher(write(network="their.pth", input_size=[64, 96]), lsp14)
    path = write(network="their.pth", model="small_teacher", input_size=[64, 96])
    network = open_teacher(path, lsp14)
    crops = np.random.default_rng(1).integers(0, 256, (2, 96, 64, 3), dtype=np.uint8)
    images = normalise_images(torch.from_numpy(crops).permute(0, 3, 1, 2))
    with torch.no_grad():
        expected = model(images)[:, 1].clamp(min=0)
    found = network(crops)[:, joint(lsp14, "right_hip")]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.fixture
def vitpose(tmp_path):
    """A folder as transformers writes it, and the network."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)

    def save(name="vitpose", experts=1, labels=None):
        backbone = transformers.VitPoseBackboneConfig(
            image_size=(64, 48), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            out_indices=[2], num_experts=experts, part_features=8 if experts > 1 else 0,
        )  # fmt: skip
        options = {"num_labels": 17} if labels is None else {"id2label": dict(enumerate(labels))}
        config = transformers.VitPoseConfig(backbone_config=backbone, **options)
        model = transformers.VitPoseForPoseEstimation(config).eval()
        model.save_pretrained(tmp_path / name)
        return tmp_path / name, model

    return save


@pytest.mark.parametrize("experts", [1, 3])
def test_vitpose_from_a_folder(vitpose, lsp14, experts):
    folder, model = vitpose(experts=experts)
    network = open_teacher(folder, lsp14)
    # transformers' image processor crops as UDP does.
    assert (network.input_size, network.affine, network.grid) == ((48, 64), "udp", "align_corners")
    crops = np.random.default_rng(1).integers(0, 256, (2, 64, 48, 3), dtype=np.uint8)
    images = normalise_images(torch.from_numpy(crops).permute(0, 3, 1, 2))
    expert = torch.zeros(2, dtype=torch.long) if experts > 1 else None
    with torch.no_grad():
        expected = model(images, dataset_index=expert).heatmaps.clamp(min=0)
    found = network(crops)
    # COCO's names, since the configuration has none.
    for channel, name in ((11, "left_hip"), (16, "right_ankle")):
        torch.testing.assert_close(
            found[:, joint(lsp14, name)], expected[:, channel], atol=1e-6, rtol=1e-5
        )
    assert network.untaught == ("neck", "head_top")
    assert expected.any()


def test_vitpose_from_the_hub(vitpose, lsp14, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    folder, _ = vitpose()
    asked = []

    def snapshot(name, *, allow_patterns):
        asked.append((name, allow_patterns))
        if name != "some/vitpose":
            raise OSError("no such\nrepository")
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    network = open_teacher("hf:some/vitpose", lsp14)
    assert asked == [("some/vitpose", ["config.json", "*.safetensors*"])]
    assert network.describe()["network"] == "hf:some/vitpose"
    with pytest.raises(ValueError, match="hf:other cannot be had from the hub: no such repository"):
        open_teacher("hf:other", lsp14)


def test_vitpose_names_its_joints(vitpose, lsp14):
    folder, _ = vitpose(labels=["Nose", "L_Hip", "R_Ankle", "Neck"])
    taught = {"left_hip": 1, "right_ankle": 2, "neck": 3}
    channels = open_teacher(folder, lsp14).channels
    assert channels == [taught.get(name, -1) for name in lsp14.joints]


def test_no_vitpose(vitpose, write, lsp14):
    folder, _ = vitpose()
    with pytest.raises(ValueError, match=r"takes images of \[48, 64\], input_size is \(24, 32\)"):
        open_teacher(write(network=str(folder)), lsp14)
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"is no ViTPose that transformers reads: "):
        open_teacher(folder, lsp14)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has model_type 'vitpose' and 0 .safetensors files"):
        open_teacher(folder, lsp14)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"has model_type 'bert'"):
        open_teacher(folder, lsp14)


def test_the_digest_is_of_weights_and_settings_and_not_of_the_place(tmp_path, write, lsp14):
    write_onnx(tmp_path / "net.onnx")
    digest = open_teacher(write(output="maps"), lsp14).digest
    assert len(digest) == 64
    (tmp_path / "moved").mkdir()
    for name in ("net.onnx", "teacher.yaml"):
        shutil.copy(tmp_path / name, tmp_path / "moved" / name)
    assert open_teacher(tmp_path / "moved/teacher.yaml", lsp14).digest == digest
    for change in ({"activation": "sigmoid"}, {"padding": 1.3}, {"joint_map": {"neck": 1}}):
        assert open_teacher(write(output="maps", **change), lsp14).digest != digest
    model = onnx.load(str(tmp_path / "net.onnx"))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHT.numpy() * 2, "weight"))
    onnx.save(model, str(tmp_path / "net.onnx"))
    assert open_teacher(write(output="maps"), lsp14).digest != digest


def test_what_a_store_keeps_of_it(tmp_path, write, lsp14):
    write_onnx(tmp_path / "net.onnx")
    network = open_teacher(write(output="maps"), lsp14)
    said = network.describe()
    assert (said["padding"], said["affine"], said["grid"]) == (1.25, "standard", "stride")
    assert (said["digest"], said["student_channels"]) == (network.digest, network.channels)
    assert said["network"] == "net.onnx"
    assert json.loads(json.dumps(said))["joints"] == JOINTS


def test_a_missing_teacher(tmp_path, lsp14):
    with pytest.raises(
        FileNotFoundError, match=r"teacher network .*none.safetensors does not exist"
    ):
        open_teacher(tmp_path / "none.safetensors", lsp14)
    with pytest.raises(ValueError, match=r"is a folder without a config.json"):
        open_teacher(tmp_path, lsp14)
