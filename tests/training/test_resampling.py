import numpy as np
import pytest
from numpy.testing import assert_allclose

from ctapipe_gammalearn.training.metrics import Results, summary
from ctapipe_gammalearn.training.resampling import bootstrap, paired_bootstrap


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(12)


def test_bootstrap_error_counts_showers_not_images(rng):
    n, uses = 400, 8
    value = np.repeat(rng.normal(0, 1, n), uses)
    results = Results(np.ones(n * uses, dtype=bool), gammaness=value)
    error = bootstrap(
        lambda r: {"mean": r.gammaness.mean()}, np.repeat(np.arange(n), uses), results, 400, rng
    )
    assert_allclose(error["mean"], 1 / np.sqrt(n), rtol=0.15)


def test_paired_difference_is_surer_than_its_parts(rng):
    n = 2000
    truth = np.zeros((n, 2))
    common = rng.normal(0, 0.3, (n, 2))
    a, b = (
        Results(np.ones(n, dtype=bool), true_direction=truth, direction=f * common)
        for f in (1, 0.8)
    )
    out = paired_bootstrap(summary, np.arange(n), a, b, 100, rng)["psi68"]
    assert_allclose(out["ratio"], 0.8, rtol=1e-3)
    assert out["ratio_error"] < 1e-3
    assert out["low"] < out["difference"] < out["high"] < 0
    assert_allclose(out["difference"], out["b"] - out["a"])


def test_bootstrap_intervals_cover_the_truth(rng):
    n, hits = 300, 0
    for _ in range(60):
        a = Results(np.ones(n, dtype=bool), gammaness=rng.normal(0, 1, n))
        b = Results(np.ones(n, dtype=bool), gammaness=rng.normal(0.1, 1, n))
        out = paired_bootstrap(
            lambda r: {"mean": r.gammaness.mean()}, np.arange(n), a, b, 100, rng
        )["mean"]
        hits += out["low"] <= 0.1 <= out["high"]
    assert hits >= 50


def test_metrics_of_one_class_are_nan_without_an_error(rng):
    only = Results(is_gamma=np.ones(20, dtype=bool), gammaness=rng.random(20))
    assert np.isnan(bootstrap(summary, np.arange(20), only, 5)["auc"])
    assert np.isnan(paired_bootstrap(summary, np.arange(20), only, only, 5)["auc"]["low"])


def test_the_same_numbers_come_out_again(rng):
    only = Results(is_gamma=np.arange(200) < 90, gammaness=rng.random(200))
    assert bootstrap(summary, np.arange(200), only, 9) == bootstrap(
        summary, np.arange(200), only, 9
    )
