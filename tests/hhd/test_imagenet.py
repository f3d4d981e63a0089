"""ImageNet starts: each library's classifier, under its own keys, gives our backbone its features.

The libraries' networks have random weights and statistics. Where a library is absent, the keys that
it gives are read from ``imagenet_layouts.txt``, which is compared with it where it is there.
"""

import importlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hhd.models import build_model
from hhd.models.checkpoints import read_weights, start_from
from hhd.models.imagenet import SOURCES
from hhd.models.layouts import find_layout

pytestmark = pytest.mark.usefixtures("one_thread")
State = dict[str, Tensor]


def library(name: str) -> Any:
    """A library, or skip; torchvision's networks need none of its compiled operators."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"{name} is absent: {error}")
    except RuntimeError:
        # Those operators are of another torch, CUDA's, and their fakes stop the import.
        for module in [m for m in sys.modules if m.partition(".")[0] in ("torchvision", name)]:
            del sys.modules[module]
        fakes = "torchvision._meta_registrations"
        sys.modules[fakes] = ModuleType(fakes)
        return importlib.import_module(name)


def randomise(model: nn.Module) -> nn.Module:
    """Batch norms with statistics of their own, at which no layer dies out."""
    torch.manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.3)
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
        elif isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return model.eval()


def torchvision_model(name: str) -> nn.Module:
    return randomise(library("torchvision").models.get_model(name))


def timm_model(name: str) -> nn.Module:
    return randomise(library("timm").create_model(name))


def mmpretrain_model(name: str) -> nn.Module:
    """As its configurations build it: ResNet-50 in pytorch's style, HRNet by its four widths."""
    library("torchvision")
    # Its networks for language take an older transformers, and stop the import.
    languages = "mmpretrain.models.multimodal"
    sys.modules.setdefault(languages, ModuleType(languages))
    models = library("mmpretrain.models")
    architecture, _, width = name.partition("-")
    backbone, neck, channels = {"type": architecture}, [], 2048
    if architecture == "HRNet":
        widths = [int(width) * factor for factor in (1, 2, 4, 8)]
        backbone, neck = backbone | {"arch": f"w{width}"}, [{"type": "HRFuseScales"}]
        neck[0] |= {"in_channels": widths}
    elif architecture == "ResNet":
        backbone |= {"depth": 50}
    else:
        channels = {"MobileNetV2": 1280, "ShuffleNetV2": 1024}[architecture]
    head = {"type": "LinearClsHead", "num_classes": 1000, "in_channels": channels}
    neck.append({"type": "GlobalAveragePooling"})
    config = {"type": "ImageClassifier", "backbone": backbone, "neck": neck, "head": head}
    return randomise(models.build_classifier(config))


def shufflenet_features(model: Any, x: Tensor) -> Tensor:
    x = model.maxpool(model.conv1(x))
    return model.conv5(model.stage4(model.stage3(model.stage2(x))))


def resnet_features(model: Any, x: Tensor) -> Tensor:
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    return model.layer4(model.layer3(model.layer2(model.layer1(x))))


def timm_hrnet_features(model: Any, x: Tensor) -> Tensor:
    x = model.act1(model.bn1(model.conv1(x)))
    return model.stages(model.act2(model.bn2(model.conv2(x))))[0]


Features = Callable[[Any, Tensor], Tensor]
ORIGINALS: dict[tuple[str, str], tuple[Callable[[str], nn.Module], Features]] = {
    ("mobilenetv2", "mobilenet_v2"): (torchvision_model, lambda model, x: model.features(x)),
    ("shufflenetv2", "shufflenet_v2_x1_0"): (torchvision_model, shufflenet_features),
    ("resnet50", "resnet50"): (torchvision_model, resnet_features),
    ("mobilenetv2", "mobilenetv2_100"): (timm_model, lambda model, x: model.forward_features(x)),
    ("resnet50", "resnet50.a1_in1k"): (timm_model, lambda model, x: model.forward_features(x)),
    ("hrnet_w32", "hrnet_w32"): (timm_model, timm_hrnet_features),
    ("hrnet_w48", "hrnet_w48"): (timm_model, timm_hrnet_features),
} | {
    (ours, theirs): (mmpretrain_model, lambda model, x: model.backbone(x)[0])
    for ours, theirs in (
        ("mobilenetv2", "MobileNetV2"),
        ("shufflenetv2", "ShuffleNetV2"),
        ("resnet50", "ResNet"),
        ("hrnet_w32", "HRNet-32"),
        ("hrnet_w48", "HRNet-48"),
    )
}


@pytest.mark.parametrize(("name", "theirs"), ORIGINALS)
def test_features_are_the_originals(tmp_path, name, theirs):
    build, features = ORIGINALS[name, theirs]
    original = build(theirs)
    # As the hubs keep them: timm's are safetensors.
    path = tmp_path / ("model.safetensors" if build is timm_model else "weights.pth")
    write(path, original.state_dict())
    model = build_model(name, 17).eval()
    head = {key for key in model.state_dict() if key.startswith("head.")}
    weights = read_weights(path)
    assert set(start_from(model, weights, name)) == head
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        got, wanted = model.backbone(images), features(original, images)
    assert wanted.abs().max() > 0.1
    print(f"{name} from {theirs}: {float((got - wanted).abs().max() / wanted.abs().max()):.1e}")
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def write(path: Path, state: State) -> None:
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)


LAYOUTS = Path(__file__).with_name("imagenet_layouts.txt")


@cache
def listed() -> dict[str, dict[str, list[int]]]:
    """Shapes by key, of each network in the file: a module's, of a vector with its batch norm's."""
    networks: dict[str, dict[str, list[int]]] = {}
    for line in LAYOUTS.read_text().splitlines():
        if line.startswith("# "):
            shapes = networks[line.removeprefix("# ")] = {}
            continue
        module, _, size = line.partition(" ")
        shape = [int(number) for number in size.split("x")]
        shapes[f"{module}.weight"] = shape
        if len(shape) == 1:
            shapes |= {f"{module}.{part}": shape for part in ("bias", "running_mean")}
            shapes |= {f"{module}.running_var": shape, f"{module}.num_batches_tracked": []}
        elif len(shape) == 2:
            shapes[f"{module}.bias"] = shape[:1]
    return networks


def numbered(shapes: dict[str, list[int]]) -> State:
    """A tensor for each key, filled with the key's place in the list."""
    return {
        key: torch.full(shape, float(place)) for place, (key, shape) in enumerate(shapes.items())
    }


@pytest.mark.parametrize(
    ("name", "network", "layout"),
    [
        ("mobilenetv2", "torchvision mobilenet_v2", "torchvision MobileNetV2"),
        ("mobilenetv2", "timm mobilenetv2_100", "timm MobileNetV2"),
        ("shufflenetv2", "torchvision shufflenet_v2_x1_0", "torchvision ShuffleNetV2"),
    ],
)
def test_listed_keys_fill_the_backbone_in_order(tmp_path, name, network, layout):
    """Both sides count their layers in the order in which they run."""
    path = tmp_path / "weights.pth"
    torch.save(numbered(listed()[network]), path)
    weights = read_weights(path)
    assert weights.layout == layout
    model = build_model(name, 17)
    start_from(model, weights, name)
    places = [float(value.flatten()[0]) for value in model.backbone.state_dict().values()]
    assert places == [float(place) for place in range(len(places))]
    assert len(listed()[network]) == len(places) + 2


@pytest.mark.parametrize("network", ["mobilenet_v2", "mobilenetv2_100", "shufflenet_v2_x1_0"])
def test_the_list_is_the_librarys(network):
    title = next(title for title in listed() if title.endswith(f" {network}"))
    build = timm_model if title.startswith("timm") else torchvision_model
    shapes = {key: list(value.shape) for key, value in build(network).state_dict().items()}
    assert listed()[title] == shapes
    assert list(listed()[title]) == list(shapes)


def hrnet_classifier(prefix: str = "") -> State:
    """Keys of an HRNet-W32 whose last fusion gives four maps, as its authors train it."""
    backbone = build_model("hrnet_w32", 17).backbone
    state = {prefix + key: value for key, value in backbone.state_dict().items()}
    fusions = {f"stage4.2.fuse_layers.{row}.0.0.0.weight": [32, 32, 3, 3] for row in (1, 2, 3)}
    return state | {prefix + key: value for key, value in numbered(fusions).items()}


@pytest.mark.parametrize(
    ("prefix", "head", "layout"),
    [
        (
            "",
            ("incre_modules.0.0.conv1", "downsamp_modules.0.0", "final_layer.0", "classifier"),
            "HRNet for ImageNet",
        ),
        ("backbone.", ("neck.0.increase_layers.0.0.conv1", "head.fc"), "mmpose 1.x"),
        ("", (), "backbone alone"),
    ],
)
def test_hrnets_classifier_is_passed_over(tmp_path, prefix, head, layout):
    state = hrnet_classifier(prefix)
    state |= {f"{module}.weight": torch.ones(8, 8, 1, 1) for module in head}
    path = tmp_path / "hrnet_w32-36af842e.pth"
    torch.save(state, path)
    weights = read_weights(path)
    assert weights.layout == layout
    model = build_model("hrnet_w32", 17)
    afresh = ["head.final_layer.weight", "head.final_layer.bias"]
    assert start_from(model, weights, "hrnet_w32") == afresh
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, state[prefix + key]), key


@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "shufflenetv2", "litehrnet18"])
def test_a_backbone_alone(tmp_path, name):
    path = tmp_path / "backbone.safetensors"
    state, model = build_model(name, 17).backbone.state_dict(), build_model(name, 5)
    write(path, state)
    weights = read_weights(path)
    assert weights.layout == "backbone alone"
    start_from(model, weights, name)
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, state[key]), key
    write(path, {key: value for key, value in state.items() if "conv1." not in key})
    with pytest.raises(ValueError, match=r"\(backbone alone\) does not fit .*: missing backbone\."):
        start_from(model, read_weights(path), name)


def test_another_network_is_refused(tmp_path):
    path = tmp_path / "mobilenet_v2.pth"
    torch.save(numbered(listed()["torchvision mobilenet_v2"]), path)
    with pytest.raises(ValueError, match=r"\(torchvision MobileNetV2\) does not fit resnet50: "):
        start_from(build_model("resnet50", 17), read_weights(path), "resnet50")


def test_other_arithmetic_is_refused(tmp_path):
    """The same network ported from TensorFlow, or with its strides elsewhere."""
    path = tmp_path / "model.safetensors"
    write(path, {"mobilenet_v2.conv_stem.first_conv.convolution.weight": torch.ones(32, 3, 3, 3)})
    with pytest.raises(ValueError, match="TensorFlow's padding"):
        read_weights(path)
    state = build_model("resnet50", 17).backbone.state_dict()
    caffe, meant = tmp_path / "resnet50_caffe.pth", tmp_path / "epoch_100.pth"
    torch.save(state, caffe)
    configured = {f"backbone.{key}": value for key, value in state.items()}
    torch.save({"state_dict": configured, "meta": {"cfg": "depth=50, style='caffe')"}}, meant)
    for path in (caffe, meant):
        with pytest.raises(ValueError, match="is a caffe-style ResNet"):
            read_weights(path)


def classifier(name: str) -> State:
    """What the library that :data:`SOURCES` names downloads."""
    titles = {
        "mobilenetv2": "torchvision mobilenet_v2",
        "shufflenetv2": "torchvision shufflenet_v2_x1_0",
    }
    if name in titles:
        return numbered(listed()[titles[name]])
    if name == "resnet50":
        state = build_model(name, 17).backbone.state_dict()
        return state | {"fc.weight": torch.ones(1000, 2048), "fc.bias": torch.ones(1000)}
    return hrnet_classifier() | {"incre_modules.0.0.conv1.weight": torch.ones(32, 32, 1, 1)}


@pytest.fixture
def fake(monkeypatch) -> dict[str, Any]:
    """Stand-ins for both libraries: ``fake[weights]`` is what is downloaded, or raised."""
    answers: dict[str, Any] = {}

    def answer(weights: str) -> State:
        if isinstance(answers[weights], Exception):
            raise answers[weights]
        return answers[weights]

    def get_weight(weights: str) -> Any:
        return SimpleNamespace(get_state_dict=lambda check_hash: answer(weights))

    def create_model(weights: str, pretrained: bool) -> Any:
        assert pretrained
        return SimpleNamespace(state_dict=lambda: answer(weights))

    torchvision, timm = ModuleType("torchvision"), ModuleType("timm")
    torchvision.models = SimpleNamespace(get_weight=get_weight)
    timm.create_model = create_model
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setitem(sys.modules, "timm", timm)
    return answers


@pytest.mark.parametrize("name", ["mobilenetv2", "shufflenetv2", "resnet50", "hrnet_w32"])
def test_pretrained_fills_the_backbone(fake, name):
    state = fake[SOURCES[name].weights] = classifier(name)
    model = build_model(name, 17, pretrained=True)
    if find_layout(state).name.endswith("V2"):
        wanted = [float(place) for place in range(len(model.backbone.state_dict()))]
        assert [float(v.flatten()[0]) for v in model.backbone.state_dict().values()] == wanted
    else:
        for key, value in model.backbone.state_dict().items():
            assert torch.equal(value, state[key]), key


def test_failed_downloads_are_a_sentence(fake):
    for name, failure in (
        ("resnet50", URLError("no route\nto host")),
        ("hrnet_w48", RuntimeError("hash does not match")),
        ("mobilenetv2", OSError()),
    ):
        fake[SOURCES[name].weights] = failure
        with pytest.raises(ValueError, match=f"{SOURCES[name].library} gives no ") as error:
            build_model(name, 17, pretrained=True)
        assert "goes into weights" in str(error.value)
        assert "\n" not in str(error.value)
    fake[SOURCES["resnet50"].weights] = classifier("mobilenetv2")
    with pytest.raises(ValueError, match="of torchvision does not fit resnet50: ") as error:
        build_model("resnet50", 17, pretrained=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("resnet50", "torchvision", "imagenet"), ("hrnet_w32", "timm", "timm")],
)
def test_an_absent_library_is_named_with_its_extra(monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'hhd-kernels\[{extra}\]'"):
        build_model(name, 17, pretrained=True)


def test_a_library_of_another_torch_is_a_sentence(monkeypatch):
    def broken(_module):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("hhd.extras.importlib.import_module", broken)
    with pytest.raises(ValueError, match=r"installed, but does not load beside torch \d.*::nms"):
        build_model("resnet50", 17, pretrained=True)
    with pytest.raises(ValueError, match="timm is installed, but does not load"):
        build_model("timm/resnet18", 17)


def test_networks_without_public_weights_name_the_field():
    for name in ("litehrnet18", "phone"):
        with pytest.raises(ValueError, match=f"has ImageNet weights of model {name}.* as weights"):
            build_model(name, 17, pretrained=True)


@pytest.mark.parametrize("name", [n for n in SOURCES if SOURCES[n].library == "torchvision"])
def test_torchvision_knows_the_weights(monkeypatch, tmp_path, name):
    """The library's own way, but for the download: the file is in its cache."""
    torchvision = library("torchvision")
    weights = torchvision.models.get_weight(SOURCES[name].weights)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    theirs = SOURCES[name].weights.partition("_Weights")[0].lower()
    state = torchvision.models.get_model(theirs).state_dict()
    torch.save(state, tmp_path / "checkpoints" / weights.url.rpartition("/")[2])
    model = build_model(name, 17, pretrained=True)
    assert torch.equal(next(model.backbone.parameters()), next(iter(state.values())))


def test_timm_knows_the_weights():
    timm = library("timm")
    for source in SOURCES.values():
        assert source.library != "timm" or source.weights in timm.list_pretrained("hrnet*")
