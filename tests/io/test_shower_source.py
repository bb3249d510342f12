"""The event source: what ctapipe-process makes of a run description."""

import astropy.units as u
import numpy as np
import pytest
import tables
from astropy.table import QTable
from ctapipe.core import ToolConfigurationError, run_tool
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import DataLevel, EventSource, TableLoader
from ctapipe.tools.process import ProcessorTool
from pyirf.simulations import SimulatedEventsInfo

from ctapipe_gammalearn.exceptions import SimulationError
from ctapipe_gammalearn.io.shower_arrays import array_of_subarray, load_array
from ctapipe_gammalearn.io.shower_source import ShowerSimulationSource, simulation_config
from ctapipe_gammalearn.simulation.run import RunConfig

RUN = """
obs_id: 7
seed: 3
n_showers: 20
reuse: 5
energy_min: 0.1
energy_max: 10.0
spectral_index: -1.5
scatter_radius: 300.0
source_offset: 0.4
"""


def write(folder, text, name="run.shower.yaml"):
    """A run description in a folder."""
    path = folder / name
    path.write_text(text)
    return path


def process(path, output, *options):
    """Exit code of ctapipe-process."""
    log = f"--provenance-log={output.with_suffix('.log')}"
    argv = ["-i", str(path), "-o", str(output), "--write-images", log, *options]
    return run_tool(ProcessorTool(), argv=argv, cwd=path.parent, raises=False)


@pytest.fixture(scope="module")
def processed(tmp_path_factory):
    """DL1 file of `RUN`, and the source that made it."""
    folder = tmp_path_factory.mktemp("source")
    path = write(folder, RUN)
    assert process(path, folder / "x.dl1.h5") == 0
    return folder / "x.dl1.h5"


def test_source_is_found_by_the_ending_of_the_name(tmp_path):
    assert ShowerSimulationSource.is_compatible("a/b.shower.yaml")
    assert not ShowerSimulationSource.is_compatible("a/b.yaml")
    with EventSource(write(tmp_path, RUN)) as source:
        assert isinstance(source, ShowerSimulationSource)
        assert source.is_simulation
        assert source.datalevels == (DataLevel.DL1_IMAGES,)
        assert source.obs_ids == [7]


def test_events_hold_images_truth_and_pointing(tmp_path):
    with EventSource(write(tmp_path, RUN), max_events=3) as source:
        events = list(source)
    assert len(events) == 3
    for event in events:
        assert event.index.obs_id == 7
        assert event.trigger.tels_with_trigger == [1]
        dl1, sim = event.dl1.tel[1], event.simulation.tel[1]
        assert dl1.image.shape == dl1.peak_time.shape == sim.true_image.shape == (1855,)
        assert sim.true_image_sum == sim.true_image.sum()
        assert event.monitoring.pointing.array_altitude.to_value(u.deg) == pytest.approx(70)
        assert event.monitoring.tel[1].pointing.azimuth.to_value(u.deg) == pytest.approx(180)
        assert event.simulation.shower.shower_primary_id == 0


def test_processed_file_is_complete(processed):
    with TableLoader(processed) as loader:
        events = loader.read_telescope_events(dl1_images=True, true_images=True, simulated=True)
        config = loader.read_simulation_configuration()
        thrown = loader.read_shower_distribution()
    assert len(events) > 20
    assert np.all(events["event_id"] // 100 < 20)
    assert np.all(events["event_id"] % 100 < 5)
    assert np.isfinite(events["hillas_intensity"]).mean() > 0.5
    assert np.all(np.isfinite(events["true_impact_distance"]))
    assert np.all(events["true_image"].sum(axis=1) == events["true_image_sum"])
    assert config["n_showers"][0] * config["shower_reuse"][0] == 100
    assert thrown["n_entries"][0] == thrown["histogram"][0].sum() == 100
    with tables.open_file(processed) as file:
        assert "/simulation/service/atmosphere_density_profile" in file
        pointing = file.root.configuration.telescope.pointing.tel_001.read()
        assert np.rad2deg(pointing["telescope_pointing_altitude"]) == pytest.approx(70, abs=1e-4)
    subarray = SubarrayDescription.from_hdf(processed)
    assert str(subarray.tel[1]) == "LST_LST_LSTCam"


def test_two_runs_are_identical(processed, tmp_path):
    assert process(write(tmp_path, RUN), tmp_path / "y.dl1.h5") == 0
    with tables.open_file(processed) as a, tables.open_file(tmp_path / "y.dl1.h5") as b:
        for path in ("/dl1/event/telescope/images/tel_001", "/simulation/event/subarray/shower"):
            assert a.get_node(path).read().tobytes() == b.get_node(path).read().tobytes()
        times = [f.root.dl1.event.subarray.trigger.cols.time[:] for f in (a, b)]
        assert np.array_equal(*times)


def test_weights_of_pyirf_take_the_configuration():
    run = RunConfig.from_dict(
        {"viewcone": [0, 10], "n_showers": 300, "reuse": 7, "spectral_index": -1.5}
    )
    config = simulation_config(run)
    info = SimulatedEventsInfo(
        n_showers=config.n_showers * config.shower_reuse,
        energy_min=config.energy_range_min,
        energy_max=config.energy_range_max,
        max_impact=config.max_scatter_range,
        spectral_index=config.spectral_index,
        viewcone_min=config.min_viewcone_radius,
        viewcone_max=config.max_viewcone_radius,
    )
    total = info.calculate_n_showers_per_energy([0.02, 50] * u.TeV).sum()
    assert total == pytest.approx(2100)
    assert config.diffuse


def test_point_source_is_where_the_configuration_says(processed):
    with TableLoader(processed) as loader:
        shower = loader.read_subarray_events(simulated=True, observation_info=True)
        config = loader.read_simulation_configuration()
    assert not config["diffuse"][0]
    shower, config = QTable(shower), QTable(config)
    alt = config["min_alt"].to_value(u.deg)[0]
    np.testing.assert_allclose(shower["true_alt"].to_value(u.deg), alt, rtol=0, atol=1e-9)
    assert np.all(shower["true_az"] > 180 * u.deg)


BAD = {
    "unknown key colour": "colour: 1\n",
    "primary 'wimp' is unknown": "primary: wimp\n",
    "energy_min -1": "energy_min: -1.0\n",
    "energy_min 5": "energy_min: 5.0\nenergy_max: 1.0\n",
    "either it or a viewcone": "viewcone: [0, 2]\nsource_offset: 1.0\n",
    "min_tel 2 is more than": "min_tel: 2\n",
    "array 'nowhere.h5': no such file": "array: nowhere.h5\n",
    "no valid YAML": "a: [\n",
}


@pytest.mark.parametrize("message, text", BAD.items(), ids=list(BAD))
def test_bad_description_is_one_line_and_exit_code_2(tmp_path, capsys, caplog, message, text):
    path = write(tmp_path, text)
    with pytest.raises(ToolConfigurationError, match=message) as error:
        EventSource(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert process(path, tmp_path / "x.dl1.h5") == 2
    assert not (tmp_path / "x.dl1.h5").exists()
    assert "Traceback" not in capsys.readouterr().err


def test_array_of_a_file(processed, tmp_path):
    array, subarray = load_array("x.dl1.h5", processed.parent)
    assert array.n_tel == 1
    text = f"array: {processed}\nn_showers: 2\nenergy_min: 1.0\nscatter_radius: 100.0\n"
    with EventSource(write(tmp_path, text)) as source:
        assert source.subarray == subarray
        assert len(list(source)) > 0


def test_cameras_of_a_real_file_are_simulated(shared):
    folder = shared / "data" / "simtel"
    name = next(folder.glob("gamma_diffuse_run000010*")).name
    array, subarray = load_array(name, folder)
    assert array.n_tel == len(subarray.tel) == 13
    assert {o.name for o in array.optics} == {"LST", "MST"}
    lst, mst = array.cameras[0], array.cameras[-1]
    assert lst.nsb == pytest.approx(0.238, rel=0.05)
    assert mst.nsb == pytest.approx(0.208, rel=0.05)


@pytest.mark.parametrize("name", ["gct_checs_muons.simtel.zst", "n_hv_disabled.simtel.gz"])
def test_telescopes_that_cannot_be_simulated_are_named(shared, name):
    """A dual-mirror telescope, and an unknown camera on an LST (which can)."""
    if name.startswith("gct"):
        with pytest.raises(SimulationError, match=r"telescope 1: .* cannot be simulated"):
            load_array(name, shared / "data" / "simtel")
    else:
        array, _ = load_array(name, shared / "data" / "simtel")
        assert array.cameras[0].n_pixels == 7987


def test_flashcam_is_simulated(shared, tmp_path):
    name = shared / "data" / "simtel" / "aux_traces_2029.simtel.zst"
    text = f"array: {name}\nn_showers: 10\nenergy_min: 1.0\nenergy_max: 3.0\nscatter_radius: 80.0\n"
    with EventSource(write(tmp_path, text)) as source:
        events = list(source)
    assert events
    brightest = max(events, key=lambda e: e.simulation.tel[1].true_image_sum)
    image, true = brightest.dl1.tel[1].image, brightest.simulation.tel[1].true_image
    assert image.shape == (1764,)
    bright = true > 10
    assert image[bright].sum() == pytest.approx(true[bright].sum(), rel=0.2)


def test_array_model_needs_no_file():
    _, subarray = load_array("1LST")
    assert array_of_subarray(subarray).cameras[0].threshold == 41.5
