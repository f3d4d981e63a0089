"""Teacher cards: what a YAML gives, what it leaves to defaults, and what is refused by name."""

import pytest
import yaml

from hhd.data.dataset import RGB_MEAN
from hhd.data.skeleton import load_skeleton
from hhd.teach.card import TeacherCard, read_teacher_card


@pytest.fixture
def card(tmp_path):
    """Reads a card of these fields."""

    def read(**values):
        path = tmp_path / "teacher.yaml"
        path.write_text(yaml.safe_dump({"network": "net.onnx", **values}))
        return read_teacher_card(path)

    return read


def test_a_card_says_what_it_says(card, tmp_path):
    found = card(
        input_size=[192, 256], mean=[0, 0, 0], std=[255, 255, 255], channels="bgr", layout="nhwc",
        output="maps", output_layout="nhwc", activation="sigmoid", grid="half_pixel",
        joints=["a", "b"], joint_map={"neck": "b", "head_top": 0, "left_hip": None}, padding=1.1,
        affine="udp",
    )  # fmt: skip
    assert found == TeacherCard(
        network=str(tmp_path / "net.onnx"), input_size=(192, 256), mean=(0, 0, 0),
        std=(255, 255, 255), channels="bgr", layout="nhwc", output="maps", output_layout="nhwc",
        activation="sigmoid", grid="half_pixel", joints=("a", "b"),
        joint_map={"neck": "b", "head_top": 0, "left_hip": None}, padding=1.1, affine="udp",
    )  # fmt: skip


def test_what_a_card_leaves_out(card):
    found = card()
    assert (found.mean, found.kind, found.activation, found.channels) == (
        RGB_MEAN, "heatmaps", "none", "rgb",
    )  # fmt: skip
    # The network's own, if its file says.
    assert (found.input_size, found.padding, found.affine, found.grid) == (None,) * 4


def test_joints_of_a_skeleton_by_name(card):
    assert card(joints="coco17").joints == load_skeleton("coco17").joints


@pytest.mark.parametrize("name", ["hf:some/vitpose", "python:package.module:function"])
def test_names_are_no_paths(card, name):
    assert card(network=name).network == name


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"inputsize": [1, 2]}, r"has 'inputsize', which is no field; did you mean input_size\?"),
        ({"zzz": 1}, "has 'zzz', which is no field; it takes network, model"),
        ({"network": 3}, "network is 3; it takes a file or a name"),
        ({"input_size": [192]}, r"input_size is \[192\]; it takes 2 positive whole numbers"),
        ({"input_size": 192}, "input_size is 192; it takes 2 positive whole numbers"),
        ({"map_size": [0, 4]}, r"map_size is \[0, 4\]; it takes 2 positive"),
        ({"mean": [1, 2]}, r"mean is \(1, 2\); it takes three numbers"),
        ({"std": [1, 0, 1]}, "std is 0; it takes a positive number"),
        ({"mean": 0.5}, "mean is 0.5; it takes three numbers"),
        ({"channels": "rgba"}, "channels is 'rgba'; it takes one of rgb, bgr"),
        ({"layout": "hwc"}, "layout is 'hwc'; it takes one of nchw, nhwc"),
        ({"layout": ["nchw"]}, r"layout is \('nchw',\); it takes one of nchw, nhwc"),
        ({"activation": "relu"}, "activation is 'relu'; it takes one of none, sigmoid, softmax"),
        ({"grid": "udp"}, "grid is 'udp'; it takes one of stride, half_pixel, align_corners"),
        ({"affine": "hrnet"}, "affine is 'hrnet'; it takes one of standard, udp"),
        ({"kind": "simcc"}, "kind is simcc, which needs map_size"),
        ({"output": 3}, "output is 3; it takes a text"),
        ({"padding": 0}, "padding is 0; it takes a positive number"),
        ({"beta": -1}, "beta is -1; it takes a positive number"),
        ({"model": "resnet9000"}, "model is 'resnet9000'; it takes one of"),
        ({"joints": "coco18"}, "skeleton is 'coco18': neither a file nor one of"),
        ({"joints": []}, r"joints is \(\); it takes names"),
        ({"joints": ["a", "a"]}, r"joints has \['a'\] more than once"),
        ({"joints": [1, 2]}, "joints: a name is 1; it takes 1 to 60 printable characters"),
        ({"joint_map": ["a"]}, r"joint_map is \('a',\); it takes lines of the form"),
        (
            {"joint_map": {"neck": -1}},
            "joint_map: neck is -1; it takes one of the teacher's joints",
        ),
        (
            {"joint_map": {"neck": True}},
            "joint_map: neck is True; it takes one of the teacher's joints",
        ),
    ],
)
def test_a_wrong_card_is_refused_in_a_sentence(card, values, sentence):
    with pytest.raises(ValueError, match=rf"teacher card .*teacher.yaml:? {sentence}"):
        card(**values)


def test_no_card(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"teacher card .*none.yaml does not exist"):
        read_teacher_card(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match=r"list.yaml is \[1\]; it takes lines of the form"):
        read_teacher_card(tmp_path / "list.yaml")
    (tmp_path / "bare.yaml").write_text("input_size: [1, 2]\n")
    with pytest.raises(ValueError, match=r"bare.yaml: network is missing; it takes a file"):
        read_teacher_card(tmp_path / "bare.yaml")
