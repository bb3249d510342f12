import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyirf.sensitivity import relative_sensitivity
from pyirf.spectral import CRAB_HEGRA
from pyirf.statistics import li_ma_significance as pyirf_significance

from ctapipe_gammalearn.irf.sensitivity import (
    energy_flux,
    excess_limit,
    li_ma_significance,
    sensitivity,
    significance_limit,
)


@pytest.mark.parametrize(
    "counts, expected",
    [
        ((10, 0, 0.2), 5.98625),
        ((50, 100, 0.2), 4.96850),
        ((100, 100, 0.5), 4.85351),
        ((698, 50, 1.0), 25.881),  # the Crab of H.E.S.S. DR1
        ((698, 189, 1 / 3), 33.542),
    ],
)
def test_significance_has_its_known_values(counts, expected):
    assert_allclose(li_ma_significance(*counts), expected, rtol=2e-5)


def test_significance_agrees_with_pyirf_and_keeps_its_sign():
    rng = np.random.default_rng(0)
    n_off = np.append(0, 10 ** rng.uniform(-3, 7, 2000))
    n_on = 0.2 * n_off + 10 ** rng.uniform(0, 5, 2001)
    expected = pyirf_significance(n_on, n_off)
    # tiny ones are a difference of large numbers, there and here
    assert_allclose(li_ma_significance(n_on, n_off), expected, rtol=1e-9, atol=1e-5)
    assert pyirf_significance(5, 100) == 0
    assert_allclose(li_ma_significance(5, 100), -li_ma_brute(5, 100, 0.2), rtol=1e-12)
    assert li_ma_significance(0, 0) == 0
    assert np.isnan(li_ma_significance(np.nan, 1))


def li_ma_brute(on, off, alpha):
    """Equation 17 as printed."""
    on_term = on * np.log((1 + alpha) / alpha * on / (on + off))
    return np.sqrt(2 * (on_term + off * np.log((1 + alpha) * off / (on + off))))


def test_no_background_needs_the_analytic_number_of_events():
    expected = 25 / 2 / np.log(6)
    assert_allclose(significance_limit(0.0), expected, rtol=1e-14)
    assert_allclose(expected, 6.976, atol=5e-4)


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 10.0])
def test_limit_reaches_exactly_the_significance(alpha):
    n_off = np.append(0, np.logspace(-6, 10, 161)).reshape(2, 81)
    x = significance_limit(n_off, alpha)
    assert x.shape == n_off.shape
    # subtracting counts of 1e10 leaves fewer digits of their excess
    assert_allclose(li_ma_significance(x + alpha * n_off, n_off, alpha), 5, rtol=1e-6)


def test_relative_sensitivity_agrees_with_pyirf_where_that_is_finite():
    rng = np.random.default_rng(1)
    signal = 10 ** rng.uniform(-1, 4, 400)
    background = 10 ** rng.uniform(-3, 7, 400)
    ours, _ = sensitivity(signal, background)
    pyirf = relative_sensitivity(signal + background, background / 0.2, 0.2)
    finite = np.isfinite(pyirf)
    assert finite.sum() > 350
    assert_allclose(ours[finite], pyirf[finite], rtol=3e-9)
    assert np.isfinite(ours).all()


def test_the_best_bin_is_no_nan():
    relative, limited_by = sensitivity([1e6], [0.0])
    assert_allclose(relative, 1e-5, rtol=1e-12)
    assert limited_by == "events"


def test_each_condition_is_named_where_it_limits():
    background = np.array([0.1, 1e2, 1e8, 1e2, 1e2, 1e2])
    signal = np.array([1e3, 1e3, 1e3, 1e3, 0, np.nan])
    relative, limited_by = sensitivity(signal, background, n_mc=[5, 5, 5, 0, 5, 5])
    expected = ["events", "significance", "systematics", "no_mc_background", "", ""]
    assert_array_equal(limited_by, expected)
    assert_allclose(relative[2], 0.05 * 1e8 / 1e3, rtol=1e-12)
    assert np.isinf(relative[4])
    assert np.isnan(relative[5])


def test_a_nan_background_gives_nan():
    assert np.isnan(excess_limit([np.nan, 1.0])).tolist() == [True, False]
    assert np.isnan(sensitivity([1.0], [np.nan])[0]).all()


def test_energy_flux_in_erg():
    tev = (1 * u.TeV).to_value(u.erg)
    assert_allclose(energy_flux(CRAB_HEGRA, [10.0]), 2.83e-11 * 10**-0.62 * tev, rtol=1e-12)
