"""Other people's checkpoints, in each layout, with the keys that the original code gives."""

import argparse
import errno
import json
import pickle
import sys
from collections import OrderedDict
from dataclasses import replace
from functools import cache
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from hhd.cli import main
from hhd.data.skeleton import load_skeleton
from hhd.models import build_model
from hhd.models.checkpoints import load_weights, read_weights, start_from
from hhd.models.files import load_model
from hhd.teach.teachers import model_teacher
from hhd.train.loop import train
from hhd.train.recipe import Recipe, load_recipe

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # What is loaded into a network without memory is checked for its keys and shapes alone.
    pytest.mark.filterwarnings("ignore:for .*copying from a non-meta parameter"),
]
COUNTERS = ".num_batches_tracked"


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def numbered(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """A tensor for each key, filled with the key's place in the list; a few bytes in a file."""
    return {
        key: torch.full((), number).expand(shape)
        for number, (key, shape) in enumerate(shapes.items())
    }


@pytest.fixture(scope="module")
def student() -> dict[str, Tensor]:
    """mmpose's keys of Lite-HRNet-18 with 16 joints (which are ours)."""
    torch.manual_seed(0)
    return build_model("litehrnet18", 16).state_dict()


@pytest.fixture(scope="module")
def teacher() -> dict[str, Tensor]:
    return numbered(shapes(on_meta("hrnet_w32", 17)))


def shapes(model: torch.nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in model.state_dict().items()}


@cache
def on_meta(name: str, joints: int) -> torch.nn.Module:
    """A network without memory, for its keys and shapes."""
    with torch.device("meta"):
        return build_model(name, joints)


def old_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.replace("head.", "keypoint_head.", 1): value for key, value in state.items()}


def integral_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """mmpose's and the official HHD code's integral head keeps its grid among the parameters."""
    grid = torch.arange(64.0) / 64
    return state | {
        "head.linspace_x": grid.view(1, 1, 1, 64),
        "head.linspace_y": grid.view(1, 1, 64, 1),
    }


META = {"epoch": 210, "iter": 1, "mmpose_version": "1.3.2", "dataset_meta": {"sigmas": [0.1]}}
LAYOUTS = {
    "mmpose 1.x": lambda student, _: {
        "meta": META,
        "state_dict": student | {"data_preprocessor.mean": torch.ones(3, 1, 1)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 5e-4}]},
        "ema_state_dict": prefixed("module.", student) | {"steps": torch.tensor(3)},
    },
    "mmpose 0.x": lambda student, _: {"meta": META, "state_dict": old_head(student)},
    "mmrazor, mmpose 1.x": lambda student, teacher: {
        "meta": META,
        "state_dict": prefixed("architecture.", integral_head(student))
        | prefixed("teacher.", teacher)
        | {"distiller.connectors.fit.weight": torch.ones(3)},
    },
    "DWPose, mmpose 1.x": lambda student, teacher: {
        "state_dict": prefixed("student.", student) | prefixed("teacher.", teacher)
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_layouts_around_mmpose(tmp_path, student, teacher, layout, zipped):
    path = tmp_path / "epoch_210.pth"
    content = LAYOUTS[layout](student, teacher)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    assert weights.layout == layout
    assert weights.integral == ("mmrazor" in layout)
    assert weights.joints == 16
    assert weights.tensors.keys() == student.keys()
    model = build_model("litehrnet18", 16)
    load_weights(model, weights, "litehrnet18")
    for key, value in model.state_dict().items():
        assert torch.equal(value, student[key]), key


def test_our_keys_are_the_originals(golden):
    for file, name in (
        ("litehrnet18", "litehrnet18"),
        ("mobilenetv2_sb", "mobilenetv2"),
        ("resnet50_sb", "resnet50"),
    ):
        listed = json.loads((golden / f"{file}_keys.json").read_text())["shapes"]
        assert shapes(on_meta(name, 17)) == listed


@pytest.mark.parametrize("wrapped", ["bare", "resume", "module"])
def test_hrnets_own_files(tmp_path, golden, wrapped):
    keys = json.loads((golden / "hrnet_w32_keys.json").read_text())["shapes"]
    state = OrderedDict(numbered(keys))
    path = tmp_path / "pose_hrnet_w32_256x192.pth"
    several = OrderedDict(prefixed("module.", state))
    content = {
        "bare": state,
        "module": several,
        "resume": {
            "epoch": 210,
            "model": "pose_hrnet",
            "state_dict": several,
            "best_state_dict": state,
            "perf": 0.744,
            "optimizer": {"state": {}, "param_groups": [{"lr": 1e-5, "params": [0]}]},
        },
    }[wrapped]
    torch.save(content, path)
    weights = read_weights(path)
    assert (weights.layout, weights.joints, weights.integral) == ("HRNet", 17, False)
    load_weights(on_meta("hrnet_w32", 17), weights, "hrnet_w32")
    for key, value in state.items():
        ours = ("head." if key.startswith("final_layer.") else "backbone.") + key
        assert torch.equal(weights.tensors[ours], value)


def test_simple_baselines_own_file(tmp_path):
    """Microsoft's code, as HRNet's, names the parts of the head without a prefix."""
    model = on_meta("resnet50", 17)
    keys = {key.split(".", 1)[1]: shape for key, shape in shapes(model).items()}
    path = tmp_path / "pose_resnet_50_256x192.pth.tar"
    torch.save(numbered(keys), path)
    load_weights(model, read_weights(path), "resnet50")


def test_an_integral_head_with_deconvolutions(tmp_path):
    model = on_meta("mobilenetv2", 17)
    keys = {
        key.replace("head.", "head.simplebaseline_head.", 1): shape
        for key, shape in shapes(model).items()
    }
    path = tmp_path / "ipr_mobilenetv2.pth"
    torch.save({"state_dict": integral_head(numbered(keys))}, path)
    weights = read_weights(path)
    assert weights.integral
    load_weights(model, weights, "mobilenetv2")


def test_vitpose_of_hugging_face(tmp_path):
    pytest.importorskip("transformers", reason="extra vitpose is absent")
    path = tmp_path / "pytorch_model.bin"
    torch.save(numbered(shapes(on_meta("vitpose_s", 17))), path)
    weights = read_weights(path)
    assert weights.joints == 17
    load_weights(on_meta("vitpose_s", 17), weights, "vitpose_s")


def test_the_teacher_of_a_distillers_file(tmp_path, student, teacher):
    path = tmp_path / "epoch_210.pth"
    for layout in ("mmrazor, mmpose 1.x", "DWPose, mmpose 1.x"):
        torch.save(LAYOUTS[layout](student, teacher), path)
        weights = read_weights(path, "teacher")
        assert not weights.integral
        load_weights(on_meta("hrnet_w32", 17), weights, "hrnet_w32")
        assert torch.equal(
            weights.tensors["backbone.conv1.weight"], teacher["backbone.conv1.weight"]
        )
    torch.save({"state_dict": prefixed("architecture.", student)}, path)
    with pytest.raises(ValueError, match=r"epoch_210.pth \(mmrazor\) has no teacher in it"):
        read_weights(path, "teacher")
    torch.save({"state_dict": student}, path)
    with pytest.raises(ValueError, match="holds one network, not a student and a teacher"):
        read_weights(path, "student")


def test_files_of_ours(tmp_path, student):
    """A run's checkpoint.pt, and safetensors of any origin."""
    run, published = tmp_path / "checkpoint.pt", tmp_path / "model.safetensors"
    torch.save({"recipe": {"model": "litehrnet18"}, "model": student, "step": 3}, run)
    save_file(student, published)
    for path in (run, published):
        load_weights(build_model("litehrnet18", 16), read_weights(path), "litehrnet18")
    small = build_model("small_student", 5)
    torch.save(small.state_dict(), run)
    weights = read_weights(run)
    assert weights.joints == 5
    load_weights(build_model("small_student", 5), weights, "small_student")


def test_what_does_not_fit_is_named(tmp_path, student):
    path = tmp_path / "lite.pth"
    torch.save({"state_dict": student}, path)
    with pytest.raises(
        ValueError, match=r"lite.pth \(mmpose 1.x\) does not fit litehrnet18: "
    ) as e:
        load_weights(build_model("litehrnet18", 17), read_weights(path), "litehrnet18")
    assert str(e.value).endswith(
        ": head.final_layer.weight is [16, 40, 1, 1], it takes [17, 40, 1, 1], "
        "head.final_layer.bias is [16], it takes [17]"
    )
    some = {key: value for key, value in student.items() if ".stem." not in key}
    torch.save({"state_dict": some | {"backbone.extra.weight": torch.ones(2)}}, path)
    model = build_model("litehrnet18", 16)
    before = model.head.final_layer.weight.clone()
    with pytest.raises(ValueError, match=r"missing backbone\.stem\.conv1\.conv\.weight, ") as e:
        load_weights(model, read_weights(path), "litehrnet18")
    assert str(e.value).endswith(" and 27 more; unexpected backbone.extra.weight")
    assert torch.equal(model.head.final_layer.weight, before)


def test_counters_that_old_files_lack_are_no_reason_to_refuse(tmp_path, student):
    path = tmp_path / "old.pth"
    torch.save({k: v for k, v in student.items() if not k.endswith(COUNTERS)}, path)
    model = build_model("litehrnet18", 16)
    load_weights(model, read_weights(path), "litehrnet18")
    assert torch.equal(
        model.backbone.stem.conv1.conv.weight, student["backbone.stem.conv1.conv.weight"]
    )


def test_starting_from_other_joints_or_from_imagenet(tmp_path, student):
    path = tmp_path / "start.pth"
    torch.save({"state_dict": student}, path)
    model = build_model("litehrnet18", 5)
    afresh = start_from(model, read_weights(path), "litehrnet18")
    assert afresh == ["head.final_layer.weight", "head.final_layer.bias"]
    got = model.state_dict()
    assert all(torch.equal(got[k], v) for k, v in student.items() if k.startswith("backbone."))

    trunk = shapes(on_meta("hrnet_w32", 17).backbone)
    trunk |= {"incre_modules.0.0.conv1.weight": [32, 32, 1, 1], "classifier.weight": [1000, 2048]}
    torch.save(numbered(trunk | {"final_layer.0.weight": [2048, 1024, 1, 1]}), path)
    weights = read_weights(path)
    assert weights.layout == "HRNet for ImageNet"
    assert start_from(on_meta("hrnet_w32", 17), weights, "hrnet_w32") == afresh
    with pytest.raises(ValueError, match="has no last convolution of a pose network"):
        _ = weights.joints

    trunk = shapes(on_meta("resnet50", 17).backbone)
    torch.save(numbered(trunk | {"fc.weight": [1000, 2048], "fc.bias": [1000]}), path)
    assert len(start_from(on_meta("resnet50", 17), read_weights(path), "resnet50")) == 20
    with pytest.raises(ValueError, match=r"does not fit litehrnet18: missing backbone\.stem"):
        start_from(on_meta("litehrnet18", 17), read_weights(path), "litehrnet18")


@pytest.mark.parametrize(
    "what",
    [np.float64(0.9), np.arange(6.0).reshape(2, 3), np.array(["a"]), argparse.Namespace(lr=0.1)],
    ids=["scalar", "array", "strings", "options"],
)
def test_what_is_no_tensor_is_passed_over(tmp_path, student, what):
    path = tmp_path / "best.pth"
    torch.save({"meta": {"best": what}, "state_dict": student}, path)
    assert read_weights(path).tensors.keys() == student.keys()


class Buffer:
    """Stands for mmengine's HistoryBuffer, of a package that is absent when the file is read."""

    def __init__(self) -> None:
        self.history = [np.arange(3), {"loss": 1.0}]
        self.statistics = {"mean": self.mean}

    def mean(self) -> float:
        """A method, which is pickled as a call of getattr."""
        return 0.0


@pytest.mark.parametrize("zipped", [True, False])
def test_objects_of_absent_packages_are_passed_over(tmp_path, student, monkeypatch, zipped):
    path = tmp_path / "epoch_10.pth"
    with monkeypatch.context() as patched:
        package = ModuleType("engine_that_is_absent")
        package.Buffer = Buffer
        patched.setitem(sys.modules, package.__name__, package)
        patched.setattr(Buffer, "__module__", package.__name__)
        content = {"message_hub": {"loss": Buffer()}, "state_dict": student}
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    load_weights(build_model("litehrnet18", 16), weights, "litehrnet18")


@pytest.mark.parametrize("zipped", [True, False])
def test_no_code_runs(tmp_path, student, zipped):
    class Payload:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    path = tmp_path / "evil.pth"
    content = {"state_dict": student, "hook": Payload()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert read_weights(path).tensors.keys() == student.keys()
    assert not (tmp_path / "ran").exists()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.pth"
    with pytest.raises(FileNotFoundError, match=r"checkpoint .*x\.pth does not exist"):
        read_weights(path)
    for content in (b"", b"plain text", pickle.dumps([1, 2], protocol=2)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint .*x\.pth") as error:
            read_weights(path)
        assert "\n" not in str(error.value)
    for content in ([1, 2], {}, {"epoch": 3, "lr": 0.1}, torch.ones(2), {0: torch.ones(2)}):
        torch.save(content, path)
        with pytest.raises(ValueError, match="holds no parameters by name"):
            read_weights(path)
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"not a tensor")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        read_weights(path)


def test_damaged_and_odd_files_are_one_line(tmp_path, capsys):
    """Bytes cut and changed at random, in both of torch's formats and in safetensors."""
    state = build_model("phone", 5).state_dict()
    paths = [tmp_path / name for name in ("zip.pth", "old.pth", "x.safetensors")]
    torch.save({"state_dict": state}, paths[0])
    torch.save({"state_dict": state}, paths[1], _use_new_zipfile_serialization=False)
    save_file(state, paths[2])
    words = ["convert", "", "--model=phone", "--skeleton=lsp14"]
    words += [f"--output={tmp_path}/no/x.safetensors"]
    rng = np.random.default_rng(0)
    for path in paths:
        whole = path.read_bytes()
        for number in range(60):
            damaged = bytearray(whole)
            start = rng.integers(len(whole) if number % 3 == 0 else 2000)
            del damaged[start : None if number % 3 == 0 else start + rng.integers(1, 50)]
            path.write_bytes(damaged)
            words[1] = str(path)
            assert main(words) == 1
            error = capsys.readouterr().err
            assert error.startswith(f"hhd: checkpoint {path} ")
            assert error.count("\n") == 1
    last = "head.final_layer.weight"
    for odd, message in (
        (torch.tensor(1.0), "has no last convolution of a pose network"),
        (torch.ones(14, 32, 1, 1, device="meta"), "tensors that are quantised or without values"),
    ):
        torch.save(build_model("phone", 14).state_dict() | {last: odd}, paths[0])
        words[1] = str(paths[0])
        assert main(words) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "no").exists()


def test_convert_writes_a_whole_file_or_none(tmp_path, capsys, monkeypatch):
    source = tmp_path / "phone.safetensors"
    save_file(build_model("phone", 14).state_dict(), source)
    words = ["convert", str(source), "--model=phone", "--skeleton=lsp14", "--output"]
    out = tmp_path / "new" / "folder" / "x.safetensors"
    assert main([*words, str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["x.safetensors"]
    content = source.read_bytes()
    monkeypatch.chdir(tmp_path)
    for name in ("phone.safetensors", "new/../phone.safetensors", "x.pth", "phone.safetensors/x"):
        assert main([*words, name]) == 1
        assert "takes a file of its own, NAME.safetensors" in capsys.readouterr().err
    for name in ("phone.safetensors/x.safetensors", "new/folder.safetensors"):
        (tmp_path / "new" / "folder.safetensors").mkdir(exist_ok=True)
        assert main([*words, name]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert source.read_bytes() == content

    def disk_is_full(_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hhd.files.os.fsync", disk_is_full)
    assert main([*words, str(out)]) == 1
    assert f"{out} cannot be written: No space left on device" in capsys.readouterr().err
    assert [path.name for path in out.parent.iterdir()] == ["x.safetensors"]
    assert load_model(out)[1].model == "phone"


def test_convert_command(tmp_path, capsys, student, teacher):
    source, out = tmp_path / "epoch_210.pth", tmp_path / "student.safetensors"
    torch.save(LAYOUTS["mmrazor, mmpose 1.x"](student, teacher), source)
    words = ["convert", str(source), "--model=litehrnet18", f"--output={out}"]
    words += ["--input-size", "256", "256", "--skeleton=mpii16", "--beta=10", "--student"]
    assert main([*words, "--flip-test=coordinates"]) == 0
    text = capsys.readouterr().out
    assert "litehrnet18, integral, 16 joints of mpii16, 1.13 M parameters, from mmrazor" in text
    model, card = load_model(out)
    assert torch.equal(
        model.state_dict()["head.final_layer.bias"], student["head.final_layer.bias"]
    )
    assert (card.task, card.input_size, card.beta, card.sigma) == ("integral", (256, 256), 10, 2)
    assert (card.skeleton.name, card.flip_test) == ("mpii16", "coordinates")
    assert card.source.startswith("epoch_210.pth (mmrazor, mmpose 1.x), sha256 ")

    for extra, message in (
        (["--skeleton=coco17"], "has 16 joints, skeleton coco17 17"),
        (["--model=phone"], "does not fit phone: missing backbone.stem.conv.weight, "),
        (["--model=litehrnet19"], "model is 'litehrnet19'; it takes one of"),
        (["--input-size", "250", "256"], "input_size is [250, 256]; the model takes"),
        (["--beta=-10"], f"model file of {source}: beta is -10.0; it takes a positive number"),
        (["--deconv", "-3"], "deconv is [-3]; it takes positive whole numbers"),
    ):
        assert main([*words, *extra]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_udp_networks_are_read_by_udp(tmp_path, capsys, student):
    source, out = tmp_path / "udp.pth", tmp_path / "udp.safetensors"
    torch.save(student, source)
    words = ["convert", str(source), "--model=litehrnet18", "--skeleton=mpii16", "--affine=udp"]
    assert main([*words, f"--output={out}"]) == 0
    card = load_model(out)[1]
    assert (card.affine, card.heatmap_decode) == ("udp", "dark_udp")
    assert main([*words, f"--output={out}", "--heatmap-decode=quarter"]) == 1
    capsys.readouterr()
    picture = tmp_path / "x.png"
    Image.new("RGB", (9, 9)).save(picture)
    words = ["--annotations=a.json", "--heatmap-decode=dark"]
    for command in (["eval", str(out), *words], ["predict", str(out), str(picture), words[1]]):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert error.endswith("heatmap_decode is dark; dark_udp goes with affine udp\n")
        assert error.count("\n") == 1


def test_convert_asks_nothing_of_our_own_checkpoint(tmp_path, capsys, tiny):
    local = {"epochs": 1, "decode": "local", "decode_window": 5, "flip_shift": "none"}
    recipe = load_recipe("demo_student", **{**tiny, **local}, beta=7.0)
    train(recipe)
    run = tmp_path / "run"
    out = tmp_path / "again.safetensors"
    words = ["convert", str(run / "checkpoint.pt"), f"--output={out}"]
    assert main(words) == 0
    assert "integral, 14 joints of lsp14" in capsys.readouterr().out
    (model, card), (trained, theirs) = load_model(out), load_model(run / "model.safetensors")
    assert card.source.startswith("checkpoint.pt (hhd train), sha256 ")
    assert replace(card, source=None) == theirs
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in trained.state_dict().items())
    # Options take the place of the recipe's fields.
    assert main([*words, "--beta=3", "--decode-window=whole"]) == 0
    card = load_model(out)[1]
    assert (card.beta, card.sigma, card.decode_window) == (3, theirs.sigma, None)
    # The model file says as much, by its card, and its options the same.
    words[1] = str(run / "model.safetensors")
    assert main(words) == 0
    card = load_model(out)[1]
    assert card.source.startswith("model.safetensors (hhd), sha256 ")
    assert replace(card, source=None) == theirs
    assert main([*words, "--beta=3", "--decode-window=whole"]) == 0
    assert load_model(out)[1].decode_window is None
    assert load_model(out)[1].beta == 3
    damaged = run / "damaged.safetensors"
    save_file(state, damaged, metadata={"hhd": "{}"})
    with pytest.raises(ValueError, match=r"damaged.safetensors has a card that hhd does not read"):
        read_weights(damaged)
    torch.save({"state_dict": state}, run / "bare.pth")
    capsys.readouterr()
    assert main(["convert", str(run / "bare.pth"), f"--output={out}"]) == 1
    assert "does not say which network it holds: name it with --model" in capsys.readouterr().err


def test_recipes_start_from_checkpoints_and_are_taught_by_them(tmp_path, tiny):
    """The phone net of 14 joints from one of 5, its teacher a bare file of 16 joints."""
    torch.manual_seed(1)
    start = build_model("phone", 5)
    teacher = build_model("phone", 16)
    torch.save({"state_dict": prefixed("module.", start.state_dict())}, tmp_path / "start.pth")
    torch.save(teacher.state_dict(), tmp_path / "teacher.pth")
    recipe = load_recipe(
        "demo_student",
        **tiny
        | {
            "model": "phone",
            "input_size": [64, 64],
            "weights": str(tmp_path / "start.pth"),
            "teacher": str(tmp_path / "teacher.pth"),
            "teacher_model": "phone",
            "teacher_joint_map": [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 8, 9],
            "loss": "kl",
            "sigma": 2,
            "epochs": 1,
            "lr": 1e-12,
        },
    )
    trained = train(recipe)
    got = trained.model.state_dict()
    for key, value in start.backbone.named_parameters():
        torch.testing.assert_close(got[f"backbone.{key}"], value)
    _, card = load_model(tmp_path / recipe.output / "model.safetensors")
    assert card.recipe == recipe.as_dict()
    assert card.preset == "kl-v2"  # the preset is of sigma 2


def test_teachers_that_cannot_teach_are_refused(tmp_path, student):
    path = tmp_path / "integral.pth"
    torch.save({"state_dict": integral_head(student)}, path)
    options = {"input_size": (64, 64), "size": (16, 16), "device": torch.device("cpu")}
    with pytest.raises(ValueError, match="is an integral network; a teacher gives heatmaps"):
        model_teacher(
            path, load_skeleton("mpii16"), joint_map=None, network="litehrnet18", **options
        )
    torch.save({"state_dict": student}, path)
    with pytest.raises(ValueError, match="16 maps, coco17 has 17 joints: give teacher_joint_map"):
        model_teacher(
            path, load_skeleton("coco17"), joint_map=None, network="litehrnet18", **options
        )
    with pytest.raises(ValueError, match="teacher_model is phone, but teacher is no checkpoint"):
        Recipe(teacher_model="phone")
    with pytest.raises(ValueError, match="model is 'telephone'; it takes one of"):
        Recipe(loss="kl", teacher="x.pth", teacher_model="telephone")


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "_orig_mod.",
        "model.",
        "module._orig_mod.",
        "model._orig_mod.module.",
        "module.model.",
    ],
)
def test_prefixes_of_training_code_are_taken_off(tmp_path, student, prefix):
    path = tmp_path / "last.pth"
    torch.save({"state_dict": prefixed(prefix, student)}, path)
    assert read_weights(path).tensors.keys() == student.keys()
    inner = {k.replace("backbone.", "backbone._orig_mod."): v for k, v in student.items()}
    torch.save(prefixed(prefix, inner), path)
    load_weights(build_model("litehrnet18", 16), read_weights(path), "litehrnet18")


@pytest.mark.parametrize("said", ["name", "configuration"])
def test_a_debiased_head_says_what_it_means(tmp_path, capsys, student, said):
    path = tmp_path / ("ipr_debias.pth" if said == "name" else "epoch_1.pth")
    grid = {"head.linspace_x": torch.zeros(4, 4), "head.linspace_y": torch.zeros(4, 4)}
    meta = {"cfg": "head=dict(type='DSNTHead', debias=True, beta=10.)"} if said != "name" else {}
    torch.save({"meta": meta, "state_dict": {**student, **grid}}, path)
    out = tmp_path / "x.safetensors"
    words = ["convert", str(path), "--model=litehrnet18", "--skeleton=mpii16", f"--output={out}"]
    assert main([*words, "--input-size", "256", "256"]) == 0
    text = capsys.readouterr().out
    assert "its head is mmpose's debiased one, which differs from a soft-argmax by a shift" in text
    assert "(beta 10)" in text
    assert load_model(out)[1].beta == 10
    torch.save({"state_dict": {**student, **grid}}, tmp_path / "plain.pth")
    assert main([words[0], str(tmp_path / "plain.pth"), *words[2:]]) == 0
    assert "debiased one" not in capsys.readouterr().out


def test_a_corrupt_file_repeats_no_advice_to_run_it(tmp_path, student):
    path = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": student, "hub": argparse.Namespace(a=1)}, path)
    whole = path.read_bytes()
    for data in (
        whole[:5000],
        whole[: len(whole) // 2],
        b"\x80\x02cposix\nsystem\n",
        b"PK\x03\x04",
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"^checkpoint {path} cannot be read: ") as error:
            read_weights(path)
        for word in ("weights_only", "Weights only", "trust", "arbitrary code"):
            assert word not in str(error.value)


def test_weights_that_are_not_finite_are_refused(tmp_path, student):
    path = tmp_path / "diverged.pth"
    broken = {**student, "head.final_layer.bias": torch.full((16,), float("nan"))}
    torch.save({"state_dict": broken}, path)
    with pytest.raises(ValueError, match=r"diverged: head\.final_layer\.bias is not finite"):
        load_weights(build_model("litehrnet18", 16), read_weights(path), "litehrnet18")
