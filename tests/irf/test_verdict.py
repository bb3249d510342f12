from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf import metrics
from ctapipe_gammalearn.irf.bootstrap import auc_plan, bootstrap, count_plan, quantile_plan
from ctapipe_gammalearn.irf.samples import RECO_EDGES
from ctapipe_gammalearn.irf.sensitivity import sensitivity
from ctapipe_gammalearn.irf.verdict import (
    ENDPOINTS,
    Endpoint,
    Qualification,
    holm,
    qualified_bins,
    verdict,
)
from ctapipe_gammalearn.irf.weights import SPECTRA, event_weights

from . import toy

NAMES = "γ-PhysNet", "Hillas+RF"
ENERGY_RANGE = 0.02, 20.0
N_BINS = len(RECO_EDGES) - 1
CUT, THETA_DEG, RING_DEG = 0.3, 0.2, 3.0
CIRCLE = (1 - np.cos(np.deg2rad(THETA_DEG))) / (1 - np.cos(np.deg2rad(RING_DEG)))


def endpoint(name, effect, error=0.01, n_bins=4, shortage="", seed=0, value=0.3):
    """An endpoint of known effect and standard error."""
    z = np.random.default_rng(seed).normal(size=(400, 1))
    z = (z - z.mean()) / z.std(ddof=1)
    change = effect + error * np.concatenate([[[0]], z]) * np.ones(n_bins)
    reference = np.full((401, n_bins), value)
    ratio = ENDPOINTS[name].is_ratio
    candidate = reference * np.exp(change) if ratio else reference + change
    mask = np.full(n_bins, not shortage)
    return Endpoint(name, candidate, reference, Qualification(mask, shortage), 1234)


def row_of(*args, **kwargs):
    """Its verdict alone."""
    return verdict([endpoint(*args, **kwargs)], *NAMES)[0][0]


def plans_of(samples, name):
    """All that the endpoints of a reconstructor need, by fixed cuts."""
    gamma, proton = samples["gamma"], samples["proton"]
    g, p = gamma.reconstructions[name], proton.reconstructions[name]
    true = metrics.bin_numbers(gamma.true_energy, RECO_EDGES)
    kept = (g.gammaness > CUT) & (g.theta < THETA_DEG)
    error = g.energy / gamma.true_energy - 1
    signal = np.where(kept, metrics.bin_numbers(g.energy, RECO_EDGES), -1)
    inside = (p.gammaness > CUT) & (p.offset < RING_DEG)
    background = np.where(inside, metrics.bin_numbers(p.energy, RECO_EDGES), -1)
    weights = [
        event_weights(gamma, SPECTRA["CRAB_MAGIC_JHEAP2015"], 50.0),
        event_weights(proton, SPECTRA["IRFDOC_PROTON_SPECTRUM"], 50.0),
    ]
    both = len(gamma) + len(proton)
    cluster, score = (np.concatenate([getattr(a, c), getattr(b, c)]) for a, b, c in [
        (gamma, proton, "cluster"), (g, p, "gammaness")])  # fmt: skip
    is_gamma = np.arange(both) < len(gamma)
    whole = np.zeros(both, int)
    return {
        "auc": auc_plan(cluster, whole, score, is_gamma, np.ones(both), 1),
        "theta68": quantile_plan(gamma.cluster, true, g.theta, N_BINS, [metrics.ONE_SIGMA]),
        "error": quantile_plan(gamma.cluster, true, error, N_BINS, [metrics.LOWER, metrics.UPPER]),
        "aeff": count_plan(gamma.cluster, np.where(kept, true, -1), 1.0, N_BINS),
        "signal": count_plan(gamma.cluster, signal, weights[0], N_BINS),
        "background": count_plan(proton.cluster, background, CIRCLE * weights[1], N_BINS),
        "n_background": count_plan(proton.cluster, background, 1.0, N_BINS),
    }


def endpoints_of(samples, candidate="dl", reference="ref", n_replicas=200, seed=1):
    """All five endpoints."""
    pair = candidate, reference
    plans = {(n, k): plan for n in set(pair) for k, plan in plans_of(samples, n).items()}
    found = bootstrap(plans, n_replicas, seed)
    values = {}
    for name in pair:
        low, high = np.moveaxis(found[name, "error"], -1, 0)
        limit, _ = sensitivity(found[name, "signal"], found[name, "background"])
        values[name] = {
            "auc": found[name, "auc"],
            "theta68": found[name, "theta68"][..., 0],
            "eres": (high - low) / 2,
            "aeff": found[name, "aeff"],
            "sensitivity": limit,
        }
    n_gamma = np.histogram(samples["gamma"].true_energy, RECO_EDGES)[0]
    kept = np.minimum(*(found[n, "aeff"][0] for n in pair))
    n_background = np.minimum(*(found[n, "n_background"][0] for n in pair))
    all_gammas = qualified_bins(RECO_EDGES, ENERGY_RANGE, n_gamma)
    bins = {
        "auc": Qualification(np.array([True])),
        "theta68": all_gammas,
        "eres": all_gammas,
        "aeff": qualified_bins(RECO_EDGES, ENERGY_RANGE, kept),
        "sensitivity": qualified_bins(RECO_EDGES, ENERGY_RANGE, kept, n_background),
    }
    return [
        Endpoint(k, *(values[n][k] for n in pair), bins[k], len(samples["gamma"]))
        for k in ENDPOINTS
    ]


def by_name(rows):
    """Rows by their endpoint."""
    return {row["name"]: row for row in rows}


def test_holm_corrects_from_the_smallest_on():
    assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02], rtol=1e-12)
    assert_allclose(holm([0.6, 0.9]), [1, 1])
    assert len(holm([])) == 0


@pytest.mark.parametrize(
    "name, effect, error, outcome",
    [
        ("theta68", -0.12, 0.01, "better"),
        ("theta68", 0.12, 0.01, "worse"),
        ("aeff", 0.12, 0.01, "better"),
        ("aeff", -0.12, 0.01, "worse"),
        ("auc", 0.012, 0.001, "better"),
        ("sensitivity", -0.03, 0.001, "small"),
        ("sensitivity", 0.01, 0.01, "equivalent"),
        ("eres", 0.03, 0.05, "undecided"),
    ],
)
def test_outcomes_follow_effect_error_and_margin(name, effect, error, outcome):
    row = row_of(name, effect, error)
    assert row["outcome"] == outcome
    assert_allclose([row["effect"], row["se"]], [effect, error], rtol=1e-9)
    assert_allclose(row["p"], 2 * norm.sf(abs(effect) / error), rtol=1e-9, atol=1e-300)
    assert_allclose(row["ci95"], [effect - 1.96 * error, effect + 1.96 * error], atol=0.5 * error)
    assert (row["n"], row["n_bins"]) == (1234, 4)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            ("theta68", np.log(0.88), 0.01),
            ["γ-PhysNet has 12.0 % smaller θ68 (95 % CI 1", " to 13"],
        ),
        (("theta68", np.log(1.12), 0.01), ["Hillas+RF is better: γ-PhysNet has 12.0 % larger θ68"]),
        (("auc", 0.012, 0.001), ["γ-PhysNet has 0.0120 higher AUC (95 % CI 0.01"]),
        (("aeff", np.log(1.02), 0.001), ["2.0 % larger", "measurable but smaller than the 5.0 %"]),
        (("eres", 0.0, 0.001), ["no practical difference in energy resolution (90 % CI -0."]),
        (
            ("sensitivity", 0.01, 0.1),
            ["cannot tell: the 95 % CI of flux limit is -1", "as many pro"],
        ),
        (("theta68", 0.01, 0.1), ["as many gammas needed"]),
        (("theta68", 0.035, 0.018), ["somewhat more gammas needed"]),
    ],
)
def test_sentences_say_what_was_found(arguments, words):
    sentence = row_of(*arguments)["sentence"]
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize(
    ("bins", "words"),
    [([2], "; a single bin decides, 0.1 to 1 TeV"), ([0, 2], " in 2 bins, 0.001 to 1 TeV")],
)
def test_a_sentence_says_in_how_many_bins(bins, words):
    plain = endpoint("theta68", 0.2)
    mask = np.isin(np.arange(4), bins)
    where = Qualification(mask, edges=np.array([0.001, 0.01, 0.1, 1.0, 10.0]))
    row = verdict([replace(plain, bins=where)], *NAMES)[0][0]
    assert row["sentence"].endswith(words)
    assert row_of("theta68", 0.2)["energy_range"] is None


def test_needed_events_follow_the_square_of_the_interval():
    row = row_of("sensitivity", 0.0, 0.1)
    # 1.96 * 0.1 must shrink to ln 1.05
    assert_allclose(row["more"], (0.196 / np.log(1.05)) ** 2, rtol=0.15)
    assert row_of("sensitivity", 0.3, 0.01)["more"] is None


def test_bins_are_chosen_by_their_numbers_alone():
    edges = RECO_EDGES
    plenty, few = np.full(N_BINS, 1000), np.full(N_BINS, 12)
    assert qualified_bins(edges, ENERGY_RANGE, plenty).mask.sum() == 15
    some = np.where(np.arange(N_BINS) < 5, plenty, few)
    assert_array_equal(
        np.flatnonzero(qualified_bins(edges, ENERGY_RANGE, plenty, some).mask), [1, 2, 3, 4]
    )
    found = qualified_bins(edges, ENERGY_RANGE, plenty, few)
    assert found.shortage == "not enough background events (12 of 30 needed)"
    assert (
        qualified_bins(edges, ENERGY_RANGE, few).shortage == "not enough gammas (12 of 100 needed)"
    )
    assert "between 1000 and 2000 TeV" in qualified_bins(edges, (1e3, 2e3), plenty).shortage


def test_a_bin_without_a_value_in_the_data_does_not_count():
    found = endpoint("sensitivity", -0.2)
    reference = found.reference.copy()
    reference[:, 1] = np.inf  # no signal
    row = verdict([Endpoint("sensitivity", found.candidate, reference, found.bins, 1)], *NAMES)[0][
        0
    ]
    assert row["n_bins"] == 3
    assert_allclose(row["effect"], -0.2, rtol=1e-9)


def test_no_qualified_bin_is_said_and_takes_no_part_in_the_correction():
    shortage = "not enough background events (12 of 30 needed)"
    ends = [endpoint("theta68", -0.12), endpoint("sensitivity", -0.3, shortage=shortage)]
    rows, headline = verdict(ends, *NAMES)
    assert rows[1]["outcome"] == "not evaluable"
    assert rows[1]["sentence"] == f"flux limit: {shortage}"
    assert rows[1]["effect"] is None
    assert rows[0]["p_holm"] == rows[0]["p"]
    assert "better" not in headline
    assert "1 of 2 endpoints (θ68) in favour of γ-PhysNet" in headline


def test_mostly_empty_replicas_are_not_evaluable():
    found = endpoint("sensitivity", -0.2)
    candidate = found.candidate.copy()
    candidate[100:, 0] = np.inf
    row = verdict([Endpoint("sensitivity", candidate, found.reference, found.bins, 1)], *NAMES)[0][
        0
    ]
    assert row["outcome"] == "not evaluable"
    assert "replicas" in row["sentence"]


def test_headline_counts_endpoints():
    ends = [endpoint("auc", 0.02, 0.001), endpoint("theta68", -0.2), endpoint("eres", 0.0),
            endpoint("sensitivity", -0.2)]  # fmt: skip
    assert verdict(ends, *NAMES)[1] == (
        "γ-PhysNet better in 3 of 4 endpoints (AUC, θ68, flux limit);"
        " no practical difference in 1 of 4 endpoints (energy resolution)"
    )


@pytest.mark.parametrize("loss", ["theta68", "eres", "aeff"])
def test_a_loss_that_users_feel_makes_the_headline_mixed(loss):
    ends = [endpoint(loss, -0.2 * ENDPOINTS[loss].gain), endpoint("sensitivity", -0.2)]
    headline = verdict(ends, *NAMES)[1]
    assert headline.startswith(
        "Mixed: γ-PhysNet better in 1 of 2 endpoints (flux limit); Hillas+RF"
    )


def test_a_loss_in_everything_is_not_mixed():
    headline = verdict([endpoint("theta68", 0.2), endpoint("sensitivity", 0.2)], *NAMES)[1]
    assert headline == "Hillas+RF better in 2 of 2 endpoints (θ68, flux limit)"


@pytest.mark.parametrize("name", ["theta69", ""])
def test_unknown_endpoints_are_refused(name):
    with pytest.raises(IRFError, match="choose one of auc, theta68"):
        Endpoint(name, np.ones((3, 1)), np.ones((3, 1)), Qualification(np.ones(1, bool)), 1)


def test_replicas_of_different_shapes_are_refused():
    with pytest.raises(IRFError, match="same replicas and bins"):
        Endpoint("auc", np.ones((3, 1)), np.ones((4, 1)), Qualification(np.ones(1, bool)), 1)


@pytest.fixture(scope="module")
def samples():
    """Three reconstructors of the same events: same psf scale as the reference, less and more."""
    return toy.toy(20_000, 60_000, seed=4, scale={"ref": 1.0, "dl": 0.9, "bad": 1.1})


def test_a_reconstructor_does_not_differ_from_itself(samples):
    rows, headline = verdict(endpoints_of(samples, "ref", "ref"), *NAMES)
    for row in rows:
        assert (row["effect"], row["se"], row["p"], row["p_holm"]) == (0, 0, 1, 1)
        assert row["ci95"] == [0, 0]
        assert row["outcome"] == "equivalent"
        assert "no practical difference" in row["sentence"]
    assert "better" not in headline


def test_exchanging_the_two_exchanges_the_verdict(samples):
    rows, _ = verdict(endpoints_of(samples, "dl", "ref"), *NAMES)
    swapped, _ = verdict(endpoints_of(samples, "ref", "dl"), *NAMES)
    other = {"better": "worse", "worse": "better"}
    for a, b in zip(rows, swapped, strict=True):
        assert a["effect"] == -b["effect"]
        assert a["se"] == b["se"]
        assert a["p_holm"] == b["p_holm"]
        assert a["outcome"] == other.get(b["outcome"], b["outcome"])
        assert (a["candidate"], a["reference"]) == (b["reference"], b["candidate"])
        assert_allclose(a["ci95"], [-b["ci95"][1], -b["ci95"][0]], rtol=1e-12, atol=1e-15)
    assert {row["name"] for row in rows} == set(ENDPOINTS)


def test_known_differences_are_found(samples):
    rows, headline = verdict(endpoints_of(samples, "dl", "ref"), *NAMES)
    row = by_name(rows)["theta68"]
    assert row["outcome"] == "better"
    assert_allclose(row["effect"], np.log(0.9), atol=max(0.01, 4 * row["se"]))
    assert row["sentence"].startswith("γ-PhysNet has ")
    assert "γ-PhysNet better in" in headline
    row = by_name(verdict(endpoints_of(samples, "bad", "ref"), *NAMES)[0])["theta68"]
    assert_allclose(row["effect"], np.log(1.1), atol=max(0.01, 4 * row["se"]))
    assert row["sentence"].startswith("Hillas+RF is better: ")


def test_order_of_events_does_not_change_one_bit(samples):
    order = np.random.default_rng(1).permutation
    shuffled = {kind: s.take(order(len(s))) for kind, s in samples.items()}
    assert verdict(endpoints_of(shuffled), *NAMES) == verdict(endpoints_of(samples), *NAMES)


def test_few_protons_give_no_sensitivity_and_no_praise():
    rows, headline = verdict(endpoints_of(toy.toy(20_000, 300, seed=4)), *NAMES)
    rows = by_name(rows)
    assert rows["theta68"]["outcome"] == "better"
    assert rows["sensitivity"]["outcome"] == "not evaluable"
    assert "of 30 needed" in rows["sensitivity"]["sentence"]
    assert "better" not in headline


@pytest.mark.slow
def test_equal_reconstructors_are_rarely_told_apart():
    """100 pairs, five endpoints: at 5 %, 12 of 100 have a chance of about 0.004."""
    scale = {"ref": 1.0, "dl": 1.0}
    n_found, excluded = 0, np.zeros(5)
    for seed in range(100):
        samples = toy.toy(4000, 4000, seed=seed, scale=scale)
        rows, _ = verdict(endpoints_of(samples, seed=seed), *NAMES)
        known = [row for row in rows if row["p_holm"] is not None]
        n_found += any(row["p_holm"] < 0.05 for row in known)
        excluded += [bool(r["ci95"]) and not r["ci95"][0] <= 0 <= r["ci95"][1] for r in rows]
    assert n_found <= 12
    assert (excluded <= 14).all()
