"""``ctapipe-gammalearn-evaluate`` on a small file whose DL2 columns are known."""

import re
import shutil
from importlib.resources import files

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from astropy.table import Table
from ctapipe.core import run_tool
from ctapipe.io import TableLoader, write_table

from ctapipe_gammalearn.io.training_files import convert
from ctapipe_gammalearn.lattice import CameraLattice
from ctapipe_gammalearn.tools.evaluate import EvaluateTool
from ctapipe_gammalearn.training.arrays import ImageArrays, join
from ctapipe_gammalearn.training.preparation import make_network
from ctapipe_gammalearn.weights import random_model, write_model
from ctapipe_gammalearn.weights.initialise import trained_model

from ..training.made_up import made_up_arrays
from ..training.toy import small_recipe

SHIFT = 0.3 * u.deg
KEYS = ("obs_id", "event_id", "tel_id")


def run(folder, *options):
    """Exit code of the tool, run in a folder."""
    return run_tool(EvaluateTool(), [str(word) for word in options], cwd=folder, raises=False)


@pytest.fixture(scope="module")
def demo():
    """Small simulated file of the package: 171 images of gammas in four LSTs."""
    return files("ctapipe_gammalearn") / "resources/demo_events.dl1.h5"


@pytest.fixture(scope="module")
def arrays(demo, tmp_path_factory):
    """Its array folder."""
    return convert(demo, tmp_path_factory.mktemp("arrays") / "demo").folder


def reconstruct(table):
    """DL2 tables of a telescope: energies 10 % too high, directions 0.3 deg off."""
    n = len(table)
    sky = SkyCoord(
        alt=u.Quantity(table["true_alt"]), az=u.Quantity(table["true_az"]), frame=AltAz()
    )
    sky = sky.directional_offset_by(np.arange(n) * 40 * u.deg, SHIFT)
    keys = {key: table[key] for key in KEYS}
    valid = np.arange(n) != 5
    return {
        "energy/RandomForestRegressor": Table(
            {
                **keys,
                "RandomForestRegressor_tel_energy": 1.1 * u.Quantity(table["true_energy"]),
                "RandomForestRegressor_tel_is_valid": valid,
            }
        ),
        "geometry/disp": Table(
            {
                **keys,
                "disp_tel_alt": sky.alt.to(u.deg),
                "disp_tel_az": sky.az.to(u.deg),
                "disp_tel_is_valid": np.ones(n, dtype=bool),
            }
        ),
        "particle_type/RandomForestClassifier": Table(
            {
                **keys,
                "RandomForestClassifier_tel_prediction": np.linspace(0.1, 0.9, n),
                "RandomForestClassifier_tel_is_valid": np.ones(n, dtype=bool),
            }
        ),
    }


@pytest.fixture(scope="module")
def dl2(demo, tmp_path_factory):
    """DL2 file of the demo events; one energy of each telescope is not valid."""
    path = tmp_path_factory.mktemp("dl2") / "demo.dl2.h5"
    shutil.copy(demo, path)
    with TableLoader(path) as loader:
        telescopes = {
            tel_id: loader.read_telescope_events(telescopes=[tel_id], dl1_parameters=False)
            for tel_id in (1, 2, 3, 4)
        }
    for tel_id, table in telescopes.items():
        for group, columns in reconstruct(table).items():
            write_table(columns, path, f"/dl2/event/telescope/{group}/tel_{tel_id:03d}")
    return path


@pytest.fixture(scope="module")
def models(arrays, tmp_path_factory):
    """Two untrained models for the camera: the classical kind, and one with a record."""
    folder, lattice = tmp_path_factory.mktemp("models"), _lattice(arrays)
    write_model(folder / "plain.safetensors", random_model(lattice, "LSTCam", seed=1))
    images = join([ImageArrays(arrays)])
    network = make_network(small_recipe(), images).eval()
    record = {"regression_on": "gamma", "dataset": "demo", "epochs": 1, "seed": 1}
    model = trained_model(
        network, lattice, "LSTCam", training={**record, "samples": images.sources}
    )
    write_model(folder / "leaky.safetensors", model)
    return folder


def _lattice(arrays):
    """Lattice of an array folder."""
    found = ImageArrays(arrays)
    return CameraLattice.from_positions(found.pix_x, found.pix_y, found.meta["shape"])


@pytest.fixture(scope="module")
def evaluated(demo, dl2, models, tmp_path_factory):
    """Folder of an evaluation of everything, and what it says."""
    folder = tmp_path_factory.mktemp("evaluation")
    options = ["-i", demo, "--dl2", dl2, "-o", folder / "out", "--replicas", 10]
    for name in ("plain", "leaky"):
        options += ["-m", models / f"{name}.safetensors"]
    assert run(folder, *options) == 0
    return folder / "out"


def table(folder, name):
    """A table of an evaluation."""
    return Table.read(folder / f"{name}.ecsv", format="ascii.ecsv")


def test_known_errors_of_dl2_come_out(evaluated):
    rows = table(evaluated, "intensity")
    row = rows[(rows["method"] == "Random Forest") & np.isinf(rows["high"])][0]
    assert row["low"] == 50
    assert row["psi68"] == pytest.approx(SHIFT.to_value(u.deg), abs=1e-4)
    assert row["energy_bias"] == pytest.approx(0.1, abs=1e-5)
    assert row["energy_resolution"] == pytest.approx(0, abs=1e-5)
    assert rows["psi68"].unit == u.deg


def test_all_methods_are_judged_by_the_same_images(evaluated):
    rows = table(evaluated, "intensity")
    everything = rows[(rows["low"] == 50) & np.isinf(rows["high"])]
    assert list(everything["method"]) == ["Random Forest", "plain", "leaky"]
    (n,) = set(everything["n_gamma"])
    assert 100 < n < 140
    assert set(everything["valid_fraction"]) == {1.0}
    assert any("images without a valid prediction" in note for note in rows.meta["notes"])


def test_differences_are_relative_to_the_forest(evaluated):
    rows = table(evaluated, "differences")
    assert set(rows["reference"]) == {"Random Forest"}
    assert set(rows["method"]) == {"plain", "leaky"}
    psi = rows[(rows["metric"] == "psi68") & (rows["low"] == 50) & np.isinf(rows["high"])]
    assert np.all(psi["difference"] > psi["difference_low"])
    np.testing.assert_allclose(psi["ratio"], psi["value"] / psi["reference_value"])


def test_overlap_with_the_training_is_noted_loudly(evaluated, demo, models, tmp_path, capsys):
    note = f"leaky: {demo.name}: the model was trained on this very file"
    notes = table(evaluated, "intensity").meta["notes"]
    assert [n for n in notes if "trained" in n] == [note]
    options = ["-i", demo, "-m", models / "leaky.safetensors", "-o", tmp_path / "out"]
    assert run(tmp_path, *options, "--replicas", 2) == 0
    assert f"NOT A FAIR TEST of {note}" in capsys.readouterr().err


def test_figures_are_drawn(evaluated):
    drawn = {path.stem for path in evaluated.glob("*.png")}
    assert drawn >= {"roc", "gammaness", "psi68", "energy_bias", "energy_resolution", "coverage"}


def test_images_are_converted_once(evaluated, demo, models):
    (folder,) = (evaluated / "arrays").iterdir()
    before = folder.stat().st_mtime_ns
    model = models / "plain.safetensors"
    options = ["-i", demo, "-m", model, "-o", evaluated, "--replicas", 2, "--overwrite"]
    assert run(evaluated.parent, *options) == 0
    assert folder.stat().st_mtime_ns == before


def test_model_of_another_camera_is_refused(tmp_path, hexagonal_camera, models, capsys):
    made_up_arrays(tmp_path / "other", 40, hexagonal_camera)
    model = models / "plain.safetensors"
    assert run(tmp_path, "-i", tmp_path / "other", "-m", model, "-o", tmp_path / "out") == 2
    text = " ".join(capsys.readouterr().err.split())
    assert re.search(r"images of \S+, but the model is for LSTCam: .*; choose another model", text)


@pytest.mark.parametrize(
    "options, message",
    [
        (["-o", "out", "-m", "MODEL"], "give DL1 files with -i"),
        (["-i", "ARRAYS", "-o", "out"], "give models with -m"),
        (["-i", "ARRAYS", "-m", "MODEL"], "give a folder with -o"),
        (["-i", "ARRAYS", "-m", "MODEL", "-o", "a/b/c"], "its parent must exist"),
        (["-i", "ARRAYS", "-m", "ARRAYS/meta.json", "-o", "out"], "meta.json"),
        (["-i", "ARRAYS", "-m", "MODEL", "-o", "out", "--efficiency", "2"], "fraction below 1"),
        (["-i", "ARRAYS", "--dl2", "DEMO", "-o", "out"], "no column RandomForestRegressor_tel_"),
        (["-i", "ARRAYS", "-m", "MODEL", "-o", "out", "--dl2-prefixes", "a"], "give three"),
        (["-i", "ARRAYS", "-m", "MODEL", "-o", "out", "--min-intensity", "1e9"], "passes the cuts"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    options, message, demo, arrays, models, tmp_path, capsys
):
    words = {"ARRAYS": str(arrays), "MODEL": str(models / "plain.safetensors"), "DEMO": str(demo)}
    for name, value in words.items():
        options = [word.replace(name, value) for word in options]
    assert run(tmp_path, *options) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_an_evaluation_is_not_replaced_by_accident(evaluated, demo, models, capsys):
    model = models / "plain.safetensors"
    assert run(evaluated.parent, "-i", demo, "-m", model, "-o", evaluated) == 2
    assert "use --overwrite" in capsys.readouterr().err
