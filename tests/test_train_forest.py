"""The parts of ``examples/train_forest.py`` that can be wrong without ctapipe noticing."""

import runpy
import shutil
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Column
from ctapipe.core import FeatureGenerator, QualityQuery
from ctapipe.io import TableLoader
from ctapipe.reco import DispReconstructor, EnergyRegressor, ParticleClassifier
from traitlets.config import Config

from ctapipe_gammalearn.training.selection import Selection

REPOSITORY = Path(__file__).parents[1]
COMPONENTS = {
    "energy": EnergyRegressor,
    "disp": DispReconstructor,
    "particle": ParticleClassifier,
}


@pytest.fixture(scope="module")
def example():
    """Names of the script."""
    return SimpleNamespace(**runpy.run_path(str(REPOSITORY / "examples/train_forest.py")))


@pytest.fixture
def events(tmp_path):
    """A copy of the events of the package."""
    source = files("ctapipe_gammalearn") / "resources/demo_events.dl1.h5"
    return shutil.copy(source, tmp_path / "events.h5")


def keys(path):
    """(obs_id, event_id, tel_id) of all images, as ctapipe reads them."""
    with TableLoader(path) as loader:
        table = loader.read_telescope_events(simulated=True)
    return list(zip(*(table[n].tolist() for n in ("obs_id", "event_id", "tel_id")), strict=True))


def test_halves_share_no_shower_and_make_the_whole(example, events, tmp_path):
    chain = example.Chain(tmp_path, 2, 1)
    halves = [chain.half(f"{i}.h5", events, i) for i in (0, 1)]
    showers = [{(obs_id, event_id // 100) for obs_id, event_id, _ in keys(h)} for h in halves]
    assert all(showers)
    assert not showers[0] & showers[1]
    whole = chain.both("both.h5", *halves)
    assert sorted(keys(whole)) == sorted(keys(events))


def test_a_finished_file_is_kept_and_an_unfinished_one_made_again(example, tmp_path):
    chain = example.Chain(tmp_path, 2, 1)
    (tmp_path / "done.pkl").write_text("done")
    assert chain.make("done.pkl", lambda part: pytest.fail("made again")).read_text() == "done"
    (tmp_path / "part.other.pkl").write_text("half of it")
    assert chain.make("other.pkl", lambda part: part.write_text("new")).read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == {"done.pkl", "other.pkl"}


@pytest.mark.parametrize("model", COMPONENTS)
def test_ctapipe_takes_the_configuration(example, model, events):
    """Every setting is known to the component, every feature can be made from the file."""
    (settings,) = example.configuration(model, 10, 1).values()
    (name,) = [key for key in settings if key in {c.__name__ for c in COMPONENTS.values()}]
    with TableLoader(events) as loader:
        table = loader.read_telescope_events(telescopes=[1], simulated=True)
        component = COMPONENTS[model](loader.subarray, config=Config({name: settings[name]}))
    if model != "energy":
        table["RandomForestRegressor_tel_energy"] = Column(np.ones(len(table)), unit="TeV")
        table["disp_tel_parameter"] = Column(-np.ones(len(table)), unit="deg")
        table["disp_tel_sign_score"] = np.ones(len(table))
    with np.errstate(all="ignore"):
        features = component.feature_generator(table)
    assert set(component.features) <= set(features.colnames)
    good = component.quality_query.get_table_mask(table)
    assert np.isfinite([np.asarray(features[f][good], float) for f in component.features]).all()
    if model == "particle":
        assert np.all(features["abs_disp"] == 1)


def test_cuts_are_those_of_the_networks(example, events):
    cuts = Selection()
    query = QualityQuery(quality_criteria=example.QUALITY)
    with TableLoader(events) as loader:
        table = loader.read_telescope_events(telescopes=[1])
    expected = table["hillas_intensity"] > cuts.min_intensity
    expected &= table["morphology_n_pixels"] >= cuts.min_pixels
    expected &= table["leakage_intensity_width_2"] < cuts.max_leakage
    expected &= table["hillas_width"] > 0
    assert np.array_equal(query.get_table_mask(table), expected)
    assert expected.any()


def test_axis_position_is_the_projection_of_the_centroid(example, events):
    generator = FeatureGenerator(features=list(example.GENERATED.items()))
    with TableLoader(events) as loader:
        table = loader.read_telescope_events(telescopes=[1])
    with np.errstate(all="ignore"):
        found = generator(table)
    lon, lat = (np.asarray(table[f"hillas_fov_{a}"], float) for a in ("lon", "lat"))
    np.testing.assert_allclose(
        np.hypot(found["abs_axis_position"], found["abs_miss"]), np.hypot(lon, lat), rtol=1e-5
    )


def test_a_folder_of_other_settings_is_refused(example, tmp_path):
    arguments = SimpleNamespace(gamma=[], background=[], trees=10)
    example.check_inputs(tmp_path, arguments)
    example.check_inputs(tmp_path, arguments)
    arguments.trees = 20
    with pytest.raises(SystemExit, match="made from other files or settings"):
        example.check_inputs(tmp_path, arguments)
