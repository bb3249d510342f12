"""Figures of merit of the tool against the exact ones of the toy, protons and electrons."""

import numpy as np
import pytest

from ctapipe_gammalearn.irf.comparison import benchmarks, joined, select_across
from ctapipe_gammalearn.irf.cuts import fixed_cuts
from ctapipe_gammalearn.irf.samples import RECO_EDGES
from ctapipe_gammalearn.irf.sensitivity import sensitivity
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights

from . import toy

HOURS, RING = 50, (0.0, 5.0)
CUT, THETA_DEG = 0.7, 0.15
CRAB = SPECTRA["CRAB_MAGIC_JHEAP2015"]
BACKGROUND = {
    "proton": SPECTRA["IRFDOC_PROTON_SPECTRUM"],
    "electron": SPECTRA["IRFDOC_ELECTRON_SPECTRUM"],
}
SIZES = [
    pytest.param((100_000, 300_000, 100_000), id="quick"),
    pytest.param((1_000_000, 3_000_000, 1_000_000), id="full", marks=pytest.mark.long),
]


@pytest.fixture(scope="module", params=SIZES)
def found(request):
    """Values and numbers of events by figure of merit."""
    samples = toy.toy(*request.param, seed=12, scale={"ref": 1.0})
    weights = {k: event_weights(samples[k], s, HOURS) for k, s in BACKGROUND.items()}
    weights["gamma"] = event_weights(samples["gamma"], CRAB, HOURS)
    cuts = fixed_cuts(CUT, THETA_DEG)
    chosen = {"ref": select_across(samples, weights, "ref", lambda *_: cuts, RING)}
    background = joined([samples[k] for k in BACKGROUND], [weights[k] for k in BACKGROUND])
    tables = benchmarks(samples["gamma"], weights["gamma"], background, chosen, n_replicas=2)
    return {metric: table for (_, metric), table in tables.items()}


def spread(low, high, function):
    """Smallest and largest value in a bin."""
    values = function(np.geomspace(low, high, 21))
    return values.min(), values.max()


def exact_area(low, high):
    """After both cuts, m2."""
    energy, weight = toy.grid(low, high, 501)
    weight = weight * energy**-2.0
    inside = -np.expm1(-0.5 * (THETA_DEG / toy.sigma_psf(energy)) ** 2)
    kept = toy.area("gamma", energy) * inside * toy.passing("gamma", CUT)
    return (kept * weight).sum() / weight.sum()


def exact_counts():
    """Expected signal and background."""
    signal = toy.exact_signal(CRAB, RECO_EDGES, CUT, THETA_DEG, HOURS)
    parts = [
        toy.exact_background(k, s, RECO_EDGES, CUT, THETA_DEG, HOURS) for k, s in BACKGROUND.items()
    ]
    return signal, sum(parts)


def used(table, n=300):
    """Bins with events, without the first and last two, which the ends of the energies cut."""
    return [i for i in np.flatnonzero(table.n > n) if 1 < i < len(table.n) - 2]


def test_theta68_is_exact(found):
    table = found["theta68"]
    assert len(used(table)) >= 9
    for i in used(table):
        exact = toy.exact_theta(*RECO_EDGES[i : i + 2])
        # density of theta at its quantile: 0.639 = sqrt(p q) / f in units of sigma
        error = 4 * 0.639 / 1.5152 / np.sqrt(table.n[i]) + 0.002
        assert abs(table.values[0, i] / exact - 1) < error


def test_energy_bias_and_resolution_are_exact(found):
    bias, resolution = found["bias"], found["eres"]
    for i in used(bias):
        low, high = RECO_EDGES[i : i + 2]
        sigma, n = spread(low, high, toy.sigma_energy), bias.n[i]
        assert abs(bias.values[0, i]) < 4 * 1.253 * sigma[1] / np.sqrt(n)
        error = 4 * 0.96 / np.sqrt(n)
        assert np.sinh(sigma[0]) * (1 - error) < resolution.values[0, i]
        assert resolution.values[0, i] < np.sinh(sigma[1]) * (1 + error)


def test_effective_area_is_exact(found):
    table = found["aeff"]
    for i in used(table):
        exact = exact_area(*RECO_EDGES[i : i + 2])
        assert abs(table.values[0, i] / exact - 1) < 4 / np.sqrt(table.n[i])


def test_auc_of_protons_and_electrons_is_exact(found):
    """Electrons score as gammas do: one half."""
    table = found["auc"]
    rates = {k: toy.exact_rate(k, s, RECO_EDGES)[1].sum(axis=1) for k, s in BACKGROUND.items()}
    part = rates["electron"] / (rates["electron"] + rates["proton"])
    exact = part * 0.5 + (1 - part) * toy.AUC
    n = np.minimum(table.n, table.n_background)
    for i in used(table):
        # of scores: one of gammas spreads by 0.29 of electrons, by less of protons
        error = 4 * (0.05 + 0.3 * part[i]) / np.sqrt(n[i])
        assert abs(table.values[0, i] - exact[i]) < error


def test_signal_background_and_sensitivity_are_exact(found):
    signal, background = exact_counts()
    table = found["sensitivity"]
    bins = [i for i in used(table) if table.n_background[i] >= 30]
    assert len(bins) >= 5
    exact = sensitivity(signal, background)[0]
    for i in bins:
        errors = 4 / np.sqrt(table.n[i]), 4 / np.sqrt(table.n_eff[i])
        assert abs(found["signal"].values[0, i] / signal[i] - 1) < errors[0]
        assert abs(found["background"].values[0, i] / background[i] - 1) < errors[1]
        # by no more than its square root; where five per cent of it limit, in proportion
        assert abs(table.values[0, i] / exact[i] - 1) < errors[0] + errors[1]
