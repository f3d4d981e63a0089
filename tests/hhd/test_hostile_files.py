"""Files that are made to break their reader: one sentence that names the file, and no more."""

import json
from dataclasses import asdict

import pytest
from safetensors.torch import save_file

from hhd.cli import main
from hhd.models import build_model
from hhd.models.files import load_model
from hhd.text import one_line, shown

DEEP = "[" * 100_000
BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]" for i in range(9)
)


@pytest.mark.parametrize(
    "content", [DEEP, BOMB, f"epochs: {'1' * 5000}", "a: b: c", "\x1b[31m: 1", "? [1]\n: 2", ""]
)
def test_recipes_and_skeletons(kites, tmp_path, capsys, content):
    path = tmp_path / "file.yaml"
    path.write_text(content)
    for words, what in (
        (["train", str(path)], "recipe"),
        ([*kites.check_words(), f"--skeleton={path}"], "skeleton file"),
    ):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert f"{what} {path} " in error
        assert error.count("\n") == 1
        assert len(error) < 1000
        assert "\x1b" not in error
        assert ("alias" in error) == (content is BOMB)


@pytest.mark.parametrize(
    "change",
    [
        {"input_size": (10**9, 10**9)},
        {"input_size": (10**400, 64)},
        {"deconv": (10**7, 10**7)},
        {"padding": 1e300},
        {"sigma": 10**400},
        {"beta": 10**400},
        {"decode_window": 10**400},
        {"model": "x" * 10**6},
        {"task": ["x" * 10**6]},
        {"skeleton": {"name": "a", "joints": DEEP}},
        DEEP,
        '{"a":' * 100_000,
        '{"model": ' + "1" * 5000 + "}",
    ],
    ids=range(13),
)
def test_cards(kites, capsys, change):
    path = kites.model()
    card = asdict(load_model(path)[1])
    text = change if isinstance(change, str) else json.dumps(card | change)
    save_file(build_model("phone", 4).state_dict(), path, metadata={"hhd": text})
    for words in (
        ["predict", str(path), str(kites.images / "1.png")],
        ["convert", str(path), f"--output={kites.folder}/new.safetensors"],
    ):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert f"{path} " in error
        assert error.count("\n") == 1
        assert len(error) < 1000


@pytest.mark.parametrize("name", ["\x1b[31mred", "x" * 500, "", "two\nlines"])
def test_names_that_cannot_be_printed_are_refused(kites, capsys, name):
    spelt = json.dumps(name)
    content = kites.skeleton_file.read_text().replace("'top'", spelt).replace("top", spelt)
    kites.skeleton_file.write_text(content)
    assert main(kites.check_words()) == 1
    error = capsys.readouterr().err
    assert "it takes 1 to 60 printable characters" in error
    assert "\x1b" not in error
    assert len(error) < 500


@pytest.mark.usefixtures("one_thread")
def test_control_characters_never_reach_the_terminal(kites, capsys):
    evil = "\x1b[2J\x1b]0;title\x07"

    def change(content):
        content["categories"].append({"id": 2, "name": f"{evil}car"})
        content["annotations"][0].update(category_id=2, keypoints=[], num_keypoints=0)

    kites.change(change)
    for words in (kites.train_words(), kites.eval_words(), kites.check_words()):
        main(words)
        text = capsys.readouterr()
        assert "car" in text.out
        assert "\x1b" not in text.out + text.err
        assert "\x07" not in text.out + text.err
    kites.change(lambda c: c["images"][0].update(file_name=f"{evil}.png"))
    for words in (kites.train_words(), kites.eval_words(), kites.check_words()):
        assert main(words) == 1
        text = capsys.readouterr()
        assert "\\x1b[2J" in text.out + text.err
        assert "\x1b" not in text.out + text.err


def test_text_is_made_fit_for_a_line():
    assert one_line("a\n  b\x00\x9b31m") == "a b\\x00\\x9b31m"
    assert shown("x" * 100) == "'" + "x" * 56 + "..."
    assert shown(10**5000) == "a int too large to show"


@pytest.mark.usefixtures("one_thread")
def test_predict_follows_no_link_in_its_output(kites, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("years of work")
    out = tmp_path / "out"
    out.mkdir()
    files = ("1.png", "coco_results.json", "predictions.json")
    for name in (*files, *(f"{file}.partial" for file in files)):
        (out / name).symlink_to(precious)
    picture = str(kites.images / "1.png")
    assert main(["predict", str(kites.model()), picture, f"--output={out}"]) == 0
    assert precious.read_text() == "years of work"
    assert sorted(path.name for path in out.iterdir()) == list(files)
    assert not any(path.is_symlink() for path in out.iterdir())
