"""Tables by offset against the toy, whose gammas are the same at every offset."""

from dataclasses import replace

import numpy as np
import pytest

from ctapipe_gammalearn.irf.comparison import joined, select_across
from ctapipe_gammalearn.irf.curves import Events
from ctapipe_gammalearn.irf.cuts import fixed_cuts
from ctapipe_gammalearn.irf.offsets import METRICS, offset_tables
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights

from . import toy

CUT, THETA_DEG, RING, HOURS = 0.6, 0.3, (0.0, 5.0), 50
EDGES, ENERGIES = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), (0.1, 10.0)
SCALE = {"ref": 1.0, "dl": 0.8}


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(8)
    numbers = {"gamma": 3000, "proton": 3000, "gamma_diffuse": 60_000}
    return {k: toy.sample(k, n, rng, SCALE) for k, n in numbers.items()}


def tables_of(samples, diffuse):
    """Tables after fixed cuts."""
    two = {k: samples[k] for k in ("gamma", "proton")}
    spectra = {"gamma": "CRAB_MAGIC_JHEAP2015", "proton": "IRFDOC_PROTON_SPECTRUM"}
    weights = {k: event_weights(s, SPECTRA[spectra[k]], HOURS) for k, s in two.items()}
    chosen = {
        name: select_across(two, weights, name, lambda *_: fixed_cuts(CUT, THETA_DEG), RING)
        for name in SCALE
    }
    background = joined([samples["proton"]], [weights["proton"]])
    events = Events(
        samples["gamma"], weights["gamma"], background, chosen, "ref", RING, HOURS, 40, 1,
        (0.3, 0.5),
    )  # fmt: skip
    return offset_tables(events, diffuse, EDGES, ENERGIES)


@pytest.fixture(scope="module")
def tables(samples):
    return tables_of(samples, samples["gamma_diffuse"])


def rows(table, name):
    """Rows of a reconstructor that are valid: not those of the last ring, beyond the cone."""
    own = table[table["reconstructor"] == name]
    assert list(own["valid"]) == [True] * 6 + [False]
    return own[:-1]


def inside(energy, scale):
    """Exact part of the gammas within the cut in theta."""
    return -np.expm1(-0.5 * (THETA_DEG / (scale * toy.sigma_psf(energy))) ** 2)


@pytest.mark.parametrize("name", SCALE)
def test_parts_and_areas_are_exact_in_every_ring(tables, name):
    energy, weight = toy.grid(*ENERGIES)
    weight = weight * energy**-2.0
    part = toy.passing("gamma", CUT)
    detected = weight * toy.area("gamma", energy)
    both = part * (detected * inside(energy, SCALE[name])).sum() / detected.sum()
    area = both * detected.sum() / weight.sum()
    for metric, exact in (("efficiency", part), ("efficiency_theta", both)):
        found = rows(tables[f"offset_{metric}"], name)
        error = np.sqrt(exact * (1 - exact) / found["n"])
        assert np.all(np.abs(found["value"] - exact) < 4 * error)
    found = rows(tables["offset_aeff"], name)
    assert np.all(np.abs(found["value"] / area - 1) < 4 / np.sqrt(found["n"]))
    assert tables["offset_aeff"]["value"].unit == "m2"


@pytest.mark.parametrize("name", SCALE)
def test_theta68_and_bias_are_exact_in_every_ring(tables, name):
    exact = toy.exact_theta(*ENERGIES, scale=SCALE[name])
    found = rows(tables["offset_theta68"], name)
    # a mixture of widths is a little wider at its quantile than one of them
    assert np.all(np.abs(found["value"] / exact - 1) < 4 / np.sqrt(found["n"]))
    bias = rows(tables["offset_bias"], name)
    assert np.all(np.abs(bias["value"]) < 4 * 1.253 * 0.2 / np.sqrt(bias["n"]))


def test_intervals_of_a_pair_are_narrower_than_of_two_alone(tables):
    found = rows(tables["offset_theta68"], "dl")
    assert np.all((found["versus_lo"] < 0.83) & (found["versus_hi"] > 0.77))
    width = (found["versus_hi"] - found["versus_lo"]) / found["versus"]
    alone = sum(
        ((r["hi"] - r["lo"]) / r["value"]) ** 2
        for r in (found, rows(tables["offset_theta68"], "ref"))
    )
    assert np.mean(width / np.sqrt(alone)) < 0.95
    assert set(rows(tables["offset_theta68"], "ref")["versus"]) == {1.0}


def test_each_row_says_where_it_is(tables):
    assert set(tables) == {f"offset_{metric}" for metric in METRICS}
    for table in tables.values():
        np.testing.assert_array_equal(table["offset_min"][:7], EDGES[:-1])
        np.testing.assert_array_equal(table["offset_max"][:7], EDGES[1:])
        assert set(table["e_max"].quantity.to_value("TeV")) == {10.0}


def test_what_is_lost_at_the_edge_is_lost_there_only(samples, tables):
    diffuse = samples["gamma_diffuse"]
    ours = diffuse.reconstructions["dl"]
    low = np.where(diffuse.true_offset > 4, 0.0, ours.gammaness)
    parts = diffuse.reconstructions | {"dl": replace(ours, gammaness=low)}
    found = tables_of(samples, replace(diffuse, reconstructions=parts))["offset_efficiency"]
    before = rows(tables["offset_efficiency"], "dl")["value"]
    np.testing.assert_array_equal(rows(found, "dl")["value"], np.where(EDGES[:6] < 4, before, 0))
