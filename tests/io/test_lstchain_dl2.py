"""DL2 files of lstchain in both layouts, without pandas."""

import shutil

import numpy as np
import pytest
import tables

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.io.lstchain_dl2 import KEY, read_lstchain
from ctapipe_gammalearn.io.observations import LSTCHAIN, read_observation
from tests.irf.observation_dl2 import night, write_lstchain


@pytest.fixture(scope="module")
def runs():
    """Two runs."""
    return night(2, 40)


@pytest.fixture(scope="module")
def files(runs, tmp_path_factory):
    """File of each layout."""
    folder = tmp_path_factory.mktemp("lstchain")
    out = {layout: folder / f"{layout}.h5" for layout in ("fixed", "table", "old")}
    for layout, path in out.items():
        write_lstchain(path, runs, "table" if layout == "table" else "fixed", old=layout == "old")
    return out


@pytest.mark.parametrize("layout", ["fixed", "table"])
def test_both_layouts_give_the_columns_that_were_written(files, runs, layout):
    with tables.open_file(files[layout]) as h5:
        columns, extra = read_lstchain(files[layout], h5, ["hillas_intensity", "nothing"])
    written = {
        "time": "time", "energy": "energy", "alt": "alt", "az": "az", "intensity": "intensity",
        "event_type": "event_type",
    }  # fmt: skip
    for ours, theirs in written.items():
        expected = np.concatenate([getattr(run, theirs) for run in runs])
        np.testing.assert_array_equal(columns[ours], expected)
    assert np.unique(columns["obs_id"]).tolist() == [1817, 1818]
    np.testing.assert_array_equal(extra["hillas_intensity"], columns["intensity"])
    assert "nothing" not in extra


def test_layouts_are_the_same_observation(files):
    one, other = (read_observation([files[k]], {}) for k in ("fixed", "table"))
    assert one.runs == other.runs
    for column in ("energy", "ra", "dec", "gammaness", "valid"):
        both = (getattr(o.reconstructions[LSTCHAIN], column) for o in (one, other))
        np.testing.assert_array_equal(*both)
    assert not one.notes


def test_events_come_from_where_they_were_put(files, runs):
    observation = read_observation([files["table"]], {})
    found = observation.reconstructions[LSTCHAIN]
    for name in ("ra", "dec"):
        expected = np.concatenate([getattr(run, name) for run in runs])
        np.testing.assert_allclose(getattr(found, name), expected, atol=5e-9)  # 1e-3 arcsec
    for run, truth in zip(observation.runs, runs, strict=True):
        np.testing.assert_allclose(np.rad2deg(run.pointing), truth.pointing, atol=1e-6)


def test_old_files_keep_all_events_and_say_so(files, runs):
    observation = read_observation([files["old"]], {})
    assert len(observation.run) == sum(len(run.time) for run in runs)
    assert "no event types" in observation.notes[0]
    # the intervals of the timestamps instead of delta_t
    new = read_observation([files["fixed"]], {})
    assert observation.runs[0].live_s == pytest.approx(new.runs[0].live_s, rel=1e-6)


def test_calibration_events_count_for_the_time_only(runs, tmp_path):
    path = tmp_path / "mixed.h5"
    write_lstchain(path, runs, "table")
    with tables.open_file(path, "a") as h5:
        kind = h5.get_node(KEY).col("event_type")
        kind[::4] = 2
        h5.get_node(KEY).modify_column(column=kind, colname="event_type")
    observation = read_observation([path], {})
    assert len(observation.run) == np.sum(kind == 32)
    assert sum(run.n_triggers for run in observation.runs) == len(kind)


def test_quality_by_names_of_either_package(files):
    both = [
        read_observation([files["table"]], {}, quality=[("bright", f"{name} > 200")])
        for name in ("intensity", "hillas_intensity")
    ]
    assert both[0].intensity.min() > 200
    np.testing.assert_array_equal(both[0].intensity, both[1].intensity)


def rename(path, old, new):
    with tables.open_file(path, "a") as h5:
        rows = h5.get_node(KEY).read()
        rows.dtype.names = [new if n == old else n for n in rows.dtype.names]
        h5.remove_node(KEY)
        parent, name = KEY.rsplit("/", 1)
        h5.create_table(parent, name, rows, createparents=True)


def only_objects(path):
    """A frame of which pandas pickled everything."""
    with tables.open_file(path, "a") as h5:
        h5.remove_node(KEY, recursive=True)
        parent, name = KEY.rsplit("/", 1)
        group = h5.create_group(parent, name, createparents=True)
        h5.create_array(group, "block0_items", np.array([b"reco_energy"]))
        h5.create_vlarray(group, "block0_values", tables.ObjectAtom()).append([1.0])


BROKEN = {
    "simulation": (lambda p: rename(p, "delta_t", "mc_energy"), "simulated events"),
    "no direction": (lambda p: rename(p, "reco_alt", "disp"), "no column reco_alt"),
    "pickles": (only_objects, "fixed layout"),
    "unknown cut": (lambda p: None, "criterion cannot be applied"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_unusable_files_are_one_line(files, tmp_path, name):
    damage, message = BROKEN[name]
    path = shutil.copy(files["table"], tmp_path / "broken.h5")
    damage(path)
    quality = [("q", "nonsense > 1")] if name == "unknown cut" else ()
    with pytest.raises(IRFError, match=message) as caught:
        read_observation([path], {}, quality=quality)
    assert str(caught.value).count("\n") == 0
    assert "broken.h5" in str(caught.value)
