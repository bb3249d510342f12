import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf.samples import Reconstruction, Thrown, cluster_key, splitmix64

from . import toy


def thrown(**changes):
    """A diffuse simulation."""
    values = dict(
        n_showers=1e6,
        index=-2.0,
        energy_min=0.01,
        energy_max=100.0,
        max_impact=1000.0,
        viewcone_min=0.0,
        viewcone_max=10.0,
    )
    return Thrown(**{**values, **changes})


@pytest.mark.parametrize("index", [-2.0, -2.62, -1.5])
def test_showers_in_energy_bins_agree_with_pyirf(index):
    ours = thrown(index=index)
    edges = np.geomspace(1e-3, 1e3, 20)  # covered in part, and not at all
    expected = toy.pyirf_thrown(ours).calculate_n_showers_per_energy(edges * u.TeV)
    assert_allclose(ours.showers_in(edges), expected, rtol=1e-12, atol=1e-6)
    assert_allclose(ours.showers_in(edges).sum(), 1e6, rtol=1e-12)


def test_flat_in_log_energy_throws_the_same_number_in_each_decade():
    assert_allclose(thrown(index=-1.0).showers_in([0.01, 0.1, 1, 10, 100]), 2.5e5, rtol=1e-12)


def test_a_cone_thinner_than_rounding_is_a_point():
    almost = thrown(viewcone_min=0.4, viewcone_max=0.4 + 1e-7)
    assert almost.is_point
    assert almost.solid_angle == 0
    assert_allclose(thrown().solid_angle, 2 * np.pi * (1 - np.cos(np.deg2rad(10))), rtol=1e-12)


def test_part_of_the_events_comes_from_part_of_the_showers():
    assert thrown().part(0.5) == thrown(n_showers=5e5)


@pytest.mark.parametrize(
    "changes",
    [
        {"energy_min": 0.0},
        {"energy_max": 0.01},
        {"n_showers": 0},
        {"max_impact": -1.0},
        {"index": 2.0},
        {"index": np.nan},
        {"viewcone_min": 11.0},
    ],
    ids=lambda c: next(iter(c)),
)
def test_impossible_simulations_are_refused_in_one_line(changes):
    with pytest.raises(IRFError) as caught:
        thrown(**changes)
    assert "simulation settings" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_nan_anywhere_is_not_reconstructed():
    columns = np.ones((4, 6))
    columns[[0, 1, 2, 3], [0, 1, 2, 3]] = np.nan
    valid = np.array([True, True, True, True, False, True])
    found = Reconstruction(*columns, valid)
    assert_array_equal(found.valid, [False, False, False, False, False, True])
    assert_array_equal(found.take(found.valid).energy, [1.0])
    assert valid[0], "the caller's array is left alone"


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(IRFError, match="gammaness"):
        Reconstruction(np.ones(3), np.ones(2), np.ones(3), np.ones(3), np.ones(3, bool))
    gamma = toy.toy(10, 0)["gamma"]
    with pytest.raises(IRFError, match="gamma: columns of"):
        type(gamma)(**{**vars(gamma), "quality": np.ones(9, bool)})


def test_take_keeps_rows_together():
    gamma = toy.toy(50, 0)["gamma"]
    rows = np.array([7, 3, 3])
    found = gamma.take(rows)
    assert len(found) == 3
    assert_array_equal(found.true_energy, gamma.true_energy[rows])
    for name, r in gamma.reconstructions.items():
        assert_array_equal(found.reconstructions[name].theta, r.theta[rows])


def test_halves_are_equal_and_keep_showers_whole():
    gamma = toy.toy(100_000, 0, uses=5)["gamma"]
    a, b = gamma.halves()
    assert_array_equal(a, ~b)
    assert not set(gamma.cluster[a]) & set(gamma.cluster[b])
    # 20 000 showers: four standard deviations
    assert abs(a.mean() - 0.5) < 4 * 0.5 / np.sqrt(20_000)


def test_halves_do_not_depend_on_the_order_of_rows():
    gamma = toy.toy(1000, 0)["gamma"]
    order = np.random.default_rng(0).permutation(1000)
    assert_array_equal(gamma.take(order).halves()[0], gamma.halves()[0][order])


def test_splitmix_gives_the_published_sequence():
    """The first outputs of the reference generator seeded with 0."""
    state = np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [int(x) for x in splitmix64(state)] == expected


def test_cluster_keys_tell_showers_apart():
    obs_id, event = np.repeat([1, 2], 500), np.tile(np.arange(500), 2)
    keys = [cluster_key(primary, obs_id, event) for primary in (0, 101)]
    assert len(set(np.concatenate(keys))) == 2000
    assert len(np.unique(cluster_key(obs_id, event * 1e-9))) == 1000  # every bit of a float
    assert_array_equal(cluster_key(1, obs_id), cluster_key(np.ones(1000, np.int64), obs_id))
