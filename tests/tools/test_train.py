"""The training command: DL1 files to a model, and one line for each mistake."""

import shutil
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
import tables
import yaml
from ctapipe.core import run_tool

from ctapipe_gammalearn.tools.train import TrainTool
from ctapipe_gammalearn.weights import read_model

RECIPE = {
    "network": {"block_features": [4], "fc_width": 8, "modes": 1},
    "shower": {"crop": 8, "rotations": 1},
    "selection": {"min_intensity": 20.0},
    "data": {"batch_size": 16, "fractions": [0.4, 0.3, 0.3]},
    "run": {"max_steps": 3, "log_every": 1, "device": "cpu"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Gammas of the package; the same images with another name as protons; a recipe."""
    folder = tmp_path_factory.mktemp("train")
    demo = files("ctapipe_gammalearn") / "resources/demo_events.dl1.h5"
    shutil.copy(demo, folder / "gamma.dl1.h5")
    shutil.copy(demo, folder / "proton.dl1.h5")
    with tables.open_file(folder / "proton.dl1.h5", "a") as file:
        showers = file.get_node("/simulation/event/subarray/shower")
        showers.modify_column(
            column=np.full(showers.nrows, 101, showers.coldtypes["true_shower_primary_id"]),
            colname="true_shower_primary_id",
        )
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return folder


def train(*options, cwd=None):
    """Exit code of the command, run in this process."""
    return run_tool(TrainTool(), argv=[str(o) for o in options], cwd=cwd, raises=False)


def inputs(folder):
    """Options for both files and the recipe."""
    names = ("gamma.dl1.h5", "proton.dl1.h5")
    return [f"--config={folder}/recipe.yaml", *(f"--input={folder}/{name}" for name in names)]


@pytest.fixture(scope="module")
def run(folder):
    """A finished run."""
    assert train(*inputs(folder), "-o", folder / "run") == 0
    return folder / "run"


def test_model_is_written_for_the_camera_of_the_files(run):
    card = read_model(run / "model.safetensors").card
    assert card.camera["name"] == "LSTCam"
    assert [s["primary"] for s in card.training["samples"]] == ["gamma", "proton"]
    assert card.training["recipe"]["network"]["block_features"] == [4]
    assert card.validity["energy_TeV"][0] < 0.1
    low, high = card.training["samples"][0]["noise_pe"]
    assert card.validity["nsb"] == f"pixel noise {low:.2f} to {high:.2f} p.e."
    assert 0.5 < low < high < 3


def test_same_command_does_nothing(run, folder, capsys):
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
    assert train(*inputs(folder), "-o", run) == 0
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before
    assert capsys.readouterr().out.splitlines()[-1] == f"{run}/model.safetensors"


def test_overwrite_starts_anew_with_the_arrays_that_are_there(run, folder):
    model = run / "model.safetensors"
    arrays = {p: p.stat().st_mtime_ns for p in run.glob("arrays/*/*")}
    before = model.stat().st_mtime_ns
    assert train(*inputs(folder), "-o", run, "--overwrite") == 0
    assert model.stat().st_mtime_ns > before
    assert {p: p.stat().st_mtime_ns for p in run.glob("arrays/*/*")} == arrays


def test_seed_of_the_command_takes_the_place_of_the_recipes(run, folder, tmp_path):
    recipe = RECIPE | {"run": RECIPE["run"] | {"seed": 7}}
    (folder / "seven.yaml").write_text(yaml.safe_dump(recipe))
    seven = [option.replace("recipe.yaml", "seven.yaml") for option in inputs(folder)]
    assert train(*inputs(folder), "-o", tmp_path / "option", "--seed=7") == 0
    assert train(*seven, "-o", tmp_path / "recipe") == 0
    paths = (tmp_path / "option", tmp_path / "recipe", run)
    models = [read_model(path / "model.safetensors") for path in paths]
    assert [m.card.training["recipe"]["run"]["seed"] for m in models] == [7, 7, 1]
    option, recipe, other = (m.network.state_dict().values() for m in models)
    assert all(map(np.array_equal, option, recipe))
    assert not all(map(np.array_equal, option, other))


def test_telescopes_are_chosen(folder, tmp_path):
    # one telescope has too few images to train on, and the message counts them
    assert train(*inputs(folder), "-o", tmp_path / "run", "--allowed-tels=1") == 2
    assert train(*inputs(folder), "-o", tmp_path / "run", "--tel-type=NectarCam") == 2


@pytest.mark.parametrize(
    "options, message",
    [
        (["--input=gamma.dl1.h5"], "no background image left"),
        (["--input=proton.dl1.h5"], "no gamma among"),
        (["--input=recipe.yaml"], "recipe.yaml: no complete HDF5 file"),
        (["--input=nothing.dl1.h5"], "nothing.dl1.h5"),
        (["--input=gamma.dl1.h5", "--config=unknown.yaml"], "did you mean batch_size"),
        (["--input=gamma.dl1.h5", "--init-from=recipe.yaml"], "recipe.yaml: "),
        (["--input=gamma.dl1.h5", "--inpt=1"], "unknown option --inpt"),
        (["--input=gamma.dl1.h5", "--seed=-1"], "run.seed: this value is not possible"),
        ([], "give DL1 files with -i"),
    ],
)
def test_mistakes_end_with_2_and_one_line(folder, tmp_path, capsys, options, message):
    (folder / "unknown.yaml").write_text("data: {batch_sise: 3}")
    config = [] if any("--config" in o for o in options) else ["--config=recipe.yaml"]
    assert train(*options, *config, "-o", tmp_path / "run", cwd=folder) == 2
    captured = capsys.readouterr()
    text = " ".join((captured.out + captured.err).split())
    assert message in text
    assert "Traceback" not in text
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_folder_of_the_output_must_exist(folder, tmp_path):
    assert train(*inputs(folder), "-o", tmp_path / "no" / "run") == 2
    assert train(*inputs(folder)) == 2


def test_full_disk_ends_with_74(run, folder, tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("lightning.pytorch.Trainer.save_checkpoint", full)
    arrays = [f"--input={p}" for p in sorted(run.glob("arrays/*"))]
    assert train(f"--config={folder}/recipe.yaml", *arrays, "-o", tmp_path / "run") == 74


def test_missing_lightning_is_one_line(folder, tmp_path):
    code = (
        "import sys; sys.modules['lightning'] = None\n"
        "from ctapipe_gammalearn.tools.train import main; main()"
    )
    command = [sys.executable, "-c", code, *inputs(folder), "-o", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    text = " ".join((done.stdout + done.stderr).split())
    assert "training needs lightning: pip install 'ctapipe_gammalearn[train]'" in text
    assert "Traceback" not in text
