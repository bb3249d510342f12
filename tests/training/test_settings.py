"""Recipes: what is refused, and that files and defaults agree."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import ctapipe_gammalearn
from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.nn import InputSettings
from ctapipe_gammalearn.training.settings import Recipe, ShowerSettings, read_recipe
from ctapipe_gammalearn.weights import read_model

RESOURCES = Path(ctapipe_gammalearn.__file__).parent / "resources"


def test_file_of_the_package_holds_the_defaults():
    assert read_recipe(RESOURCES / "train.yaml") == Recipe()


def test_full_camera_recipe_reads_the_whole_camera_with_attention():
    recipe = read_recipe(RESOURCES / "train_camera.yaml")
    assert recipe.shower.crop is None
    assert recipe.network.attention == "dual"


def test_model_of_the_package_was_trained_by_its_recipe():
    for file, model in (("train", "lst_patch"), ("train_gammaphysnet", "lst_gammaphysnet")):
        record = read_model(RESOURCES / f"{model}.safetensors").card.training["recipe"]
        recipe = read_recipe(RESOURCES / f"{file}.yaml")
        # keys that came later have the value that they had then
        assert Recipe.from_dict(record) == recipe


def test_recipe_survives_a_file(tmp_path):
    recipe = Recipe.from_dict({"shower": {"crop": None}, "augmentation": {"nsb": [0, 2]}})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe.to_dict()))
    assert read_recipe(tmp_path / "recipe.yaml") == recipe


def test_numbers_that_yaml_takes_for_text_are_numbers():
    recipe = Recipe.from_dict(yaml.safe_load("optimiser: {learning_rate: 1e-3, clip: 2}"))
    assert recipe.optimiser.learning_rate == 1e-3
    assert recipe.optimiser.clip == 2.0


def test_shower_section_is_that_of_the_network_but_for_the_focal_length():
    ours = {f.name: f.default for f in fields(ShowerSettings)}
    theirs = {f.name: f.default for f in fields(InputSettings) if f.name != "focal_length_m"}
    assert ours == theirs


@pytest.mark.parametrize(
    "values, message",
    [
        ({"netwrk": {}}, "did you mean network"),
        ({"optimiser": {"learnin_rate": 1}}, "did you mean learning_rate"),
        ({"run": {"epochs": "many"}}, "run.epochs: expected int"),
        ({"run": {"epochs": 1.5}}, "run.epochs: expected int"),
        ({"run": {"epochs": 0}}, "run.epochs"),
        ({"network": {"tasks": ["energy", "charge"]}}, "network.tasks"),
        ({"loss": {"weights": {"energy": -1.0}}}, "loss.weights"),
        ({"loss": {"direction": "l2"}}, "loss.direction"),
        ({"data": {"fractions": [0.5, 0.5, 0.5]}}, "data.fractions"),
        ({"balance": {"method": "uncertainty"}}, "never negative"),
        ({"network": 3}, "expected keys and values"),
        ([], "expected keys and values"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(TrainingError, match=message):
        Recipe.from_dict(values)


@pytest.mark.parametrize("text", ["a: [", "\x00"])
def test_file_that_is_no_yaml_is_named(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"recipe\.yaml: not a readable YAML"):
        read_recipe(path)


def test_settings_load_without_lightning():
    code = (
        "import sys; sys.modules['lightning'] = None\n"
        "import ctapipe_gammalearn.training.settings\n"
        "import ctapipe_gammalearn.training.fit as f\n"
        "try: f.check_lightning()\n"
        "except f.TrainingError as error: print(error)\n"
        "print('ctapipe' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    needs = "training needs lightning: pip install 'ctapipe_gammalearn[train]'"
    assert done.stdout.splitlines() == [needs, "False"]
