"""Tables behind the figures, against an instrument whose response is known exactly."""

import numpy as np
import pytest

from ctapipe_gammalearn.irf.comparison import benchmarks, joined, select_across
from ctapipe_gammalearn.irf.curves import (
    Events,
    angular_table,
    benchmark_tables,
    cuts_table,
    own_benchmarks,
)
from ctapipe_gammalearn.irf.cuts import fixed_cuts
from ctapipe_gammalearn.irf.distributions import (
    BANDS,
    GROUPS,
    distribution_tables,
    kept_table,
    scatter_table,
)
from ctapipe_gammalearn.irf.samples import RECO_EDGES, solid_angle
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights
from tests.irf.toy import exact_background, exact_theta, passing, toy

GAMMANESS, THETA, RING, HOURS = 0.5, 0.3, (0.0, 6.0), 50.0
NAMES = {"gamma": "CRAB_MAGIC_JHEAP2015", "proton": "IRFDOC_PROTON_SPECTRUM"}


def events_of(scale, n_gamma=30_000, n_proton=60_000):
    """Toy events after fixed cuts."""
    samples = toy(n_gamma, n_proton, seed=5, scale=scale)
    weights = {k: event_weights(s, SPECTRA[NAMES[k]], HOURS) for k, s in samples.items()}
    chosen = {
        name: select_across(samples, weights, name, lambda *_: fixed_cuts(GAMMANESS, THETA), RING)
        for name in scale
    }
    background = joined([samples["proton"]], [weights["proton"]])
    return Events(
        samples["gamma"], weights["gamma"], background, chosen, "ref", RING, HOURS, 40, 1,
        (0.3, 0.5),
    )  # fmt: skip


@pytest.fixture(scope="module")
def events():
    """Two reconstructors, one of them sharper."""
    return events_of({"ref": 1.0, "dl": 0.8})


@pytest.fixture(scope="module")
def tables(events):
    """All of them."""
    found = benchmarks(events.gamma, events.weight, events.background, events.chosen, 40, 1)
    found |= own_benchmarks(events)
    return benchmark_tables(found, events, SPECTRA[NAMES["gamma"]]) | distribution_tables(events)


def rows(table, **wanted):
    """Rows with these values."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= np.asarray(table[column]) == value
    return table[keep]


def test_a_cut_keeps_the_part_of_the_gammas_that_it_should(tables):
    found = rows(tables["efficiency"], reconstructor="ref")
    found = found[found["n"] > 500]
    assert len(found) >= 6
    exact = passing("gamma", GAMMANESS)
    error = np.sqrt(exact * (1 - exact) / found["n"])
    assert np.all(np.abs(found["value"] - exact) < 4 * error)


def test_containment_is_that_of_the_instrument(tables):
    found = rows(tables["containment68"], reconstructor="dl")
    found = found[found["n"] > 500]
    exact = [exact_theta(r["e_min"], r["e_max"], scale=0.8) for r in found]
    assert len(found) >= 6
    assert np.all(np.abs(found["value"] / exact - 1) < 4 * 0.64 / np.sqrt(found["n"]))


def test_radii_of_the_table_are_those_of_the_curve(events, tables):
    found = rows(angular_table(events), reconstructor="dl")
    curve = rows(tables["containment68"], reconstructor="dl")
    np.testing.assert_array_equal(found["n"], curve["n"])
    np.testing.assert_allclose(found["theta68"], curve["value"], rtol=1e-12)
    assert np.all(np.diff([found[c][3] for c in ("theta39", "theta50", "theta68")]) > 0)


def test_background_rate_is_that_of_the_instrument(tables):
    found = rows(tables["background_rate"], reconstructor="ref")
    circle = exact_background(
        "proton", SPECTRA[NAMES["proton"]], RECO_EDGES, GAMMANESS, THETA, HOURS
    )
    deg2 = solid_angle(0, THETA) / np.deg2rad(1) ** 2
    exact = circle / deg2 / (HOURS * 3600)
    good = np.asarray(found["n_eff"]) > 50
    good[0] = False  # cut by the end of the simulated energies
    assert good.sum() >= 3
    ratio = np.asarray(found["value"])[good] / exact[good]
    assert np.all(np.abs(ratio - 1) < 4 / np.sqrt(np.asarray(found["n_eff"])[good]))


def test_intervals_hold_the_values(tables):
    for name in ("efficiency", "containment68", "background_rate", "theta68", "aeff"):
        good = tables[name][np.asarray(tables[name]["valid"])]
        inside = (good["lo"] <= good["value"]) & (good["value"] <= good["hi"])
        assert inside.mean() > 0.95, name


def test_the_reference_compared_with_itself_is_the_same(tables):
    for name in ("theta68", "auc", "efficiency", "background_rate"):
        found = rows(tables[name], reconstructor="ref")
        found = found[np.asarray(found["valid"])]
        same = 1.0 if found.meta["versus"] == "ratio" else 0.0
        for column in ("versus", "versus_lo", "versus_hi"):
            np.testing.assert_array_equal(found[column], same)


def test_the_ratio_is_paired(tables):
    found = rows(tables["theta68"], reconstructor="dl")
    found = found[np.asarray(found["n"]) > 500]
    assert np.all(np.abs(found["versus"] - 0.8) < 0.06)
    paired = (found["versus_hi"] - found["versus_lo"]) / found["versus"]
    alone = (found["hi"] - found["lo"]) / found["value"]
    assert np.median(paired / alone) < 1.3  # unpaired it would be the root of 2


def test_roc_is_that_of_the_instrument(events, tables):
    found = rows(tables["roc"], reconstructor="ref")
    efficiency = np.asarray(found["efficiency"])
    exact = passing("proton", (1 - efficiency) ** (1 / 6))
    weight = events.background.weight
    n_eff = weight.sum() ** 2 / (weight**2).sum() * exact
    good = (n_eff > 10) & (efficiency < 0.99)
    assert good.sum() > 30
    assert np.all(np.abs(found["value"] / exact - 1)[good] < 4 / np.sqrt(n_eff[good]))
    assert np.all(np.diff(found["value"]) >= 0)


def test_purity_falls_and_all_gammas_are_complete(tables):
    for name in ("ref", "dl"):
        found = rows(tables["purity"], reconstructor=name)
        assert found["completeness"][-1] == pytest.approx(1)
        assert found["value"][-1] < found["value"][50]
        assert np.all((found["lo"] <= found["value"] + 1e-9)[20:])


def test_gammaness_has_area_one(tables):
    for kind in ("gamma", "background"):
        found = rows(tables["gammaness"], reconstructor="dl", kind=kind)
        assert np.sum(found["value"] * (found["high"] - found["low"])) == pytest.approx(1)


def test_columns_of_the_migration_matrix_are_probabilities(tables):
    found = rows(tables["migration"], reconstructor="ref")
    column = np.round(np.log10(found["true_e_min"]), 6)
    sums = [found["value"][column == c].sum() for c in np.unique(column)]
    assert max(sums) < 1 + 1e-9
    assert np.median(sums) == pytest.approx(1, abs=0.01)


def test_theta2_falls_faster_for_the_sharper_one(tables):
    for band in range(len(BANDS)):
        first = [
            rows(tables["theta2"], reconstructor=n, band=band)["value"][0] for n in ("ref", "dl")
        ]
        assert first[1] > first[0]


def test_groups_are_all_of_the_gammas(events, tables):
    found = rows(tables["kept"], selection="above")
    total = sum(np.asarray(rows(found, group=g)["n"]) for g in GROUPS)
    inside = np.histogram(events.gamma.true_energy, RECO_EDGES)[0]
    np.testing.assert_array_equal(total, inside)
    assert not rows(tables["kept"], selection="valid", group="only_candidate")["n"].any()


def test_events_of_both_are_the_common_ones(events):
    found = rows(kept_table(events), selection="above", group="both")
    both = events.chosen["dl"].above & events.chosen["ref"].above
    expected = np.histogram(events.gamma.true_energy[both], RECO_EDGES)[0]
    np.testing.assert_array_equal(found["n"], expected)


def test_the_scatter_counts_every_common_event_once(events):
    found = rows(scatter_table(events), quantity="gammaness", kind="gamma")
    assert found["n"].sum() == len(events.gamma)


def test_cuts_of_both_halves_are_listed(events):
    found = cuts_table(events)
    assert len(found) == 2 * 2 * (len(RECO_EDGES) - 1)
    assert set(found["half"]) == {0, 1}
    assert np.all(found["gammaness"] == GAMMANESS)


def test_bins_without_background_are_not_valid(tables):
    found = tables["sensitivity"]
    assert not np.asarray(found["valid"])[np.asarray(found["n_bkg_mc"]) < 10].any()


def test_one_reconstructor_has_no_pairs():
    alone = distribution_tables(events_of({"ref": 1.0}, 2_000, 2_000))
    assert not {"kept", "scatter"} & set(alone)
