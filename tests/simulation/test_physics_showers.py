"""Whole showers: reproducible, bounded, general in site, direction and primary."""

import numpy as np
import pytest

from ctapipe_gammalearn.exceptions import SimulationError
from ctapipe_gammalearn.simulation import shower as module
from ctapipe_gammalearn.simulation.atmosphere import LA_PALMA, Site
from ctapipe_gammalearn.simulation.sampling import unit_vector
from ctapipe_gammalearn.simulation.shower import Scene, simulate_shower, stack_kind

from .scenes import telescope_scene

PLACES = np.array([[60.0, 40.0, 0.0], [-90.0, 30.0, 5.0], [20.0, -110.0, 10.0]])
KINDS = np.array([0, 0, 1])


def run(primary_id=0, energy=100.0, seed=1, alt=70.0, az=180.0, scene=None, **more):
    """A shower on the axis of the telescopes: copy of its hits, and the result."""
    scene = scene or telescope_scene(alt, az)
    direction = -unit_vector(np.deg2rad(alt), np.deg2rad(az))
    result = simulate_shower(scene, primary_id, energy, direction, PLACES, KINDS, seed, **more)
    return result.hits.copy(), result


@pytest.mark.parametrize("primary_id, energy", [(0, 200.0), (101, 500.0), (402, 2000.0)])
def test_a_shower_alone_is_that_of_a_long_run(primary_id, energy):
    in_row = [run(primary_id, energy, seed)[0] for seed in range(4)]
    alone, _ = run(primary_id, energy, 3)
    np.testing.assert_array_equal(alone, in_row[3])
    assert not np.array_equal(in_row[2], in_row[3])


def test_a_telescope_sees_the_same_mean_light_alone_or_with_others():
    scene = telescope_scene(70.0, 180.0)
    direction = -unit_vector(np.deg2rad(70.0), np.pi)
    sums = np.zeros((60, 2))
    for seed in range(60):
        alone = simulate_shower(scene, 0, 200.0, direction, PLACES[:1], [0], seed)
        sums[seed, 0] = len(alone.hits)
        result = simulate_shower(scene, 0, 200.0, direction, PLACES, KINDS, 1000 + seed)
        sums[seed, 1] = (result.hits[:, 0] == 0).sum()
    error = np.sqrt((sums.var(axis=0) / 60).sum())
    assert abs(sums.mean(axis=0) @ [1, -1]) < 4 * error


@pytest.mark.parametrize(
    "primary_id, energy",
    [(0, 50.0), (1, 50.0), (-1, 50.0), (2, 50.0), (-2, 50.0), (101, 200.0), (402, 800.0),
     (1206, 3000.0), (5626, 6000.0)],
)  # fmt: skip
def test_every_primary_leaves_finite_hits(primary_id, energy):
    for seed in range(5):
        hits, result = run(primary_id, energy, seed)
        assert np.isfinite(hits).all()
        assert result.n_lost == 0
        assert np.isnan(result.h_first_int) or 2158 < result.h_first_int < 100_000
        assert set(np.unique(hits[:, 0])) <= {0, 1, 2}
        assert (hits[:, 1] >= 0).all()
        assert (hits[:, 1] < 1855).all()


@pytest.mark.parametrize("alt, az", [(90, 0), (70, 0), (50, 123), (30, 270)])
def test_directions_from_zenith_to_60_degrees_work(alt, az):
    light = [len(run(0, 500.0, seed, alt, az)[0]) for seed in range(4)]
    assert np.mean(light) > 200


def test_the_field_widens_showers():
    field = Site("strong", 2158.0, (120e-6, 0.0, -20e-6))
    none = Site("none", 2158.0, (0.0, 0.0, 0.0))
    near = [
        np.mean([len(run(0, 100.0, s, 70.0, 180.0, telescope_scene(70.0, 180.0, site))[0])
                 for s in range(60)])
        for site in (field, none)
    ]  # fmt: skip
    assert near[0] < 0.9 * near[1]


def test_heavier_nuclei_develop_higher():
    depth = {
        primary: np.mean([run(primary, 5000.0, seed)[1].x_max for seed in range(12)])
        for primary in (101, 5626)
    }
    assert depth[5626] < depth[101] - 40


def test_full_buffers_are_counted_and_not_fatal():
    big = telescope_scene(70.0, 180.0)
    few = Scene(
        LA_PALMA, big.axes, big.optics, big.lookups,
        [(np.linspace(300, 600, 11), np.full(11, 0.2))] * 2, max_hits=100,
    )  # fmt: skip
    hits, result = run(0, 500.0, scene=few)
    assert len(hits) == 100
    assert result.n_lost > 0


@pytest.mark.parametrize("primary_id", [3, 100000, 201 - 100 + 2, 205, -101])
def test_unknown_primaries_are_refused(primary_id):
    with pytest.raises(SimulationError, match="primary"):
        stack_kind(primary_id)


@pytest.mark.parametrize(
    "change, match",
    [
        (dict(energy=0.0), "energy"),
        (dict(energy=np.nan), "energy"),
        (dict(primary_id=101, energy=0.9), "mass"),
        (dict(start_altitude=100.0), "start altitude"),
    ],
)
def test_impossible_showers_are_refused(change, match):
    with pytest.raises(SimulationError, match=match):
        run(**change)


def test_showers_that_rise_are_refused():
    with pytest.raises(SimulationError, match="direction"):
        simulate_shower(telescope_scene(), 0, 10.0, (0, 0, 1.0), PLACES, KINDS, 1)


def test_depth_of_maximum_is_interpolated_between_bins():
    x = (np.arange(150) + 0.5) * 10
    profile = np.exp(-0.5 * ((x - 283.0) / 90) ** 2)
    assert module.depth_of_maximum(profile) == pytest.approx(283.0, abs=0.5)
    assert module.depth_of_maximum(np.zeros(150)) == 0
