"""Observations in DL2 files of ctapipe: on the sky, by run."""

import shutil
import time

import astropy.units as u
import numpy as np
import pytest
import tables
from astropy.coordinates import ICRS, AltAz
from astropy.time import Time
from ctapipe.io import read_table, write_table

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.io.observations import read_observation
from ctapipe_gammalearn.irf.sky import from_icrs, to_icrs
from tests.irf.dl2 import GROUPS, PREFIXES, write_dl2
from tests.irf.observation_dl2 import SITE, START, night, write_ctapipe, write_lstchain
from tests.irf.toy import toy

TRIGGER = "/dl1/event/subarray/trigger"
BLOCKS = "/configuration/observation/observation_block"
POINTING = "/dl0/monitoring/telescope/pointing/tel_001"
PARTICLE = f"/dl2/event/subarray/particle_type/{PREFIXES['ref']['gammaness']}"


@pytest.fixture(scope="module")
def runs():
    """Two runs."""
    return night(2, 40)


@pytest.fixture(scope="module")
def files(runs, tmp_path_factory):
    """A file for each run."""
    folder = tmp_path_factory.mktemp("observations")
    paths = [folder / f"run{run.obs_id}.dl2.h5" for run in runs]
    for path, run in zip(paths, runs, strict=True):
        write_ctapipe(path, run)
    return paths


@pytest.fixture
def copy(files, tmp_path):
    """A copy of the first file, to be changed."""
    return shutil.copy(files[0], tmp_path / "run.dl2.h5")


def change(path, node, edit):
    """Replace a table by what ``edit`` makes of it."""
    table = read_table(path, node)
    edited = edit(table)
    write_table(table if edited is None else edited, path, node, overwrite=True)


def remove(path, node):
    with tables.open_file(path, "a") as h5:
        h5.remove_node(node, recursive=True)


def test_events_come_from_where_they_were_put(files, runs):
    observation = read_observation(files, PREFIXES)
    assert [run.obs_id for run in observation.runs] == [1817, 1818]
    for name in PREFIXES:
        found = observation.reconstructions[name]
        assert found.valid.all()
        for column in ("ra", "dec"):
            expected = np.concatenate([getattr(run, column) for run in runs])
            np.testing.assert_allclose(getattr(found, column), expected, atol=5e-9)  # 1e-3 arcsec
        scores = np.concatenate([run.gammaness[name] for run in runs])
        np.testing.assert_array_equal(found.gammaness, scores)
    np.testing.assert_array_equal(observation.run, np.repeat([0, 1], [len(r.time) for r in runs]))
    intensity = np.concatenate([run.intensity for run in runs])
    np.testing.assert_allclose(observation.intensity, intensity)


def test_runs_know_pointing_zenith_and_time(files, runs):
    for run, truth in zip(read_observation(files, PREFIXES).runs, runs, strict=True):
        np.testing.assert_allclose(np.rad2deg(run.pointing), truth.pointing, atol=1e-5)
        assert 5 < run.zenith_deg < 20
        assert run.elapsed_s == pytest.approx(np.ptp(truth.time), rel=1e-6)
        # of 20 triggers in a second, with 2 ms dead after each
        assert run.live_s == pytest.approx(run.elapsed_s * 0.96, rel=0.01)


def test_pointing_of_the_block_is_that_of_monitoring(runs, files, tmp_path):
    write_ctapipe(tmp_path / "block.h5", runs[0], monitoring=False)
    one, other = (
        read_observation([p], PREFIXES).runs[0] for p in (files[0], tmp_path / "block.h5")
    )
    np.testing.assert_allclose(one.pointing, other.pointing, atol=1e-7)
    assert one.zenith_deg == pytest.approx(other.zenith_deg, abs=1e-3)


def test_the_layout_of_0_28_is_read(runs, files, tmp_path):
    """Its ``ctapipe-process`` writes classification where later releases write particle_type."""
    old = tmp_path / "old.h5"
    write_ctapipe(old, runs[0], groups=GROUPS | {"gammaness": "classification"})
    one, other = (read_observation([p], PREFIXES) for p in (files[0], old))
    for name, found in one.reconstructions.items():
        for column, values in vars(found).items():
            np.testing.assert_array_equal(values, getattr(other.reconstructions[name], column))


def test_images_of_one_telescope_are_events(files, tmp_path):
    """The tables of the telescope instead of those of the subarray."""
    path = shutil.copy(files[0], tmp_path / "images.h5")
    for part, group in GROUPS.items():
        for prefixes in PREFIXES.values():
            prefix = prefixes[part]
            table = read_table(path, f"/dl2/event/subarray/{group}/{prefix}")
            for name in table.colnames[2:]:
                table.rename_column(name, name.replace(prefix, f"{prefix}_tel"))
            table["tel_id"] = 1
            write_table(table, path, f"/dl2/event/telescope/{group}/{prefix}/tel_001")
    remove(path, "/dl2/event/subarray")
    images = read_observation([path], PREFIXES, level="telescope")
    events = read_observation([files[0]], PREFIXES)
    for name, found in events.reconstructions.items():
        np.testing.assert_array_equal(found.ra, images.reconstructions[name].ra)


def test_calibration_events_are_left_out_and_count_for_the_time(copy, files):
    change(copy, TRIGGER, lambda t: t["event_type"].__setitem__(slice(None, None, 5), 2))
    observation, whole = (read_observation([p], PREFIXES) for p in (copy, files[0]))
    n = whole.runs[0].n_triggers
    assert observation.runs == whole.runs
    assert len(observation.run) == n - len(range(0, n, 5))


def test_without_event_types_all_are_kept_and_a_note_says_so(copy, files):
    change(copy, TRIGGER, lambda t: t.remove_column("event_type"))
    observation = read_observation([copy], PREFIXES)
    assert len(observation.run) == len(read_observation([files[0]], PREFIXES).run)
    assert "no event types" in observation.notes[0]


def test_invalid_and_nan_are_not_reconstructed(copy):
    def edit(table):
        table[PREFIXES["ref"]["gammaness"] + "_is_valid"][10] = False
        table[PREFIXES["ref"]["gammaness"] + "_prediction"][11] = np.nan

    change(copy, PARTICLE, edit)
    found = read_observation([copy], PREFIXES).reconstructions
    assert np.flatnonzero(~found["ref"].valid).tolist() == [10, 11]
    assert found["dl"].valid.all()


def test_a_telescope_that_wanders_is_noted(copy):
    def edit(table):
        table["azimuth"] = table["azimuth"].quantity + np.linspace(0, 0.05, len(table)) * u.rad

    change(copy, POINTING, edit)
    assert "wanders" in read_observation([copy], PREFIXES).notes[0]


def test_a_run_in_two_files_is_one_run(files, runs, tmp_path):
    """The second half of the events in another file."""
    paths = []
    for i, half in enumerate((slice(None, 2000), slice(2000, None))):
        paths.append(shutil.copy(files[0], tmp_path / f"{i}.h5"))
        change(paths[-1], TRIGGER, lambda t, half=half: t[half])
    whole, both = (read_observation(p, PREFIXES) for p in ([files[0]], paths))
    for one, other in zip(whole.runs, both.runs, strict=True):
        np.testing.assert_allclose(one.pointing, other.pointing, rtol=1e-12)
        assert (one.n_triggers, one.live_s) == (other.n_triggers, other.live_s)
    np.testing.assert_array_equal(whole.reconstructions["dl"].ra, both.reconstructions["dl"].ra)


def cut_off(path):
    with open(path, "r+b") as file:
        file.truncate(100_000)


BROKEN = {
    "cut off": (cut_off, "cannot be read as HDF5: cut off"),
    "no triggers": (lambda p: remove(p, TRIGGER), "neither /dl1/event/subarray/trigger nor"),
    "no pointing": (
        lambda p: (remove(p, POINTING.rsplit("/", 1)[0]), remove(p, BLOCKS)),
        "no pointing: .*; merge",
    ),
    "fixed pointing": (
        lambda p: (
            remove(p, POINTING.rsplit("/", 1)[0]),
            change(p, BLOCKS, lambda t: t["subarray_pointing_frame"].fill(0)),
        ),
        "no pointing: .*; merge",
    ),
    "pointing at other times": (
        lambda p: change(p, POINTING, lambda t: t.replace_column("time", t["time"] + 1 * u.day)),
        "run 1817: no pointing",
    ),
    "one trigger": (lambda p: change(p, TRIGGER, lambda t: t[:1]), "1 triggers, no live time"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_unusable_files_are_one_line(copy, name):
    damage, message = BROKEN[name]
    damage(copy)
    with pytest.raises(IRFError, match=message) as caught:
        read_observation([copy], PREFIXES)
    assert str(caught.value).count("\n") == 0


def test_simulations_are_refused(tmp_path):
    write_dl2(tmp_path / "gamma.h5", toy(20, 0)["gamma"])
    with pytest.raises(IRFError, match="simulated events; give observations"):
        read_observation([tmp_path / "gamma.h5"], PREFIXES)


def test_a_file_given_twice_is_refused(files):
    with pytest.raises(IRFError, match="of run 1817 is there twice"):
        read_observation([files[0], files[0]], PREFIXES)


def test_kinds_of_files_are_not_mixed(files, runs, tmp_path):
    write_lstchain(tmp_path / "lst.h5", runs[1:], "table")
    with pytest.raises(IRFError, match="of ctapipe and of lstchain together"):
        read_observation([files[0], tmp_path / "lst.h5"], PREFIXES)


def test_unknown_prefixes_suggest_close_ones(files):
    wrong = {"ref": PREFIXES["ref"] | {"energy": "RefEnerg"}}
    with pytest.raises(IRFError, match="did you mean RefEnergy"):
        read_observation(files, wrong)


@pytest.fixture(scope="module")
def directions():
    """Horizontal directions over three nights, and the equatorial ones by astropy alone."""
    rng = np.random.default_rng(8)
    n = 3000
    when = START + rng.uniform(0, 6 * 3600, n) + 86400 * rng.integers(0, 3, n)
    alt, az = rng.uniform(0.5, 1.5, n), rng.uniform(0, 2 * np.pi, n)
    frame = AltAz(obstime=Time(when, format="unix"), location=SITE)
    started = time.process_time()
    sky = AltAz(alt=alt * u.rad, az=az * u.rad, obstime=frame.obstime, location=SITE)
    sky = sky.transform_to(ICRS())
    return alt, az, when, sky.ra.rad, sky.dec.rad, time.process_time() - started


def test_fast_directions_are_exact(directions):
    alt, az, when, ra, dec, _ = directions
    found = to_icrs(alt, az, when, SITE)
    arcsec = np.deg2rad(1 / 3600)
    assert np.abs((found[0] - ra) * np.cos(dec)).max() < 1e-3 * arcsec
    assert np.abs(found[1] - dec).max() < 1e-3 * arcsec
    back = from_icrs(*found, when, SITE)
    assert np.abs(back[0] - alt).max() < 1e-3 * arcsec


def test_fast_directions_are_fast(directions):
    alt, az, when, *_, slow = directions
    started = time.process_time()
    to_icrs(alt, az, when, SITE)
    assert time.process_time() - started < slow / 2


def test_directions_that_are_not_known_stay_so():
    ra, dec = to_icrs(np.array([1.0, np.nan]), np.array([0.0, 1.0]), np.full(2, START), SITE)
    assert np.isfinite([ra[0], dec[0]]).all()
    assert np.isnan([ra[1], dec[1]]).all()
