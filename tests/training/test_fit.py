"""From images to a model file; interruptions leave no trace in it."""

import csv
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.fingerprints import sketch
from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.io.model_record import read_training
from ctapipe_gammalearn.training import fit as fit_module
from ctapipe_gammalearn.training.__main__ import main
from ctapipe_gammalearn.training.arrays import ImageArrays, join
from ctapipe_gammalearn.training.callbacks import ResumePoint
from ctapipe_gammalearn.training.fit import clear, fit
from ctapipe_gammalearn.training.preparation import divide
from ctapipe_gammalearn.weights import read_model

from .toy import Stop, small_recipe, toy_images, write_sample

# 6 steps in an epoch, 14 in all
RECIPE = small_recipe(
    data={"batch_size": 32, "fractions": [0.6, 0.2, 0.2]}, run={"max_steps": 14, "epochs": 3}
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, images):
    """An uninterrupted run."""
    run = tmp_path_factory.mktemp("runs") / "run"
    fit(RECIPE, images, run)
    return run


def weights(run):
    """Fingerprint of the weights of a run's model."""
    return read_model(run / "model.safetensors").card.weights_sha256


def history(run):
    """Rows of the history."""
    with (run / "history.csv").open() as file:
        return list(csv.DictReader(file))


def stop_at(monkeypatch, name, step, stop=Stop):
    """Stop after the callback ``name`` at a step."""
    original = getattr(ResumePoint, name)

    def hook(self, trainer, *args):
        original(self, trainer, *args)
        if trainer.global_step == step:
            raise stop

    monkeypatch.setattr(ResumePoint, name, hook)


def test_model_tells_where_it_comes_from(finished, images):
    card = read_model(finished / "model.safetensors").card
    assert card.status == "trained"
    assert card.training["samples"] == images.sources
    assert card.training["recipe"] == RECIPE.to_dict()
    assert card.training["selection"] == {
        "min_intensity": 50.0, "min_pixels": 4, "max_leakage": 1.0,
    }  # fmt: skip
    assert card.training["metrics"]["n_gamma"] > 10
    assert card.shower["crop"] == 8
    assert card.camera["name"] == "ToyCam"


def test_a_run_leaves_the_showers_of_its_training(tmp_path):
    images = toy_images(tmp_path, 150, rings=4)
    showers = np.sort(np.random.default_rng(2).integers(2**63, size=6000).astype(np.uint64))
    for part in images.arrays:
        np.save(part.folder / "showers.npy", showers)
    recipe = replace(RECIPE, run=replace(RECIPE.run, max_steps=2))
    fit(recipe, images, tmp_path / "run")
    kept = np.load(tmp_path / "run/training_showers.npy")
    np.testing.assert_array_equal(kept, showers)
    record = read_model(tmp_path / "run/model.safetensors").card.training["showers"]
    assert record == sketch(showers)
    assert read_training(tmp_path / "run/model.safetensors")["showers"] == record
    clear(tmp_path / "run")
    assert not (tmp_path / "run/training_showers.npy").exists()


def test_history_has_training_and_validation(finished):
    rows = history(finished)
    assert [int(r["step"]) for r in rows if r["val_loss"]] == [6, 12, 14]
    assert [int(r["step"]) for r in rows if r["train_sum"]] == [2, 4, 6, 8, 10, 12, 14]
    assert (finished / "history.png").stat().st_size > 1000
    figures = {path.name for path in (finished / "validation").iterdir()}
    assert {"roc.png", "gammaness.png"} <= figures


def test_equal_seeds_give_equal_models(finished, images, tmp_path):
    fit(RECIPE, images, tmp_path / "again")
    other = replace(RECIPE, run=replace(RECIPE.run, seed=2))
    fit(other, images, tmp_path / "other")
    assert weights(tmp_path / "again") == weights(finished) != weights(tmp_path / "other")


@pytest.mark.parametrize(
    "hook, step",
    [
        ("on_train_batch_end", 1),
        ("on_train_batch_end", 3),
        ("on_train_batch_end", 6),
        ("on_train_epoch_end", 6),
        ("on_train_batch_end", 7),
        ("on_train_epoch_end", 12),
        ("on_train_end", 14),
    ],
)
def test_interrupted_run_ends_with_the_same_model(
    finished, images, tmp_path, monkeypatch, hook, step
):
    with monkeypatch.context() as patch:
        stop_at(patch, hook, step)
        with pytest.raises(Stop):
            fit(RECIPE, images, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    fit(RECIPE, images, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(finished)
    assert history(tmp_path / "run") == history(finished)


def test_ctrl_c_is_a_keyboard_interrupt_and_can_be_resumed(finished, images, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        stop_at(patch, "on_train_batch_end", 7, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(RECIPE, images, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is handler
    fit(RECIPE, images, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(finished)


def test_checkpoint_cut_short_by_a_full_disk_does_not_replace_the_last(
    images, tmp_path, monkeypatch
):
    def full(self, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        stop_at(patch, "on_train_batch_end", 4)
        with pytest.raises(Stop):
            fit(RECIPE, images, tmp_path / "run")
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    monkeypatch.setattr("lightning.pytorch.Trainer.save_checkpoint", full)
    with pytest.raises(OSError, match="No space"):
        fit(RECIPE, images, tmp_path / "run")
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before


def test_finished_run_is_left_alone(finished, images):
    before = (finished / "model.safetensors").stat().st_mtime_ns
    assert fit(RECIPE, images, finished) == finished / "model.safetensors"
    assert (finished / "model.safetensors").stat().st_mtime_ns == before


def test_run_of_another_recipe_is_refused_by_name(finished, images):
    other = replace(RECIPE, optimiser=replace(RECIPE.optimiser, clip=1.0))
    with pytest.raises(TrainingError, match=r"other settings \(recipe\.optimiser\.clip\)"):
        fit(other, images, finished)


def test_how_a_run_is_computed_may_change(finished, images):
    other = replace(RECIPE, run=replace(RECIPE.run, threads=2, save_every=7))
    fit(other, images, finished)


def test_clear_leaves_the_arrays(finished, images, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "arrays").mkdir()
    clear(tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [".lock", "arrays"]


def test_start_from_a_model(finished, images, tmp_path):
    slow = replace(RECIPE, optimiser=replace(RECIPE.optimiser, learning_rate=1e-12))
    model = finished / "model.safetensors"
    fit(slow, images, tmp_path / "tuned", init_from=model)
    start, tuned = (read_model(p).network for p in (model, tmp_path / "tuned" / model.name))
    for a, b in zip(start.parameters(), tuned.parameters(), strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), atol=1e-6)
    wide = replace(RECIPE, network=replace(RECIPE.network, fc_width=17))
    with pytest.raises(TrainingError, match=r"model\.safetensors: its architecture"):
        fit(wide, images, tmp_path / "wide", init_from=model)


def test_network_learns_and_its_file_predicts_what_was_validated(folder, tmp_path):
    images = toy_images(folder / "more", 900, rings=4)
    recipe = small_recipe(
        data={"batch_size": 64},
        run={"max_steps": 80, "epochs": 20, "save_every": 100},
        network={"block_features": [8, 12], "dropout": 0.0},
    )
    path = fit(recipe, images, tmp_path / "run")
    model = read_model(path)
    index = divide(recipe, images).validation
    found = Predictor(replace(model, card=replace(model.card, calibration=None))).predict(
        *images.rows(index)
    )
    truth = images.events[index]
    gamma = truth["particle"] == 0
    ratio = found.energy[gamma] / 10 ** truth["log10_energy"][gamma]
    expected = model.card.training["metrics"]
    assert np.median(np.abs(np.log(ratio))) == pytest.approx(expected["median_abs_ln"], abs=1e-4)
    assert expected["auc"] > 0.9
    assert np.median(found.gammaness[gamma]) > 0.6 > np.median(found.gammaness[~gamma])
    # the mean of log E knows nothing of the image
    centred = truth["log10_energy"][gamma] - truth["log10_energy"][gamma].mean()
    assert expected["median_abs_ln"] < 0.8 * np.median(np.abs(centred)) * np.log(10)


@pytest.mark.parametrize(
    "names, message",
    [(["proton"], "no gamma among 150 images"), (["gamma"], "no background image left")],
)
def test_missing_class_is_named(images, folder, tmp_path, names, message):
    part = join([ImageArrays(folder / name) for name in names])
    with pytest.raises(TrainingError, match=message):
        fit(RECIPE, part, tmp_path / "run")


def test_too_few_images_are_counted(images, tmp_path):
    harsh = replace(RECIPE, selection=replace(RECIPE.selection, min_intensity=5e3))
    with pytest.raises(TrainingError, match=r"\d gamma images left for the training part"):
        fit(harsh, images, tmp_path / "run")


def test_gammas_alone_train_regressions(folder, images, tmp_path):
    recipe = small_recipe(
        network={"tasks": ["energy"]},
        data={"gamma_fraction": 1.0, "batch_size": 32},
        run={"max_steps": 3},
    )
    path = fit(recipe, join([ImageArrays(folder / "gamma")]), tmp_path / "run")
    assert list(read_model(path).card.tasks) == ["energy"]


def test_module_runs_as_a_command(folder, images, tmp_path, capsys):
    import yaml

    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE.to_dict()))
    command = ["--recipe", f"{tmp_path}/recipe.yaml", "-o", f"{tmp_path}/run", "--arrays"]
    assert main([*command, f"{folder}/gamma", f"{folder}/proton"]) == 0
    assert main([*command, f"{folder}/gamma", f"{tmp_path}/nothing"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"{tmp_path}/nothing: no complete array folder")


def test_cameras_must_agree(folder, images, tmp_path, capsys):
    write_sample(tmp_path / "other", 20, 101, 5, rings=5)
    command = ["-o", f"{tmp_path}/run", "--arrays", f"{folder}/gamma", f"{tmp_path}/other"]
    assert main(command) == 2
    assert "not the camera of" in capsys.readouterr().err


def test_missing_lightning_is_one_line(images, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lightning", None)
    with pytest.raises(TrainingError, match="training needs lightning: pip install"):
        fit(RECIPE, images, tmp_path / "run")
    assert fit_module.NEEDS.endswith("'ctapipe_gammalearn[train]'")
