"""Recipes: what is shipped parses, what the schema does not take is refused in a sentence."""

from dataclasses import replace

import pytest
import torch

from hhd.train.losses import DistillationLoss
from hhd.train.recipe import SHIPPED, Recipe, load_recipe, parse_recipe
from hhd.train.schedule import build_optimiser, build_schedule, lr_factor

DISTILLING = ("lspet_published", "lspet_kl")


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.yaml")))
def test_shipped_recipes_parse(name):
    recipe = load_recipe(name)
    assert isinstance(recipe, Recipe)
    if name.startswith(("demo_", "lspet_")):
        assert parse_recipe([name]) == recipe
    distilling = ("_published", "_kl", "_best", "_hhd", "_kd_mse", "_kd_kl", "own_data")
    assert recipe.distils() == (name.endswith(distilling) or name.startswith("overfit_"))
    first = (SHIPPED / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    # What nobody ran at full scale says so before anything else.
    assert first.startswith("# Not run at full scale. ") == name.startswith(("mpii_", "coco_"))


@pytest.mark.parametrize("data", ["mpii", "coco"])
def test_students_and_baselines_differ_in_their_loss_alone(data):
    losses = ("published", "hhd", "ipr", "dsnt", "kd_mse", "kd_kl")
    recipes = [load_recipe(f"{data}_litehrnet18_{loss}").as_dict() for loss in losses]
    free = {"loss", "window", "hhd_weight", "teacher", "output", "decode"}
    free |= {"teacher_gate", "teacher_floor", "beta", "coordinate_loss", "flip_test"}
    for key in set(recipes[0]) - free:
        assert all(recipe[key] == recipes[0][key] for recipe in recipes), key
    for model in ("litehrnet18", "litehrnet30", "mobilenetv2", "shufflenetv2"):
        for loss in ("published", "hhd"):
            assert load_recipe(f"{data}_{model}_{loss}").model == model


def test_the_published_recipe():
    """The official mmrazor/configs/lzy_configs/mmpose/HHD-lite/lite18.py and lite30.py."""
    recipe = load_recipe("mpii_litehrnet18_published")
    assert (recipe.optimiser, recipe.lr, recipe.weight_decay) == ("adam", 5e-4, 0)
    assert (recipe.warmup_steps, recipe.warmup_factor) == (500, 0.001)
    assert (recipe.milestones, recipe.lr_gamma, recipe.epochs) == ((170, 200), 0.1, 210)
    assert (recipe.batch_size, load_recipe("mpii_litehrnet30_published").batch_size) == (64, 32)
    assert (recipe.input_size, recipe.sigma, recipe.beta) == ((256, 256), 2.0, 10.0)
    assert (recipe.loss, recipe.window, recipe.hhd_weight) == ("published", 8, 0.5)
    # RandomBBoxTransform's defaults, no shift, no half body.
    assert (recipe.augmentation, recipe.scale_factor, recipe.rotation_factor) == ("mmpose", 0.5, 80)
    assert (recipe.rotation_probability, recipe.flip_probability) == (0.6, 0.5)
    assert (recipe.shift_probability, recipe.half_body_probability) == (0, 0)
    assert (recipe.flip_test, recipe.evaluate_every) == ("coordinates", 10)


def test_the_learning_rate_of_mmengine():
    """LinearLR(start_factor .001, end 500) by step, times MultiStepLR([170, 200]) by epoch."""
    recipe = load_recipe("mpii_litehrnet18_published")
    optimiser = build_optimiser(torch.nn.Linear(1, 1).parameters(), recipe)
    assert isinstance(optimiser, torch.optim.Adam)
    build_schedule(optimiser, recipe, 10)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(5e-7)
    rates = [recipe.lr * lr_factor(step, recipe, 10) for step in range(2100)]
    assert rates[0] == pytest.approx(5e-7)
    # mmengine's parameter reaches its end on the last step of the warm-up, number 499 from 0.
    assert rates[250] == pytest.approx(5e-4 * (0.001 + 0.999 * 250 / 499))
    assert rates[498] < rates[499] == rates[1699] == 5e-4
    assert rates[1700] == rates[1999] == pytest.approx(5e-5)
    assert rates[2000] == rates[-1] == pytest.approx(5e-6)
    usual = build_optimiser(torch.nn.Linear(1, 1).parameters(), Recipe())
    assert isinstance(usual, torch.optim.AdamW)


def test_the_students_of_lspet_differ_in_their_loss_alone():
    free = {"loss", "window", "hhd_weight", "teacher", "output", "decode"}
    free |= {"teacher_gate", "teacher_floor"}
    recipes = [load_recipe(f"lspet_{name}").as_dict() for name in ("integral", "published", "kl")]
    for key in set(recipes[0]) - free:
        assert recipes[0][key] == recipes[1][key] == recipes[2][key], key


def test_the_presets_of_the_losses():
    published, ours = (
        DistillationLoss(load_recipe(name), (48, 48)).criterion for name in DISTILLING
    )
    assert published.preset == "published-v1"
    sigma_two = replace(load_recipe("lspet_kl"), sigma=2.0)
    assert DistillationLoss(sigma_two, (48, 48)).criterion.preset == "kl-v2"
    assert ours.preset == "custom"  # its unit is the recipe's sigma


def test_a_loss_has_its_own_window_and_weight():
    student = ["demo_student", "--teacher", "labels", "--loss"]
    published = parse_recipe([*student, "published"])
    assert published.distillation() == (8, 0.5)
    assert DistillationLoss(published, (48, 48)).criterion.preset == "published-v1"
    assert parse_recipe([*student, "kl"]).distillation() == (7, 10.0)
    assert parse_recipe([*student, "kd_kl"]).distillation() == (7, 1.0)
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
        ("loss: kl", "needs teacher, targets or teacher_maps"),
        ("teacher: labels", "takes no teacher"),
        ("task: heatmap\nloss: kl\nteacher: labels", "distillation is for integral students"),
        ("loss: kl\nteacher: labels\nteacher_maps: m.npy", "both given"),
        ("decode_window: 8", "it takes an odd number"),
        ("decode_window: -3", "it takes an odd number from 1 to 999"),
        ("decode_window: 1001", "it takes an odd number from 1 to 999"),
        ("window: 0", "it takes a positive number"),
        ("hhd_weight: -1", "it takes a number from 0 up"),
        ("", "is empty; it takes lines of the form"),
        ("lr: 1\nepochs: 2\nlr: 3", "gives more than one value of lr$"),
        ("[1, 2]", "is a list; it takes lines of the form"),
        ("lr: [1", "is not YAML"),
        ("warmup: 1", "a share between 0 and 1"),
        ("teacher_floor: 1", "a share from 0 below 1"),
        ("workers: -1", "it takes a number from 0 up"),
        ("beta: -10", "beta is -10.0; it takes a positive number"),
        ("lr: .inf", "lr is inf; it takes a positive number"),
        ("weight_decay: .inf", "weight_decay is inf; it takes a number from 0 up"),
        ("flip_probability: 1.5", "flip_probability is 1.5; it takes a share from 0 to 1"),
        ("shift_probability: -0.1", "shift_probability is -0.1; it takes a share from 0 to 1"),
        ("input_size: [0, 96]", r"input_size is \[0, 96\]; it takes 2 positive whole numbers"),
        ("deconv: [256, 0]", r"deconv is \[256, 0\]; it takes positive whole numbers"),
        ("milestones: [0, 3]", r"milestones is \[0, 3\]; it takes rising epochs"),
        ("milestones: [9, 3]", r"milestones is \[9, 3\]; it takes rising epochs"),
        ("scale_factor: 1", "scale_factor is 1.0; it takes a share below 1"),
        ("affine: udp\ntask: heatmap", "affine is udp and target is msra; udp goes with udp"),
        ("heatmap_decode: dark_udp\ntask: heatmap", "dark_udp goes with affine udp"),
        ("affine: udp\nloss: kl\nteacher_maps: m.npy", "teacher_maps lie on the standard grid"),
        ("loss: js\nteacher: labels", "loss is js, which takes no teacher"),
        ("loss: kd_kl", "loss is kd_kl, which needs teacher"),
        ("val_detections: d.json", "coco_ap is false; .* nothing to evaluate"),
        ("val_detections: d.json\nmpii_truth: t.mat", "PCKh is of annotated persons"),
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
        (["--epochs=-1"], "^hhd train: epochs is -1; it takes a positive number"),
        (["--recipe"], "^hhd train: .*--recipe: expected one argument"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            parse_recipe(["demo_student", *words])
        assert "\n" not in str(error.value)


def test_a_recipe_is_named_as_an_option_too():
    recipe = parse_recipe(["demo_student", "--lr=0.5"])
    for words in (["--recipe", "demo_student", "--lr=0.5"], ["--lr=0.5", "--recipe=demo_student"]):
        assert parse_recipe(words) == recipe


def test_options_give_what_a_file_lacks(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("loss: kl")
    assert parse_recipe([str(path), "--teacher=labels"]).teacher == "labels"
    # Wrong alone and with the option: the file is named.
    with pytest.raises(ValueError, match=f"^recipe {path}: loss is kl, which needs teacher"):
        parse_recipe([str(path), "--epochs=3"])


def test_a_missing_recipe_is_named():
    with pytest.raises(
        FileNotFoundError, match="neither a file nor a shipped recipe, coco_hrnet_w48"
    ):
        load_recipe("nothing")
