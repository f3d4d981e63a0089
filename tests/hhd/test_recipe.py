"""Recipes: what is shipped parses, what the schema does not take is refused in a sentence."""

from dataclasses import replace

import pytest

from hhd.train.losses import DistillationLoss
from hhd.train.recipe import SHIPPED, Recipe, load_recipe, parse_recipe

DISTILLING = ("lspet_published", "lspet_kl")


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_shipped_recipes_parse(name):
    recipe = load_recipe(name)
    assert isinstance(recipe, Recipe)
    assert parse_recipe([name]) == recipe
    assert (recipe.loss != "none") == (name in DISTILLING)


def test_the_students_of_lspet_differ_in_their_loss_alone():
    free = {"loss", "window", "hhd_weight", "match_gradients", "teacher", "output", "decode"}
    free |= {"teacher_gate", "teacher_floor"}
    recipes = [load_recipe(f"lspet_{name}").as_dict() for name in ("integral", "published", "kl")]
    for key in set(recipes[0]) - free:
        assert recipes[0][key] == recipes[1][key] == recipes[2][key], key


def test_the_presets_of_the_losses():
    published, ours = (DistillationLoss(load_recipe(name)).criterion for name in DISTILLING)
    assert published.preset == "published-v1"
    sigma_two = replace(load_recipe("lspet_kl"), sigma=2.0)
    assert DistillationLoss(sigma_two).criterion.preset == "kl-v1"
    assert ours.preset == "custom"  # its unit is the recipe's sigma


def test_a_loss_has_its_own_window_and_weight():
    student = ["demo_student", "--teacher", "labels", "--loss"]
    published = parse_recipe([*student, "published"])
    assert published.distillation() == (8, 0.5)
    assert DistillationLoss(published).criterion.preset == "published-v1"
    assert parse_recipe([*student, "kl"]).distillation() == (7, 1.0)
    assert parse_recipe([*student, "kl", "--window=5", "--hhd-weight=0"]).distillation() == (5, 0)


def test_overrides_on_the_command_line():
    words = ["lspet_integral", "--data-root", "some/where", "--lr=0.01", "--input_size", "[64, 96]"]
    recipe = parse_recipe(words)
    assert (recipe.data_root, recipe.lr, recipe.input_size) == ("some/where", 0.01, (64, 96))
    assert load_recipe("lspet_integral", lr=0.01).lr == 0.01


def test_help_names_every_field(capsys):
    with pytest.raises(SystemExit):
        parse_recipe(["--help"])
    text = capsys.readouterr().out
    assert all(f"--{name} " in text for name in Recipe().as_dict())
    assert "Peak learning rate." in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("learning_rate: 0.1", "'learning_rate' is not accepted"),
        ("lr: fast", '"lr"'),
        ("lr: -1", "lr is -1.0; it takes a positive number"),
        ("loss: mse", '"loss"'),
        ("model: vit", "model is 'vit'"),
        ("loss: kl", "needs teacher or teacher_maps"),
        ("teacher: labels", "takes no teacher"),
        ("task: heatmap\nloss: kl\nteacher: labels", "distillation is for integral students"),
        ("loss: kl\nteacher: labels\nteacher_maps: m.npy", "both given"),
        ("decode_window: 8", "it takes an odd number"),
        ("decode_window: -3", "it takes an odd number from 1 to 999"),
        ("decode_window: 1001", "it takes an odd number from 1 to 999"),
        ("window: 0", "it takes a positive number"),
        ("hhd_weight: -1", "it takes a number from 0 up"),
        ("", "is empty; it takes lines of the form"),
        ("[1, 2]", "is a list; it takes lines of the form"),
        ("lr: [1", "is not YAML"),
        ("warmup: 1", "a share between 0 and 1"),
        ("teacher_floor: 1", "a share from 0 below 1"),
        ("workers: -1", "it takes a number from 0 up"),
    ],
)
def test_what_the_schema_does_not_take(tmp_path, content, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    for read in (lambda: load_recipe(str(path)), lambda: parse_recipe([str(path)])):
        with pytest.raises(ValueError, match=message) as error:
            read()
        # One line that names the file.
        assert str(error.value).startswith(f"recipe {path}")
        assert "\n" not in str(error.value)


def test_a_wrong_option_is_one_line():
    for words, message in (
        (["--lr", "fast"], '^hhd train: Parser key "lr": Expected'),
        (["--speed=1"], "^hhd train: .*--speed"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            parse_recipe(["demo_student", *words])
        assert "\n" not in str(error.value)


def test_a_missing_recipe_is_named():
    with pytest.raises(FileNotFoundError, match="neither a file nor one of demo_student"):
        load_recipe("nothing")
