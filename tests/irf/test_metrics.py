import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from numpy.testing import assert_allclose, assert_array_equal
from pyirf.benchmarks import angular_resolution, energy_bias_resolution
from pyirf.irf import background_2d, effective_area_per_energy, energy_dispersion
from sklearn.metrics import roc_auc_score, roc_curve

from ctapipe_gammalearn.irf import metrics
from ctapipe_gammalearn.irf.samples import RECO_EDGES
from ctapipe_gammalearn.scores import auc

from . import toy

EDGES = RECO_EDGES


@pytest.fixture(scope="module")
def gamma():
    return toy.toy(40_000, 0, seed=3)["gamma"]


@pytest.fixture(scope="module")
def proton():
    return toy.toy(0, 40_000, seed=3)["proton"]


def pyirf_table(sample, name="ref"):
    """Events as pyirf wants them."""
    found = sample.reconstructions[name]
    return QTable(
        {
            "true_energy": sample.true_energy * u.TeV,
            "reco_energy": found.energy * u.TeV,
            "theta": found.theta * u.deg,
            "reco_source_fov_offset": found.offset * u.deg,
        }
    )


def scores(rng, n, digits):
    """Scores and weights of gammas and of background."""
    columns = rng.normal(1, 1, n), rng.normal(0, 1, 2 * n)
    return [np.round(c, digits) for c in columns], [rng.lognormal(0, 1, len(c)) for c in columns]


def test_bins_contain_their_lower_edge():
    values = [0.5, 1.0, 1.5, 2.0, 3.9, 4.0, np.nan, np.inf, -np.inf]
    assert_array_equal(metrics.bin_numbers(values, [1, 2, 4]), [-1, 0, 0, 1, 1, -1, -1, -1, -1])


@pytest.mark.parametrize("by", ["true", "reco"])
def test_bias_and_resolution_agree_with_pyirf(gamma, by):
    table = pyirf_table(gamma)
    ours = metrics.energy_resolution(
        gamma.reconstructions["ref"].energy, gamma.true_energy, EDGES, by
    )
    theirs = energy_bias_resolution(table, EDGES * u.TeV, energy_type=by)
    mean = energy_bias_resolution(table, EDGES * u.TeV, energy_type=by, bias_function=np.mean)
    assert_array_equal(ours["n"], theirs["n_events"])
    assert_allclose(ours["bias"], theirs["bias"], rtol=1e-12, atol=1e-14)
    assert_allclose(ours["bias_mean"], mean["bias"], rtol=1e-12, atol=1e-14)
    assert_allclose(ours["resolution"], theirs["resolution"], rtol=1e-12)


def test_resolution_about_the_median_ignores_the_bias():
    rng = np.random.default_rng(0)
    true = np.ones(50_000)
    reco = 1.3 + 0.1 * rng.normal(size=50_000)
    found = metrics.energy_resolution(reco, true, [0.5, 2.0])
    assert_allclose(found["bias"], 0.3, atol=0.003)
    assert_allclose([found["resolution"], found["resolution_centred"]], 0.1, rtol=0.03)
    # most events are above: the quantile of |0.3 + 0.1 z| is that of 0.3 + 0.1 z
    assert_allclose(found["resolution_abs"], 0.3 + 0.1 * 0.4752, rtol=0.01)


def test_containment_radii_agree_with_pyirf(gamma):
    ours = metrics.angular_resolution(gamma.reconstructions["ref"].theta, gamma.true_energy, EDGES)
    parts = {"theta50": 0.5, "theta80": 0.8, "theta95": 0.95, "theta68": metrics.ONE_SIGMA}
    theirs = angular_resolution(pyirf_table(gamma), EDGES * u.TeV, quantile=list(parts.values()))
    for name, part in parts.items():
        expected = theirs[f"angular_resolution_{part * 100:.0f}"].to_value(u.deg)
        assert_allclose(ours[name], expected, rtol=1e-12)


def test_39_percent_are_one_standard_deviation():
    rng = np.random.default_rng(1)
    theta = np.hypot(*rng.normal(0, 0.1, (2, 100_000)))
    found = metrics.angular_resolution(theta, np.ones(100_000), [0.5, 2.0])
    assert_allclose(found["theta39"], 0.1, rtol=0.015)
    assert_allclose(found["theta68"], 0.15152, rtol=0.015)


def test_toy_instrument_is_measured_as_it_is(gamma):
    """Exact values of the toy, within four standard errors (bins of more than 300 events)."""
    found = gamma.reconstructions["ref"]
    angles = metrics.angular_resolution(found.theta, gamma.true_energy, EDGES)
    energies = metrics.energy_resolution(found.energy, gamma.true_energy, EDGES)
    areas = metrics.effective_area(gamma.true_energy[found.gammaness >= 0.7], gamma.thrown, EDGES)
    centre = np.sqrt(EDGES[1:] * EDGES[:-1])
    for i in np.flatnonzero(angles["n"] > 300):
        n = angles["n"][i]
        exact = toy.exact_theta(*EDGES[i : i + 2])
        # in units of σ: density of θ at its quantile gives 0.639 = sqrt(p q) / f
        assert abs(angles["theta68"][i] / exact - 1) < 4 * 0.639 / 1.5152 / np.sqrt(n) + 0.002
        sigma = toy.sigma_energy(centre[i])
        assert abs(energies["bias"][i]) < 4 * 1.253 * sigma / np.sqrt(n)
        assert abs(energies["resolution"][i] / np.sinh(sigma) - 1) < 4 * 0.96 / np.sqrt(n) + 0.01
        energy, weight = toy.grid(*EDGES[i : i + 2], 501)
        weight = weight * energy**-2.0
        exact = (toy.area("gamma", energy) * weight).sum() / weight.sum() * (1 - 0.7**6)
        # the number detected over all energies is fixed, that of a bin is not
        assert abs(areas["area"][i] / exact - 1) < 4 / np.sqrt(areas["n"][i])


def test_effective_area_agrees_with_pyirf_where_something_was_thrown(gamma):
    edges = 10.0 ** np.arange(-4, 4, 0.25)
    ours = metrics.effective_area(gamma.true_energy, gamma.thrown, edges)
    with np.errstate(divide="ignore", invalid="ignore"):
        theirs = effective_area_per_energy(
            pyirf_table(gamma), toy.pyirf_thrown(gamma.thrown), edges * u.TeV
        ).to_value(u.m**2)
    thrown = gamma.thrown.showers_in(edges) > 0
    assert_allclose(ours["area"][thrown], theirs[thrown], rtol=1e-12)
    assert_array_equal(ours["area"][~thrown], 0)
    # 5 GeV to 200 TeV
    assert_array_equal(ours["covered"], (edges[:-1] > 0.005) & (edges[1:] < 200))


def test_bins_that_end_where_the_simulation_ends_are_covered(gamma):
    edges = np.geomspace(gamma.thrown.energy_min, gamma.thrown.energy_max, 8)
    assert metrics.effective_area(gamma.true_energy, gamma.thrown, edges)["covered"].all()


def test_background_rate_agrees_with_pyirf(proton):
    found = proton.reconstructions["ref"]
    weight = proton.true_energy**-0.7
    rings = np.array([0.0, 1.0, 2.5, 5.0])
    ours = metrics.background_rate(found.energy, found.offset, weight, EDGES, rings, 50.0)
    table = pyirf_table(proton)
    table["weight"] = weight
    theirs = background_2d(table, EDGES * u.TeV, rings * u.deg, 50 * u.h)
    assert_allclose(ours["rate"], theirs.to_value("1 / (TeV s sr)"), rtol=1e-9)
    circle = 2 * np.pi * (1 - np.cos(np.deg2rad(1))) / np.deg2rad(1) ** 2  # deg2
    inside = found.offset < 1
    counts, _ = np.histogram(found.energy[inside], EDGES, weights=weight[inside])
    assert_allclose(ours["rate_per_deg2"][:, 0], counts / 180_000 / circle, rtol=1e-9)
    assert (
        ours["n"].sum()
        == ((found.offset < 5) & (metrics.bin_numbers(found.energy, EDGES) >= 0)).sum()
    )


def test_effective_number_is_that_of_equal_weights():
    place = np.array([0, 0, 0, 0, 2, 2, -1])
    weight = np.array([3.0, 3.0, 3.0, 3.0, 1.0, 1e-6, 5.0])
    assert_allclose(metrics.effective_number(weight, place, 3), [4, 0, 1], rtol=3e-6)


@pytest.mark.parametrize("digits", [8, 1], ids=["distinct", "ties"])
def test_roc_agrees_with_scikit_learn(digits):
    (signal, background), weights = scores(np.random.default_rng(2), 300, digits)
    curve = metrics.roc(signal, background, *weights)
    label = np.repeat([True, False], [300, 600])
    everything = np.concatenate([signal, background]), np.concatenate(weights)
    acceptance, efficiency, cut = roc_curve(
        label, everything[0], sample_weight=everything[1], drop_intermediate=False
    )
    assert_allclose(curve["acceptance"], acceptance, atol=1e-12)
    assert_allclose(curve["efficiency"], efficiency, atol=1e-12)
    assert_array_equal(curve["cut"], cut)
    area = np.sum(np.diff(acceptance) * (efficiency[1:] + efficiency[:-1]) / 2)
    assert_allclose(auc(signal, background, *weights), area, rtol=1e-12)
    expected = roc_auc_score(label, everything[0], sample_weight=everything[1])
    assert_allclose(area, expected, rtol=1e-12)


def test_auc_of_the_toy_is_exact(gamma, proton):
    scores = (s.reconstructions["ref"].gammaness for s in (gamma, proton))
    assert_allclose(auc(*scores), toy.AUC, atol=4 * 4e-4)


def test_background_at_an_efficiency_takes_the_tightest_cut():
    curve = metrics.roc(np.arange(10.0), np.array([-1.0, 1.5, 1.6, 1.7]))
    assert_allclose(metrics.background_at_efficiency(curve, 0.8), 0, atol=1e-12)
    assert_allclose(metrics.background_at_efficiency(curve, 0.9), 0.75, rtol=1e-12)
    assert_allclose(metrics.background_at_efficiency(curve, [0.85, 1]), [0.75, 0.75], rtol=1e-12)
    # all the same: half of the gammas are half of the background
    same = metrics.roc(np.ones(10), np.ones(20))
    assert_allclose(metrics.background_at_efficiency(same, 0.5), 0.5, rtol=1e-12)


def test_curves_of_nothing_are_nan():
    curve = metrics.roc(np.array([np.nan]), np.arange(3.0))
    assert np.isnan(curve["efficiency"]).all()
    assert np.isnan(metrics.background_at_efficiency(curve, 0.8))
    empty = metrics.roc(np.zeros(0), np.zeros(0))
    assert len(empty["cut"]) == 1


def test_purity_counts_expected_events():
    curve = metrics.roc(np.array([0.9, 0.8]), np.array([0.85, 0.1]))
    found = metrics.purity_completeness(curve, 100, 1000)
    assert_array_equal(found["cut"], [np.inf, 0.9, 0.85, 0.8, 0.1])
    assert_allclose(found["completeness"], [0, 0.5, 0.5, 1, 1])
    assert_allclose(found["purity"], [np.nan, 1, 50 / 550, 100 / 600, 100 / 1100], rtol=1e-12)


def test_migration_matrix_holds_what_stays_in_the_bins(gamma):
    energy = gamma.reconstructions["ref"].energy
    found = metrics.migration_matrix(energy, gamma.true_energy, EDGES, EDGES)
    expected = np.histogram2d(gamma.true_energy, energy, [EDGES, EDGES])[0]
    assert_allclose(found["probability"] * found["n"][:, None], expected, atol=1e-9)
    inside = metrics.bin_numbers(energy, EDGES) >= 0
    place = metrics.bin_numbers(gamma.true_energy, EDGES)
    kept = [inside[place == i].mean() for i in range(21)]
    assert_allclose(found["probability"].sum(axis=1), kept, rtol=1e-12)


def test_migration_agrees_with_energy_dispersion_in_bins_of_the_ratio(gamma):
    """Scaled to E_true = 1, reconstructed energies are ratios."""
    energy, ratio_edges = gamma.reconstructions["ref"].energy, np.geomspace(0.2, 5, 31)
    one_bin = (gamma.true_energy > 1) & (gamma.true_energy < 2)
    ratio = energy[one_bin] / gamma.true_energy[one_bin]
    found = metrics.migration_matrix(ratio, np.ones(len(ratio)), ratio_edges, [0.5, 2.0])
    table = pyirf_table(gamma)[one_bin]
    table["true_source_fov_offset"] = 0.4 * u.deg
    theirs = energy_dispersion(table, [1, 2] * u.TeV, [0, 1] * u.deg, ratio_edges)
    expected = theirs[0, :, 0] * np.diff(ratio_edges)
    assert_allclose(found["probability"][0], expected, rtol=1e-9)


def test_order_of_rows_does_not_change_one_bit(gamma, proton):
    order = np.random.default_rng(0).permutation(len(proton))
    tables = []
    for g, p in [(gamma, proton), (gamma.take(order), proton.take(order))]:
        a, b = g.reconstructions["ref"], p.reconstructions["ref"]
        weight = p.true_energy**-0.7
        tables += [
            metrics.background_rate(b.energy, b.offset, weight, EDGES, [0, 1, 5], 50.0),
            metrics.energy_resolution(a.energy, g.true_energy, EDGES),
            metrics.roc(np.round(a.gammaness, 2), np.round(b.gammaness, 2), None, weight),
        ]
    for first, second in zip(tables[:3], tables[3:], strict=True):
        for name, values in first.items():
            assert_array_equal(second[name], values)


def test_empty_samples_give_tables_of_nothing(gamma):
    nothing = np.zeros(0)
    assert_array_equal(metrics.angular_resolution(nothing, nothing, EDGES)["n"], 0)
    assert np.isnan(metrics.energy_resolution(nothing, nothing, EDGES)["resolution"]).all()
    assert_array_equal(metrics.effective_area(nothing, gamma.thrown, EDGES)["area"], 0)
    rate = metrics.background_rate(nothing, nothing, nothing, EDGES, [0, 1], 50.0)
    assert_array_equal(rate["rate"], 0)
