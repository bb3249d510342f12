"""The command that calibrates a model on other gammas."""

import numpy as np
import pytest
from ctapipe.core import run_tool

from ctapipe_gammalearn.fingerprints import extended, sketch, sketched
from ctapipe_gammalearn.inference import Predictor
from ctapipe_gammalearn.tools.calibrate import CalibrateModel
from ctapipe_gammalearn.training.arrays import ImageArrays
from ctapipe_gammalearn.training.fit import fit
from ctapipe_gammalearn.weights import read_model
from tests.training.toy import small_recipe, toy_images, write_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, the arrays that it knows, and others."""
    folder = tmp_path_factory.mktemp("calibrate")
    recipe = small_recipe(data={"batch_size": 32, "fractions": [0.6, 0.2, 0.2]})
    fit(recipe, toy_images(folder, 150, rings=4), folder / "run")
    write_sample(folder / "others", 1500, 0, seed=7, rings=4)
    write_sample(folder / "test", 1500, 0, seed=8, rings=4)
    write_sample(folder / "few", 50, 0, seed=9, rings=4)
    write_sample(folder / "protons", 300, 101, seed=10, rings=4)
    return folder


def calibrate(folder, output, *options):
    """Exit code of the command."""
    argv = [folder / "run/model.safetensors", "-o", output, *options]
    return run_tool(CalibrateModel(), argv=[str(word) for word in argv], raises=False)


def test_intervals_cover_other_gammas(folder, tmp_path, capsys):
    out = tmp_path / "new.safetensors"
    assert calibrate(folder, out, "-i", folder / "others", "-i", folder / "protons") == 0
    assert capsys.readouterr().out == f"{out}: calibrated on 1500 gammas\n"
    assert [p.name for p in tmp_path.iterdir()] == ["new.safetensors"]
    test = ImageArrays(folder / "test")
    image, time = np.float32(test.image), np.float32(test.peak_time)
    found = Predictor(out, device="cpu").predict(image, time)
    # the interval in TeV has the width of the one in log E: see inference.targets
    half = np.arcsinh(found.energy_uncert / found.energy) / np.log(10)
    inside = np.abs(np.log10(found.energy) - test.events["log10_energy"]) < half
    assert abs(inside.mean() - 0.68) < 0.04
    # longitude is the second axis of the camera plane
    off = np.linalg.norm(found.direction[:, ::-1] - test.events["direction"], axis=1)
    assert abs((off < found.direction_uncert).mean() - 0.68) < 0.04


def test_the_record_names_what_it_was_calibrated_on(folder, tmp_path):
    calibrate(folder, tmp_path / "new.safetensors", "-i", folder / "others")
    before, after = (
        read_model(p).card for p in (folder / "run/model.safetensors", tmp_path / "new.safetensors")
    )
    names = [s["file"] for s in after.training["samples"]]
    assert names == [*(s["file"] for s in before.training["samples"]), "gamma7.dl1.h5"]
    assert after.weights_sha256 == before.weights_sha256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give DL1 files with -i"),
        (["-i", "few"], "50 gammas are too few"),
        (["-i", "protons"], "0 gammas are too few"),
        (["-i", "gamma"], "gamma1.dl1.h5: the model was trained on this very file"),
        (["-i", "nix"], "nix: no such file"),
    ],
)
def test_unusable_gammas_are_one_line(folder, tmp_path, options, message, capsys):
    options = [folder / word if word[0] != "-" else word for word in options]
    assert calibrate(folder, tmp_path / "new.safetensors", *options) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_sketch_grows_as_if_made_at_once():
    rng = np.random.default_rng(1)
    prints = np.unique(rng.integers(0, 2**63, 20_000, dtype=np.uint64))
    some, others = np.sort(prints[::3]), np.sort(np.delete(prints, np.s_[::3]))
    assert extended(sketch(some), others) == sketch(prints)
    assert len(sketched(extended(sketch(some[:10]), others[:10]))) == 20
