"""Separation by offset against scores drawn from normal distributions of known distance."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtr

from ctapipe_gammalearn.irf.comparison import joined, select_across
from ctapipe_gammalearn.irf.curves import Events
from ctapipe_gammalearn.irf.cuts import fixed_cuts
from ctapipe_gammalearn.irf.offset_separation import separation_tables

from . import toy

EDGES, ENERGIES, CUT, RING = np.array([0.0, 2.0, 4.0, 6.0, 7.0]), (0.1, 10.0), 0.5, (0.0, 5.0)
#: mean score of gammas and of background by ring, of spread 1
GAMMA = {"ref": np.array([2.0, 1.5, 1.0, 0.5]), "dl": np.array([2.5, 2.5, 0.5, 0.0])}
PROTON = {"ref": np.array([0.0, 0.0, 0.2, 0.4]), "dl": np.array([-0.5, 0.0, 0.5, 1.0])}
#: weight, and shift of the score, of every other background event
HEAVY, SHIFT = 3.0, 0.7


def scored(sample, means, rng, shift=0.0):
    """Scores of a sample by its rings; one in five events is lost to one reconstructor."""
    ring = np.minimum(np.searchsorted(EDGES, sample.true_offset, "right") - 1, len(EDGES) - 2)
    parts = {}
    for name, reco in sample.reconstructions.items():
        score = means[name][ring] + shift + rng.standard_normal(len(sample))
        valid = rng.random(len(sample)) > (0.2 if name == "dl" else 0.0)
        parts[name] = replace(reco, gammaness=score, valid=valid)
    return replace(sample, reconstructions=parts)


@pytest.fixture(scope="module")
def samples():
    """Diffuse gammas up to 6 deg, protons up to 10 deg, and the weights of these."""
    rng, scale = np.random.default_rng(5), dict.fromkeys(GAMMA, 1.0)
    gamma, proton = (toy.sample(k, 60_000, rng, scale) for k in ("gamma_diffuse", "proton"))
    heavy = rng.random(len(proton)) < 0.5
    gamma = scored(gamma, GAMMA, rng)
    return gamma, scored(proton, PROTON, rng, SHIFT * heavy), np.where(heavy, HEAVY, 1.0)


def tables_of(gamma, proton, weight, diffuse):
    """Tables after a cut in gammaness."""
    two, weights = {"gamma": gamma, "proton": proton}, {"gamma": np.ones(len(gamma))}
    weights["proton"] = weight
    chosen = {
        name: select_across(two, weights, name, lambda *_: fixed_cuts(CUT, 0.3), RING)
        for name in GAMMA
    }
    background = joined([proton], [weight])
    events = Events(gamma, weights["gamma"], background, chosen, "ref", RING, 50, 40, 1, (0.3, 0.5))
    return separation_tables(events, diffuse, EDGES, ENERGIES)


@pytest.fixture(scope="module")
def tables(samples):
    return tables_of(*samples, samples[0])


def mixed(light, heavy):
    """Mean over background events, by their weights."""
    return (light + HEAVY * heavy) / (1 + HEAVY)


@pytest.mark.parametrize("name", GAMMA)
def test_areas_are_those_of_two_normal_distributions(tables, name):
    found = tables["offset_auc"]
    rows = found[found["reconstructor"] == name]
    distance = GAMMA[name] - PROTON[name]
    exact = mixed(*(ndtr((distance - shift) / np.sqrt(2)) for shift in (0, SHIFT)))
    assert list(rows["valid"]) == [True] * 3 + [False]  # no gammas beyond 6 deg
    n_eff = np.minimum(rows["n"], rows["n_bkg_mc"] * (1 + HEAVY) ** 2 / 2 / (1 + HEAVY**2))[:3]
    # the most that an area can spread, for any distributions
    error = np.sqrt(exact * (1 - exact))[:3] / np.sqrt(n_eff)
    assert np.all(np.abs(rows["value"] - exact)[:3] < 4 * error)
    assert np.all(rows["lo"][:3] < rows["value"][:3])
    assert np.all((rows["hi"] - rows["lo"])[:3] < 6 * error)


@pytest.mark.parametrize("name", GAMMA)
def test_background_above_the_cut_is_that_of_normal_distributions(tables, name):
    found = tables["offset_background_efficiency"]
    rows = found[found["reconstructor"] == name]
    exact = mixed(*(ndtr(PROTON[name] + shift - CUT) for shift in (0, SHIFT)))
    n_eff = rows["n"] * (1 + HEAVY) ** 2 / 2 / (1 + HEAVY**2)
    assert rows["valid"].all()
    assert np.all(np.abs(rows["value"] - exact) < 4 * np.sqrt(exact * (1 - exact) / n_eff))
    assert np.all((rows["lo"] < rows["value"]) & (rows["value"] < rows["hi"]))


def test_all_reconstructors_are_judged_on_the_same_events(tables, samples):
    gamma, proton, _ = samples
    for name, column, sample in (
        ("auc", "n", gamma), ("auc", "n_bkg_mc", proton), ("background_efficiency", "n", proton),
    ):  # fmt: skip
        used = sample.reconstructions["ref"].valid & sample.reconstructions["dl"].valid
        used &= (sample.true_energy >= ENERGIES[0]) & (sample.true_energy < ENERGIES[1])
        expected = np.histogram(sample.true_offset[used], EDGES)[0]
        table = tables[f"offset_{name}"]
        for own in GAMMA:
            rows = table[table["reconstructor"] == own]
            np.testing.assert_array_equal(rows[column], expected)
        assert table.meta["events"] == "common"


def test_without_diffuse_gammas_there_is_the_background_only(tables, samples):
    found = tables_of(*samples, None)
    assert set(found) == {"offset_background_efficiency"}
    ours = tables["offset_background_efficiency"]
    np.testing.assert_array_equal(found["offset_background_efficiency"]["value"], ours["value"])


def test_few_background_events_are_no_result(samples):
    gamma, proton, weight = samples
    few = np.arange(len(proton)) < 60
    found = tables_of(gamma, proton.take(few), weight[few], gamma)
    for table in found.values():
        np.testing.assert_array_equal(table["valid"] & (table["n_bkg_mc"] < 10), False)
        assert not table["valid"].all()
