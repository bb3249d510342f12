"""Run descriptions: what is refused, and how showers are thrown."""

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from ctapipe_gammalearn.exceptions import SimulationError
from ctapipe_gammalearn.simulation.data_like import DataLike
from ctapipe_gammalearn.simulation.dataset import PRESETS, SAMPLES, plan_dataset
from ctapipe_gammalearn.simulation.run import RunConfig, read_run
from ctapipe_gammalearn.simulation.sampling import (
    ThrownShowers,
    max_impact,
    sample_throw,
    source_direction,
    telescope_axes,
    unit_vector,
)

BAD = {
    "unknown key colour": {"colour": 1},
    "unknown key data_like.colour": {"data_like": {"colour": 1}},
    "primary 'wimp' is unknown": {"primary": "wimp"},
    "energy_min -1 TeV is out of range": {"energy_min": -1},
    "energy_min nan TeV": {"energy_min": float("nan")},
    "energy_min 5 TeV must be below energy_max 1": {"energy_min": 5.0, "energy_max": 1.0},
    "energy_min 1 TeV must be below energy_max 1": {"energy_min": 1.0, "energy_max": 1.0},
    "YAML wants 1.0e-2": {"energy_min": "1e-2"},
    "n_showers 0 is out of range": {"n_showers": 0},
    "expected a whole number, not 1.5": {"n_showers": 1.5},
    "expected a whole number, not True": {"n_showers": True},
    "reuse 101 is out of range": {"reuse": 101},
    "viewcone: expected two numbers": {"viewcone": 2.0},
    r"viewcone \[2, 1\] deg is empty": {"viewcone": [2, 1]},
    "viewcone 11 deg is out of range": {"viewcone": [0, 11]},
    "either it or a viewcone": {"viewcone": [0, 2], "source_offset": 0.4},
    "scatter_radius 0 m must be positive": {"scatter_radius": 0},
    "pointing_alt 20 deg is out of range": {"pointing_alt": 20},
    r"nsb \[3, 1\] is empty": {"nsb": [3, 1]},
    "array 4: give 1LST": {"array": 4},
    "data_like: expected settings": {"data_like": 3},
    "dead_pixels 2 is out of range": {"data_like": {"dead_pixels": 2.0}},
    "not a run description": ["n_showers"],
}


@pytest.mark.parametrize("message, values", BAD.items(), ids=list(BAD))
def test_bad_descriptions_are_refused_in_one_line(message, values):
    with pytest.raises(SimulationError, match=message) as error:
        RunConfig.from_dict(values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text, message",
    [("a: [1", "no valid YAML, line"), ("- a", "not a run"), ("", "not a run"), ("\0", "no valid")],
)
def test_files_that_are_no_descriptions(tmp_path, text, message):
    path = tmp_path / "x.shower.yaml"
    path.write_text(text)
    with pytest.raises(SimulationError, match=message) as error:
        read_run(path)
    assert str(error.value).startswith(str(path))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(SimulationError, match="cannot be read"):
        read_run(tmp_path / "x.shower.yaml")


def test_descriptions_survive_yaml():
    run = RunConfig.from_dict(
        {"primary": 402, "viewcone": [0, 10], "nsb": [1, 3], "data_like": {"stars": 2}}
    )
    assert run.primary == "helium"
    assert run.data_like.stars == 2
    assert RunConfig.from_dict(yaml.safe_load(yaml.safe_dump(run.to_dict()))) == run


def thrown(run, n=None):
    """Throws of the first showers of a run."""
    return [sample_throw(run, i, 2) for i in range(n or run.n_showers)]


@pytest.mark.parametrize("above", [None, 1.0])
def test_thrown_energies_follow_the_spectrum(above):
    """Maximum-likelihood index of the thrown spectrum, also with independent showers."""
    run = RunConfig(n_showers=20_000, reuse=2, spectral_index=-2.0, independent_above=above)
    energy = np.concatenate([t.energy for t in thrown(run)])
    log_e = np.log(energy / run.energy_min)
    # 1 / mean(ln E) estimates |index| - 1; the spectrum is cut at a factor 2500
    assert 1 + 1 / log_e.mean() == pytest.approx(2.0, abs=0.05)
    assert np.mean(energy > 1.0) == pytest.approx(0.0196, abs=0.003)


@pytest.mark.parametrize("index", [-1.0, -1.5, -2.7])
def test_other_spectra(index):
    run = RunConfig(n_showers=5000, reuse=1, spectral_index=index, energy_min=0.1, energy_max=10)
    energy = np.concatenate([t.energy for t in thrown(run)])
    edges = np.geomspace(0.1, 10, 6)
    count = np.histogram(energy, edges)[0]
    g = index + 1
    expected = np.diff(np.log(edges) if g == 0 else edges**g / g)
    expected *= len(energy) / expected.sum()
    assert np.all(np.abs(count - expected) < 5 * np.sqrt(expected) + 1)


def test_independent_showers_differ_in_everything():
    run = RunConfig(independent_above=0.02, viewcone=(0.0, 2.0))
    throw = sample_throw(run, 0, 1)
    assert not throw.shared
    assert len(set(throw.energy)) == len(set(throw.seed)) == run.reuse
    assert len(np.unique(throw.source, axis=0)) == run.reuse


def test_diffuse_directions_fill_the_viewcone_evenly():
    run = RunConfig(viewcone=(1.0, 10.0), n_showers=4000, reuse=1, pointing_az=77.0)
    source = np.concatenate([t.source for t in thrown(run)])
    axis = unit_vector(np.deg2rad(70.0), np.deg2rad(77.0))
    cos = source @ axis
    low, high = np.cos(np.deg2rad([10.0, 1.0]))
    assert low <= cos.min()
    assert cos.max() <= high
    assert np.quantile((cos - low) / (high - low), [0.25, 0.5, 0.75]) == pytest.approx(
        [0.25, 0.5, 0.75], abs=0.04
    )


@pytest.mark.parametrize("offset, angle", [(0.4, 0.0), (1.5, 90.0), (10.0, -135.0)])
def test_point_source_is_at_its_offset(offset, angle):
    run = RunConfig(source_offset=offset, source_angle=angle, pointing_az=213.0)
    axes = telescope_axes(np.deg2rad(70.0), np.deg2rad(213.0))
    up, side, along = axes @ source_direction(run)
    assert np.rad2deg(np.arccos(along)) == pytest.approx(offset)
    assert np.rad2deg(np.arctan2(up, side)) == pytest.approx(angle)


@pytest.mark.parametrize("alt", [30.0, 70.0, 90.0])
def test_cores_are_uniform_around_the_shower_axis(alt):
    run = RunConfig(n_showers=300, scatter_radius=500.0, pointing_alt=alt)
    for throw in thrown(run, 20):
        core = np.column_stack([throw.core, np.zeros(run.reuse)])
        distance = np.linalg.norm(np.cross(core, throw.source), axis=1)
        np.testing.assert_allclose(distance, throw.distance, rtol=1e-9)
    distance = np.concatenate([t.distance for t in thrown(run)])
    assert np.mean(distance < 250) == pytest.approx(0.25, abs=0.04)


def test_nsb_levels_are_spread_over_their_range():
    run = RunConfig(nsb=(0.5, 2.0), n_showers=100)
    nsb = np.concatenate([t.nsb for t in thrown(run)])
    assert nsb.min() >= 0.5
    assert nsb.max() <= 2.0
    assert np.median(nsb) == pytest.approx(1.0, abs=0.1)


def test_histogram_holds_all_thrown_events_even_if_none_was_simulated():
    run = RunConfig(n_showers=50, first_shower=7)
    energy, distance = np.geomspace(0.02, 50, 41), np.linspace(0, 700, 21)
    assert ThrownShowers(run).histogram(energy, distance).sum() == run.n_thrown == 500


def test_shower_does_not_depend_on_the_length_of_the_run():
    run = RunConfig(n_showers=1000)
    short = replace(run, n_showers=1, first_shower=123, obs_id=9)
    assert np.array_equal(sample_throw(run, 123, 4).core, sample_throw(short, 123, 4).core)


def test_reach_grows_with_energy_and_zenith():
    assert max_impact(1.0, 0, 0.3) > max_impact(0.1, 0, 0.3)
    assert max_impact(1.0, 0, 1.0) > max_impact(1.0, 0, 0.3)
    assert max_impact(1.0, 101, 0.3) > max_impact(1.0, 0, 0.3)


@pytest.mark.parametrize("preset", PRESETS)
def test_data_sets_share_no_seed_and_no_number(preset):
    plan = plan_dataset(preset)
    seeds = [s.run.seed for s in plan]
    assert len(set(seeds)) == len(seeds)
    numbers = [c.obs_id for s in plan for c in s.chunks]
    assert len(set(numbers)) == len(numbers)
    for sample in plan:
        assert sum(c.n_showers for c in sample.chunks) == sample.run.n_showers
        first = np.cumsum([0] + [c.n_showers for c in sample.chunks[:-1]])
        assert [c.first_shower for c in sample.chunks] == first.tolist()
        assert {c.seed for c in sample.chunks} == {sample.run.seed}


def test_data_set_options():
    plan = plan_dataset("tiny", "4LST", 3, ["test_proton"], 0.5, {"nsb": [1, 3]})
    run = plan[0].run
    assert (run.n_showers, run.min_tel, run.nsb, run.seed) == (400, 2, (1.0, 3.0), 313)
    with pytest.raises(SimulationError, match="unknown sample"):
        plan_dataset("tiny", names=["test_wimp"])
    with pytest.raises(SimulationError, match="seed cannot be an option"):
        plan_dataset("tiny", options={"seed": 3})
    with pytest.raises(SimulationError, match="unknown key"):
        plan_dataset("tiny", options={"colour": 3})
    assert set(PRESETS["standard"]) == set(SAMPLES)


def test_documented_run_is_accepted():
    page = Path(__file__).parents[2] / "docs" / "simulation.rst"
    block = re.search(
        r"code-block:: yaml\n\n((?:   .*\n|\n)+)", page.read_text(encoding="utf-8")
    )[1]  # fmt: skip
    values = yaml.safe_load(textwrap.dedent(block))
    assert RunConfig.from_dict(values).viewcone == (0.0, 2.5)
    for key in DataLike.__dataclass_fields__:
        assert f"``{key}``" in page.read_text(encoding="utf-8")
