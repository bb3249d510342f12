import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import roc_auc_score

from ctapipe_gammalearn.exceptions import IRFError
from ctapipe_gammalearn.irf import bootstrap as module
from ctapipe_gammalearn.irf.bootstrap import (
    auc_plan,
    bootstrap,
    count_plan,
    interval,
    poisson_numbers,
    quantile_plan,
    standard_error,
)
from ctapipe_gammalearn.irf.samples import cluster_key, splitmix64

QUANTILES = [0.0, 0.158655, 0.5, 0.51, 0.6827, 0.841345, 0.999, 1.0]
N_BINS = 5


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def events(rng, n=3000, digits=None):
    """Random columns: showers of several uses, bins (some rows in none), values."""
    cluster = cluster_key(rng.integers(0, n // 3, n))
    place = rng.choice([-1, 0, 1, 3, 4], n)  # bin 2 stays empty
    values = rng.normal(size=n)
    if digits is not None:
        values = np.round(values, digits)
    return cluster, place, values


def test_numbers_follow_a_poisson_distribution_of_mean_one():
    cluster = cluster_key(np.arange(200_000))
    a, b = (poisson_numbers(cluster, r, 1) for r in (0, 1))
    # four standard errors, of the variance with the fourth moment of Poisson(1)
    assert abs(a.mean() - 1) < 4 / np.sqrt(len(a))
    assert abs(a.var() - 1) < 4 * np.sqrt(3 / len(a))
    assert abs(np.mean(a == 0) - np.exp(-1)) < 4 * 0.4822 / np.sqrt(len(a))
    other_seed = poisson_numbers(cluster, 0, 2)
    for x, y in [(a, b), (a, other_seed), (a[1:], a[:-1])]:
        assert abs(np.corrcoef(x, y)[0, 1]) < 4 / np.sqrt(len(x))


def test_even_plain_numbers_of_showers_are_drawn_independently():
    numbers = np.stack([poisson_numbers(np.arange(4000, dtype=np.uint64), r, 1) for r in range(50)])
    assert abs(numbers.mean() - 1) < 4 / np.sqrt(numbers.size)
    assert abs(numbers.sum(axis=0).var() / 50 - 1) < 4 * np.sqrt(2.02 / 4000)
    assert abs(numbers.sum(axis=1).var() / 4000 - 1) < 4 * np.sqrt(2 / 49)


def test_numbers_come_from_the_hash_of_the_samples():
    cluster = cluster_key(np.arange(1000))
    with np.errstate(over="ignore"):
        start = np.uint64(7) * module.PER_REPLICA + np.uint64(3)
        upper = splitmix64(cluster * module.PER_SHOWER + start) >> np.uint64(32)
    expected = np.searchsorted(module.POISSON_LIMITS, upper, "right")
    assert_array_equal(poisson_numbers(cluster, 7, 3), expected)


@pytest.mark.parametrize("digits", [None, 1], ids=["distinct", "ties"])
def test_quantiles_equal_numpy_on_repeated_events(rng, digits):
    cluster, place, values = events(rng, digits=digits)
    plan = quantile_plan(cluster, place, values, N_BINS, QUANTILES)
    found = bootstrap({"q": plan}, 20, seed=3)["q"]
    assert found.shape == (21, N_BINS, len(QUANTILES))
    for replica in range(21):
        times = poisson_numbers(cluster, replica - 1, 3) if replica else np.ones(len(cluster), int)
        for b in (0, 1, 3, 4):
            repeated = np.repeat(values[place == b], times[place == b])
            assert_array_equal(found[replica, b], np.quantile(repeated, QUANTILES))
    assert np.isnan(found[:, 2]).all()


def test_nan_values_and_empty_samples_are_left_out(rng):
    cluster, place, values = events(rng, 100)
    values[::2] = np.nan
    odd = quantile_plan(cluster[1::2], place[1::2], values[1::2], N_BINS, [0.5])
    plans = {"all": quantile_plan(cluster, place, values, N_BINS, [0.5]), "odd": odd}
    plans["none"] = quantile_plan(cluster[:0], place[:0], values[:0], N_BINS, [0.5])
    found = bootstrap(plans, 5)
    assert_array_equal(found["all"], found["odd"])
    assert np.isnan(found["none"]).all()
    assert found["none"].shape == (6, N_BINS, 1)
    assert bootstrap({}) == {}


def test_a_bin_of_one_event_has_its_value_or_none():
    plan = quantile_plan(cluster_key([1]), np.array([0]), np.array([3.5]), 1, [0.1, 0.9])
    found = bootstrap({"q": plan}, 60)["q"]
    assert_array_equal(np.unique(found[np.isfinite(found)]), [3.5])
    assert 5 < np.isnan(found[:, 0, 0]).sum() < 40  # exp(-1) of 60


@pytest.mark.parametrize("quantiles", [[0.9, 0.1], [0.5, 1.1], [np.nan], 0.5])
def test_impossible_quantiles_are_refused(quantiles):
    with pytest.raises(IRFError, match="rising order"):
        quantile_plan(np.zeros(0, np.uint64), np.zeros(0, int), np.zeros(0), 1, quantiles)


@pytest.mark.parametrize("digits", [None, 1], ids=["distinct", "ties"])
def test_areas_under_the_curve_agree_with_scikit_learn(rng, digits):
    cluster, place, score = events(rng, digits=digits)
    is_gamma, weight = rng.random(len(score)) < 0.3, rng.lognormal(0, 2, len(score))
    plan = auc_plan(cluster, place, score, is_gamma, weight, N_BINS)
    found = bootstrap({"auc": plan}, 10, seed=3)["auc"]
    for replica in range(11):
        times = poisson_numbers(cluster, replica - 1, 3) if replica else 1
        for b in (0, 1, 3, 4):
            here = place == b
            w = (weight * times)[here]
            expected = roc_auc_score(is_gamma[here], score[here], sample_weight=w)
            assert_allclose(found[replica, b], expected, rtol=1e-12)
    assert np.isnan(found[:, 2]).all()


def test_an_area_needs_both_classes(rng):
    cluster, place, score = events(rng, 50)
    plan = auc_plan(cluster, place, score, np.ones(50, bool), np.ones(50), N_BINS)
    assert np.isnan(bootstrap({"auc": plan}, 3)["auc"]).all()


def test_counts_agree_with_histograms(rng):
    cluster, place, _ = events(rng)
    weight = rng.lognormal(0, 2, len(place))
    plans = {
        "n": count_plan(cluster, place, 1.0, N_BINS),
        "sum": count_plan(cluster, place, weight, N_BINS),
    }
    found = bootstrap(plans, 10, seed=3)
    for replica in range(11):
        times = poisson_numbers(cluster, replica - 1, 3) if replica else 1
        here = place >= 0
        for name, w in [("n", np.ones(len(place))), ("sum", weight)]:
            expected = np.bincount(place[here], (w * times)[here], N_BINS)
            assert_allclose(found[name][replica], expected, rtol=1e-12)


def all_plans(cluster, place, values, weight):
    """One plan of each kind."""
    is_gamma = weight > 1
    return {
        "quantile": quantile_plan(cluster, place, values, N_BINS, [0.5, 0.68]),
        "auc": auc_plan(cluster, place, values, is_gamma, weight, N_BINS),
        "count": count_plan(cluster, place, weight, N_BINS),
    }


def test_order_of_rows_and_threads_do_not_change_one_bit(rng):
    columns = *events(rng, digits=1), rng.lognormal(0, 2, 3000)
    order = rng.permutation(3000)
    expected = bootstrap(all_plans(*columns), 20)
    for plans, n_threads in [
        (all_plans(*columns), 2),
        (all_plans(*(column[order] for column in columns)), 1),
    ]:
        ticks = itertools.count()
        found = bootstrap(plans, 20, n_threads=n_threads, progress=ticks.__next__)
        assert next(ticks) == 21
        for name, values in expected.items():
            assert_array_equal(found[name], values)


def test_same_columns_give_the_same_replicas_whatever_else_is_measured(rng):
    columns = *events(rng), rng.lognormal(0, 2, 3000)
    plans = all_plans(*columns)
    alone = bootstrap({"quantile": plans["quantile"]}, 10)["quantile"]
    assert_array_equal(bootstrap(plans, 10)["quantile"], alone)


def test_errors_and_intervals_leave_out_replicas_without_events(rng):
    replicas = rng.normal(3, 2, (4000, 2))
    replicas[::2, 1] = np.nan
    assert_allclose(standard_error(replicas), 2, rtol=0.1)
    low, high = interval(replicas)
    assert_allclose([low, high], [[3 - 1.96 * 2] * 2, [3 + 1.96 * 2] * 2], atol=0.3)
    nothing = np.full((5, 3), np.nan)
    assert np.isnan([standard_error(nothing), *interval(nothing)]).all()


def correlated(rng, n_showers, uses, rho=0.5):
    """θ of two reconstructors: uses of a shower, and the two of them, err alike in part."""
    shower = np.repeat(np.arange(n_showers), uses)
    common = rng.normal(size=(n_showers, 2))[shower]
    image = np.sqrt(rho) * common + np.sqrt(1 - rho) * rng.normal(size=(len(shower), 2))
    theta = [
        np.hypot(*(np.sqrt(0.7) * image + np.sqrt(0.3) * rng.normal(size=image.shape)).T)
        for _ in range(2)
    ]
    return cluster_key(shower), theta


def theta68(cluster, theta, n_replicas=200, seed=1):
    """Values and replicas of θ68, shape (1 + n_replicas, n_reconstructors)."""
    place = np.zeros(len(cluster), int)
    plans = {str(i): quantile_plan(cluster, place, t, 1, [0.68]) for i, t in enumerate(theta)}
    found = bootstrap(plans, n_replicas, seed)
    return np.stack([v[:, 0, 0] for v in found.values()], axis=1)


def test_duplicated_events_keep_the_error_of_showers_and_fool_that_of_events(rng):
    cluster, theta = correlated(rng, 4000, 1)
    twice = [np.repeat(t, 2) for t in theta]
    once = theta68(cluster, theta)
    errors = standard_error(once[1:])
    assert_allclose(standard_error(theta68(np.repeat(cluster, 2), twice)[1:]), errors, rtol=0.02)
    as_events = cluster_key(np.arange(8000))
    ratio = standard_error(theta68(as_events, twice)[1:]) / errors
    assert_allclose(ratio, np.sqrt(0.5), rtol=0.2)  # four standard errors of 200 replicas


@pytest.mark.slow
def test_errors_of_showers_are_right_and_paired_intervals_cover(rng):
    """200 samples of 300 showers with 5 uses: true scatter against what each sample says."""
    single, log_ratio, errors = [], [], []
    covered = 0
    for seed in range(200):
        cluster, theta = correlated(rng, 300, 5)
        values = theta68(cluster, theta, seed=seed)
        by_event = theta68(cluster_key(np.arange(len(cluster))), theta, seed=seed)
        ratio = np.log(values[:, 1] / values[:, 0])
        low, high = interval(ratio[1:])
        covered += low <= 0 <= high
        single.append(values[0, 0])
        log_ratio.append(ratio[0])
        found = values[1:, 0], by_event[1:, 0], ratio[1:]
        errors.append([standard_error(r) for r in found])
    shower, event, paired = np.mean(errors, axis=0)
    # scatter of 200 values is known to 5 %
    assert_allclose(shower, np.std(single), rtol=0.2)
    assert_allclose(paired, np.std(log_ratio), rtol=0.2)
    assert event < 0.9 * shower
    assert abs(covered / 200 - 0.95) < 0.06
