"""Arrays straight from the simulation: the same as by way of a DL1 file."""

import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from ctapipe.core import run_tool
from ctapipe.tools.process import ProcessorTool

from ctapipe_gammalearn.exceptions import SimulationError, TrainingError
from ctapipe_gammalearn.io import training_files
from ctapipe_gammalearn.simulation.run import RunConfig
from ctapipe_gammalearn.training import simulated
from ctapipe_gammalearn.training.arrays import ImageArrays, join
from ctapipe_gammalearn.training.simulated import convert, main, split_run

VALUES = {
    "obs_id": 31, "seed": 5, "primary": "gamma", "n_showers": 15, "reuse": 4,
    "energy_min": 0.1, "energy_max": 0.4, "viewcone": [0.0, 2.0], "scatter_radius": 250.0,
    "nsb": [0.8, 1.5], "array": "4LST",
}  # fmt: skip
CONFIG = training_files.Path(simulated.__file__).parents[1] / "resources/simulate.yaml"


@pytest.fixture(scope="module")
def description(tmp_path_factory):
    """Run description of a small stereo run."""
    path = tmp_path_factory.mktemp("run") / "small.shower.yaml"
    path.write_text(yaml.safe_dump(VALUES))
    return path


@pytest.fixture(scope="module")
def arrays(description, tmp_path_factory):
    """Its arrays."""
    return convert(description, tmp_path_factory.mktemp("arrays") / "a")


def test_arrays_are_those_of_the_file(description, arrays, tmp_path):
    """The DL1 file of the same run, converted, holds the same images and true values."""
    path = tmp_path / "small.dl1.h5"
    argv = [f"--input={description}", f"--output={path}", f"--config={CONFIG}", "--quiet"]
    assert run_tool(ProcessorTool(), argv, cwd=tmp_path, raises=True) == 0
    file = training_files.convert(path, tmp_path / "file")
    order = [np.lexsort((a.events["tel_id"], a.events["event_id"])) for a in (arrays, file)]
    assert len(arrays) == len(file) > 30
    np.testing.assert_array_equal(arrays.image[order[0]], file.image[order[1]])
    np.testing.assert_array_equal(arrays.peak_time[order[0]], file.peak_time[order[1]])
    one, other = arrays.events[order[0]], file.events[order[1]]
    exact = ["obs_id", "event_id", "tel_id", "shower", "particle", "n_pixels", "intensity"]
    for name in exact:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    for name in ("log10_energy", "direction", "impact", "leakage"):
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=2e-5, err_msg=name)
    join([arrays, file])  # the same camera
    np.testing.assert_array_equal(arrays.showers, file.showers)
    for name in ("obs_ids", "tel_ids", "primary", "spectral_index", "energy_TeV", "viewcone_deg"):
        assert arrays.meta["sources"][0][name] == file.meta["sources"][0][name]
    np.testing.assert_allclose(
        *(a.meta["sources"][0]["pointing_alt_az_deg"] for a in (arrays, file)), rtol=0, atol=1e-6
    )


def test_record_names_seed_and_night_sky(arrays):
    source = arrays.meta["sources"][0]
    assert source["seed"] == 5
    assert source["nsb"] == [0.8, 1.5]
    assert source["showers"] == [0, 15]
    assert source["n_images"] == len(arrays)
    assert json.loads(json.dumps(arrays.meta)) == arrays.meta


def test_small_chunks_give_the_same(arrays, tmp_path, monkeypatch):
    monkeypatch.setattr(simulated, "CHUNK", 7)
    showers = []
    found = convert(RunConfig.from_dict(VALUES), tmp_path / "a", progress=lambda: showers.append(1))
    assert found.events.tobytes() == arrays.events.tobytes()
    np.testing.assert_array_equal(found.image, arrays.image)
    assert len(showers) == 15


def test_parts_of_a_run_throw_its_showers(arrays, tmp_path):
    runs = split_run(RunConfig.from_dict(VALUES), 3)
    assert [(r.obs_id, r.first_shower, r.n_showers) for r in runs] == [
        (31, 0, 5), (32, 5, 5), (33, 10, 5)
    ]  # fmt: skip
    part = convert(runs[1], tmp_path / "b")
    shower = arrays.events["event_id"] // 100
    here = (shower >= 5) & (shower < 10)
    np.testing.assert_array_equal(part.events["event_id"], arrays.events["event_id"][here])
    np.testing.assert_array_equal(part.image, arrays.image[here])
    assert len(split_run(RunConfig.from_dict(VALUES | {"n_showers": 2}), 5)) == 2


def test_no_ctapipe_is_loaded(description):
    """The module and what it imports know nothing of ctapipe, astropy or tables."""
    probe = (
        "import sys, ctapipe_gammalearn.training.simulated;"
        "bad = {'ctapipe', 'astropy', 'tables'} & set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_several_cameras_need_a_choice(tmp_path):
    run = RunConfig.from_dict(VALUES | {"array": "4LST+MST", "n_showers": 2})
    with pytest.raises(TrainingError, match=r"several cameras \(LSTCam, NectarCam\)"):
        convert(run, tmp_path / "a")
    with pytest.raises(TrainingError, match="no camera FlashCam; known: LSTCam, NectarCam"):
        convert(run, tmp_path / "a", camera="FlashCam")


def test_array_of_a_file_needs_ctapipe(tmp_path):
    run = RunConfig.from_dict(VALUES | {"array": "layout.h5"})
    with pytest.raises(TrainingError, match=r"obs_31: array 'layout.h5' needs ctapipe"):
        convert(run, tmp_path / "a")


def test_run_without_triggers_is_refused(tmp_path):
    run = RunConfig.from_dict(VALUES | {"energy_min": 0.002, "energy_max": 0.003, "n_showers": 2})
    with pytest.raises(TrainingError, match="no usable image"):
        convert(run, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_command_says_what_is_wrong(description, tmp_path, caplog):
    wrong = tmp_path / "wrong.shower.yaml"
    wrong.write_text("primary: photon")
    with pytest.raises(SimulationError):
        convert(wrong, tmp_path / "a")
    assert main([str(wrong), str(tmp_path / "a")]) == 2
    assert "primary 'photon' is unknown" in caplog.text
    (tmp_path / "file").write_text("")
    assert main([str(description), str(tmp_path / "file" / "a")]) == 74


def test_command_writes_the_arrays(description, arrays, tmp_path):
    assert main([str(description), str(tmp_path / "a")]) == 0
    assert ImageArrays(tmp_path / "a").events.tobytes() == arrays.events.tobytes()


@pytest.mark.slow
def test_command_with_several_processes(description, arrays, tmp_path):
    assert main([str(description), str(tmp_path / "a"), "--jobs", "2"]) == 0
    parts = [ImageArrays(tmp_path / "a" / name) for name in ("00", "01")]
    images = join(parts)
    np.testing.assert_array_equal(images.events["event_id"], arrays.events["event_id"])
