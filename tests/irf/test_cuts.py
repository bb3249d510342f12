import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyirf.cuts import calculate_percentile_cut

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf.cuts import efficiency_cuts, fixed_cuts, optimised_cuts
from ctapipe_gammalearn.irf.samples import RECO_EDGES, Reconstruction
from ctapipe_gammalearn.irf.sensitivity import sensitivity
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights

from . import toy

CRAB, PROTON = SPECTRA["CRAB_MAGIC_JHEAP2015"], SPECTRA["IRFDOC_PROTON_SPECTRUM"]
# wide, for many protons: the toy's background is flat
RING = (0.0, 3.0)
HOURS = 50


def weighted(samples):
    """Weights by kind."""
    spectra = {"gamma": CRAB, "proton": PROTON}
    return {k: event_weights(s, spectra[k], HOURS) for k, s in samples.items()}


@pytest.fixture(scope="module")
def events():
    samples = toy.toy(60_000, 300_000, seed=5, scale={"ref": 1.0})
    return samples, weighted(samples)


def exact(cuts):
    """True relative sensitivity of the toy with these cuts."""
    g, t = cuts.gammaness, cuts.theta_deg
    signal = toy.exact_signal(CRAB, RECO_EDGES, g, t, HOURS)
    background = toy.exact_background("proton", PROTON, RECO_EDGES, g, t, HOURS)
    return signal, background, sensitivity(signal, background)[0]


def test_efficiency_cuts_agree_with_pyirf(events):
    samples, weights = events
    cuts = efficiency_cuts(samples, weights, "ref")
    reco = samples["gamma"].reconstructions["ref"]
    bins = dict(bin_values=reco.energy * u.TeV, bins=RECO_EDGES * u.TeV)
    score = calculate_percentile_cut(reco.gammaness, fill_value=np.nan, percentile=20, **bins)[
        "cut"
    ]
    assert_allclose(cuts.gammaness, score, rtol=1e-12)
    above = cuts.select(reco, theta=False)
    bins["bin_values"] = bins["bin_values"][above]
    theta = calculate_percentile_cut(
        reco.theta[above], fill_value=np.nan, percentile=68, min_events=8, **bins
    )["cut"]
    assert_allclose(cuts.theta_deg, theta, rtol=1e-12)


def test_theta_at_the_cut_passes_whatever_its_last_digit():
    theta = np.array([0.2, np.nextafter(0.2, 1), 0.2 * (1 + 1e-6)])
    columns = [np.full(3, v) for v in (1.0, 0.9)]
    found = Reconstruction(*columns, theta, np.zeros(3), np.ones(3, bool))
    assert_array_equal(fixed_cuts(0.5, 0.2).select(found), [True, True, False])


def test_boundaries_invalid_events_and_energies_beyond_the_edges():
    cuts = fixed_cuts(0.5, 0.2)
    found = Reconstruction(
        energy=np.array([1, 1, 1, 1, 1e-4, 1e4, np.nan]),
        gammaness=np.array([0.5, 0.49, 0.5, 0.5, 0.9, 0.9, 0.9]),
        theta=np.array([0.2, 0.1, 0.21, 0.1, 0.1, 0.1, 0.1]),
        offset=np.zeros(7),
        valid=np.array([True, True, True, False, True, True, True]),
    )
    assert_array_equal(cuts.select(found), [1, 0, 0, 0, 1, 1, 0])
    assert_array_equal(cuts.select(found, theta=False), [1, 0, 1, 0, 1, 1, 0])


def test_optimised_bins_keep_enough_background_and_beat_the_efficiency_cuts(events):
    samples, weights = events
    best = optimised_cuts(samples, weights, "ref", RING, min_bkg_mc=30)
    plain = efficiency_cuts(samples, weights, "ref")
    assert best.evaluable.sum() >= 10
    assert (best.n_bkg_mc[best.evaluable] >= 30).all()
    assert_array_equal(best.n_bkg_mc[~best.evaluable], 0)
    assert_array_equal(best.gammaness[~best.evaluable], plain.gammaness[~best.evaluable])
    proton = samples["proton"].reconstructions["ref"]
    left = plain.select(proton, theta=False) & (proton.offset < RING[1])
    # elsewhere the rule forbids cuts as hard as these
    allowed = np.histogram(proton.energy[left], RECO_EDGES)[0] >= 30
    assert allowed.sum() >= 4
    ratio = (exact(best)[2] / exact(plain)[2])[allowed]
    assert (ratio < 1.02).all()
    assert np.median(ratio) < 0.96


def test_chosen_cut_is_the_best_of_a_search_event_by_event(events):
    samples, weights = events
    edges = RECO_EDGES[8:10]
    cuts = optimised_cuts(samples, weights, "ref", RING, edges=edges)
    gamma, proton = (samples[k].reconstructions["ref"] for k in ("gamma", "proton"))
    inside = [(r.energy >= edges[0]) & (r.energy < edges[1]) for r in (gamma, proton)]
    inside[1] &= proton.offset < RING[1]
    score = gamma.gammaness[inside[0]]
    best = np.inf
    for e in np.arange(0.05, 0.951, 0.025):
        g = np.quantile(score, 1 - e)
        for c in np.arange(0.4, 0.91, 0.05):
            t = np.quantile(gamma.theta[inside[0]][score >= g], c)
            trial = fixed_cuts(g, t, edges)
            signal = weights["gamma"][inside[0] & trial.select(gamma)].sum()
            left = inside[1] & trial.select(proton, theta=False)
            area = np.cos(np.deg2rad([0, t, RING[1]]))
            background = weights["proton"][left].sum() * (1 - area[1]) / (1 - area[2])
            if left.sum() >= 10:
                best = min(best, float(sensitivity(signal, background)[0]))
    trial = fixed_cuts(cuts.gammaness[0], cuts.theta_deg[0], edges)
    signal = weights["gamma"][inside[0] & trial.select(gamma)].sum()
    left = inside[1] & trial.select(proton, theta=False)
    area = np.cos(np.deg2rad([0, cuts.theta_deg[0], RING[1]]))
    background = weights["proton"][left].sum() * (1 - area[1]) / (1 - area[2])
    assert left.sum() == cuts.n_bkg_mc[0]
    assert_allclose(sensitivity(signal, background)[0], best, rtol=1e-9)


def test_few_protons_leave_no_bin_to_evaluate():
    samples = toy.toy(20_000, 300, scale={"ref": 1.0})
    cuts = optimised_cuts(samples, weighted(samples), "ref", (0.3, 0.5))
    assert not cuts.evaluable.any()
    assert np.isfinite(cuts.gammaness).any()  # still good for a response


def test_bins_without_gammas_let_nothing_pass():
    samples = toy.toy(5, 0, scale={"ref": 1.0})
    cuts = efficiency_cuts(samples, weighted(samples), "ref")
    assert not cuts.evaluable.any()
    assert not cuts.select(samples["gamma"].reconstructions["ref"]).any()


def test_five_percent_unreconstructed_events_lower_the_efficiency_by_five_percent(events):
    gamma = events[0]["gamma"].reconstructions["ref"]
    lost = np.random.default_rng(0).random(len(gamma.energy)) < 0.05
    energy = np.where(lost, np.nan, gamma.energy)
    fewer = Reconstruction(energy, gamma.gammaness, gamma.theta, gamma.offset, gamma.valid)
    cuts = fixed_cuts(0.7, 0.2)
    assert_array_equal(cuts.select(fewer), cuts.select(gamma) & ~lost)


def test_events_of_the_other_half_give_the_exact_sensitivity(events):
    """Cuts of each half on the other one: what the analytic toy says of the same cuts."""
    samples, weights = events
    halves = {k: s.halves() for k, s in samples.items()}
    total, expected, number = np.zeros((2, 21)), np.zeros((2, 21)), np.zeros((2, 21))
    fair = np.ones(21, dtype=bool)
    for i in (0, 1):
        part = {k: s.take(halves[k][i]) for k, s in samples.items()}
        half = {k: 2 * w[halves[k][i]] for k, w in weights.items()}
        cuts = optimised_cuts(part, half, "ref", RING, min_bkg_mc=30)
        fair &= cuts.evaluable
        expected += np.array(exact(cuts)[:2]) / 2
        for row, kind in enumerate(("gamma", "proton")):
            reco = samples[kind].reconstructions["ref"]
            use = halves[kind][1 - i] & cuts.select(reco, theta=kind == "gamma")
            weight = weights[kind]
            if kind == "proton":
                use &= reco.offset < RING[1]
                place = np.clip(np.searchsorted(RECO_EDGES, reco.energy, "right") - 1, 0, 20)
                circle = 1 - np.cos(np.deg2rad(cuts.theta_deg[place]))
                weight = weight * circle / (1 - np.cos(np.deg2rad(RING[1])))
            total[row] += np.histogram(reco.energy[use], RECO_EDGES, weights=weight[use])[0]
            number[row] += np.histogram(reco.energy[use], RECO_EDGES)[0]
    fair[[0, -1]] = False
    assert fair.sum() >= 8
    for row in (0, 1):  # weights vary little within a bin
        error = 4 * 1.2 / np.sqrt(number[row][fair])
        assert (np.abs(total[row] / expected[row] - 1)[fair] < error).all()
    ratio = (sensitivity(*total)[0] / sensitivity(*expected)[0])[fair]
    error = 4 * 0.6 / np.sqrt(number[1][fair]) + 4 / np.sqrt(number[0][fair])
    assert (np.abs(ratio - 1) < error).all()


def test_missing_samples_and_unknown_names_are_refused(events):
    samples, weights = events
    with pytest.raises(IRFError, match="no proton sample"):
        optimised_cuts({"gamma": samples["gamma"]}, weights, "ref", RING)
    with pytest.raises(IRFError, match="choose one of ref"):
        efficiency_cuts(samples, weights, "dl")
    with pytest.raises(IRFError, match="rising edges"):
        optimised_cuts(samples, weights, "ref", (0.5, 0.3))
