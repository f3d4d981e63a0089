"""ImageNet starts: other libraries' networks and ours give equal features from the same weights."""

import sys
from types import SimpleNamespace

import pytest
import torch

from hhd.models import build_model
from hhd.models.build import LIBRARIES, check_pretrained
from hhd.models.checkpoints import read_weights, start_from, weights_of
from hhd.models.imagenet import start_from_imagenet
from hhd.models.imagenet_layouts import (
    timm_mobilenet_v2,
    torchvision_mobilenet_v2,
    torchvision_shufflenet_v2,
)


def library(name):
    """torchvision from PyPI is built for a CUDA torch; its networks need none of its compiled ops,
    but importing it does."""
    if name == "timm":
        library("torchvision")
    try:
        torch.ops.torchvision.nms  # noqa: B018 - an attribute that may be missing
    except AttributeError:
        definitions = torch.library.Library("torchvision", "FRAGMENT")
        for op in ("nms", "qnms"):
            definitions.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.kept = definitions
    return pytest.importorskip(name)


def random_statistics(network):
    """Weights and batch norms that no two layers share."""
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.3)
        elif value.dim() == 1 and value.is_floating_point():
            value.add_(0.2 * torch.randn_like(value))
    return network.eval()


def their_features(name, network, images):
    if name == "mobilenetv2":
        return network.features(images)
    if name == "resnet50":
        x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        return network.layer4(network.layer3(network.layer2(network.layer1(x))))
    x = network.maxpool(network.conv1(images))
    return network.conv5(network.stage4(network.stage3(network.stage2(x))))


def check_start(name, state, tmp_path, expected):
    """From a file, in both formats, and from memory."""
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    for weights in (read_weights(tmp_path / "weights.pth"), weights_of(tmp_path / "x", state)):
        model = build_model(name, 5).eval()
        afresh = start_from(model, weights, name)
        assert afresh
        assert all(key.startswith("head.") for key in afresh)
        torch.testing.assert_close(expected(model), expected(None), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenetv2", "shufflenetv2", "resnet50"])
@torch.no_grad()
def test_torchvision(name, tmp_path):
    torchvision = library("torchvision")
    network = random_statistics(torchvision.models.get_model(LIBRARIES[name][1], weights=None))
    images = torch.randn(2, 3, 96, 64)

    def features(model):
        return their_features(name, network, images) if model is None else model.backbone(images)

    check_start(name, network.state_dict(), tmp_path, features)


@pytest.mark.parametrize(
    ("theirs", "name"), [("mobilenetv2_100", "mobilenetv2"), ("resnet50", "resnet50")]
)
@torch.no_grad()
def test_timm(theirs, name, tmp_path):
    timm = library("timm")
    network = random_statistics(timm.create_model(theirs))
    images = torch.randn(2, 3, 96, 64)

    def features(model):
        if model is not None:
            return model.backbone(images)
        return network.forward_features(images)

    check_start(name, network.state_dict(), tmp_path, features)


@pytest.mark.parametrize("name", ["hrnet_w32", "hrnet_w48"])
@torch.no_grad()
def test_timm_hrnet(name, tmp_path):
    timm = library("timm")
    network = random_statistics(timm.create_model(name))
    images = torch.randn(1, 3, 64, 64)

    def features(model):
        return (
            network.stages(_stem(network, images))[0] if model is None else model.backbone(images)
        )

    check_start(name, network.state_dict(), tmp_path, features)


def _stem(network, images):
    x = network.act1(network.bn1(network.conv1(images)))
    return network.act2(network.bn2(network.conv2(x)))


def keys_by(renames, theirs):
    import re

    found = {}
    for key in theirs:
        for pattern, ours in renames:
            if re.match(pattern, key):
                if ours is not None:
                    found[re.sub(pattern, ours, key, count=1)] = key
                break
    return found


@pytest.mark.parametrize(
    ("name", "renames", "some"),
    [
        (
            "mobilenetv2",
            torchvision_mobilenet_v2(),
            {
                "features.0.0.weight": "backbone.conv1.conv.weight",
                "features.1.conv.1.weight": "backbone.layer1.0.conv.1.conv.weight",
                "features.17.conv.3.running_var": "backbone.layer7.0.conv.2.bn.running_var",
                "features.18.1.bias": "backbone.conv2.bn.bias",
            },
        ),
        (
            "shufflenetv2",
            torchvision_shufflenet_v2(),
            {
                "stage3.0.branch1.3.weight": "backbone.layers.1.0.branch1.1.bn.weight",
                "stage4.3.branch2.6.bias": "backbone.layers.2.3.branch2.2.bn.bias",
                "conv5.0.weight": "backbone.layers.3.conv.weight",
            },
        ),
        (
            "mobilenetv2",
            timm_mobilenet_v2(),
            {
                "blocks.0.0.conv_pw.weight": "backbone.layer1.0.conv.1.conv.weight",
                "blocks.6.0.bn3.weight": "backbone.layer7.0.conv.2.bn.weight",
                "bn2.running_mean": "backbone.conv2.bn.running_mean",
            },
        ),
    ],
)
def test_keys(name, renames, some):
    """Without the libraries: single keys, which exist in our networks."""
    ours = build_model(name, 5).state_dict()
    assert keys_by(renames, some) == {value: key for key, value in some.items()}
    assert set(some.values()) <= set(ours)


def test_a_backbone_that_lacks_a_tensor_is_named(tmp_path):
    state = {
        key.removeprefix("backbone."): value
        for key, value in build_model("resnet50", 5).state_dict().items()
        if key.startswith("backbone.")
    }
    state["fc.weight"] = torch.zeros(1000, 2048)
    start_from(build_model("resnet50", 5), weights_of(tmp_path / "x", dict(state)), "resnet50")
    del state["layer3.2.conv2.weight"]
    with pytest.raises(ValueError, match=r"missing backbone\.layer3\.2\.conv2\.weight"):
        start_from(build_model("resnet50", 5), weights_of(tmp_path / "x", state), "resnet50")


@pytest.mark.parametrize("name", ["litehrnet18", "phone", "small_student", "vitpose_s"])
def test_networks_without_imagenet_weights_name_the_way(name):
    with pytest.raises(ValueError, match=f"no library has ImageNet weights of {name};.* weights: "):
        check_pretrained(name)


def test_a_library_downloads_and_its_failure_is_a_sentence(monkeypatch):
    state = random_statistics(build_model("resnet50", 5)).state_dict()
    theirs = {k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}
    theirs["fc.bias"] = torch.zeros(1000)
    asked = []

    def get_model(name, weights):
        asked.append((name, weights))
        return SimpleNamespace(state_dict=lambda: theirs)

    fake = SimpleNamespace(models=SimpleNamespace(get_model=get_model))
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    model = build_model("resnet50", 5)
    afresh = start_from_imagenet(model, "resnet50")
    assert asked == [("resnet50", "IMAGENET1K_V1")]
    assert "head.final_layer.weight" in afresh
    assert torch.equal(model.backbone.conv1.weight, state["backbone.conv1.weight"])

    def no_network(_name, weights):
        raise OSError(f"no network for {weights}")

    fake.models.get_model = no_network
    with pytest.raises(
        OSError, match="torchvision's weights of resnet50 could not be had"
    ) as error:
        start_from_imagenet(model, "resnet50")
    assert "\n" not in str(error.value)
