import json
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.training.calibration import fit_calibration, interpolate


def toy(rng, n=20_000, spectrum="flat", slope=0.8):
    """Gammas whose spreads depend on energy, with predicted scales that are wrong by factors."""
    true = rng.uniform(-1.5, 1, n)
    if spectrum == "steep":
        true = -1.5 + rng.exponential(0.5, n)
        true = true[true < 1]
    n = len(true)
    width = 0.05 + 0.1 * (1 - true) / 2.5  # dex
    reco = slope * true + width * rng.normal(0, 1, n)
    radius = 0.4 * 10 ** (-0.4 * true) * rng.lognormal(0, 0.3, n)
    direction = rng.uniform(-1, 1, (n, 2))
    decoded = SimpleNamespace(
        log10_energy=reco,
        log10_energy_scale=2.5 * width,
        direction=direction + radius[:, None] * rng.normal(0, 1, (n, 2)),
        direction_scale=0.3 * radius,
    )
    return decoded, true, direction


def corrected(calibration, decoded):
    """Energy, and 68 % sizes of energy and direction, from the numbers of the model card."""
    knots = calibration["log10_energy"]
    values = lambda key: interpolate(decoded.log10_energy, knots, calibration[key])  # noqa: E731
    return (
        decoded.log10_energy - values("energy_bias"),
        values("energy_scale") * decoded.log10_energy_scale,
        values("direction_scale") * decoded.direction_scale,
    )


@pytest.mark.parametrize("spectrum", ["flat", "steep"])
def test_68_percent_regions_of_other_images_cover_68_percent(spectrum):
    rng = np.random.default_rng(2)
    calibration = fit_calibration(*toy(rng, 60_000, spectrum))
    decoded, true, direction = toy(rng, 60_000, spectrum)
    energy, energy_width, radius = corrected(calibration, decoded)
    distance = np.hypot(*(decoded.direction - direction).T)
    for part in (slice(None), decoded.log10_energy < -0.6, decoded.log10_energy > 0):
        assert_allclose(np.mean(np.abs(energy - true)[part] <= energy_width[part]), 0.68, atol=0.03)
        assert_allclose(np.mean(distance[part] <= radius[part]), 0.68, atol=0.03)


@pytest.mark.parametrize("spectrum", ["flat", "steep"])
def test_bias_is_removed_in_bins_of_true_energy_for_any_spectrum(spectrum):
    rng = np.random.default_rng(3)
    calibration = fit_calibration(*toy(rng, 40_000, spectrum))
    decoded, true, _ = toy(rng, 40_000)
    error = corrected(calibration, decoded)[0] - true
    for low in (-1.0, -0.5, 0.0, 0.4):
        part = (true > low) & (true < low + 0.2)
        assert abs(np.median(error[part])) < 0.03
        assert abs(np.median((decoded.log10_energy - true)[part])) > abs(np.median(error[part]))


def test_a_flat_response_is_not_inverted():
    """Where all energies look the same, dividing by the slope would only add noise."""
    rng = np.random.default_rng(4)
    true = rng.uniform(-2, 1, 30_000)
    reco = np.maximum(true, -1.2) + rng.normal(0, 0.1, len(true))
    decoded = SimpleNamespace(log10_energy=reco, log10_energy_scale=None, direction=None)
    calibration = fit_calibration(decoded, true, None)
    knots, bias = calibration["log10_energy"], calibration["energy_bias"]
    assert np.all(np.diff(np.subtract(knots, bias)) >= 0)  # never turned around
    before, after = reco - true, reco - interpolate(reco, knots, bias) - true
    high = true > -0.8
    assert np.quantile(np.abs(after[high]), 0.68) < 1.1 * np.quantile(np.abs(before[high]), 0.68)
    low = true < -1.2
    assert np.quantile(np.abs(after[low]), 0.68) < np.quantile(np.abs(before[low]), 0.68)


def test_few_images_share_one_scale():
    calibration = fit_calibration(*toy(np.random.default_rng(5), 300))
    assert len(set(calibration["energy_scale"])) == len(set(calibration["direction_scale"])) == 1
    assert len(set(calibration["energy_bias"])) > 1
    assert len({len(values) for values in calibration.values()}) == 1


def test_calibration_is_plain_json_with_rising_knots():
    calibration = fit_calibration(*toy(np.random.default_rng(6), 2000))
    assert json.loads(json.dumps(calibration)) == calibration
    assert set(calibration) == {"log10_energy", "energy_bias", "energy_scale", "direction_scale"}
    assert np.all(np.diff(calibration["log10_energy"]) > 0)


def test_rows_without_a_prediction_do_not_matter():
    decoded, true, direction = toy(np.random.default_rng(7), 3000)
    holes = SimpleNamespace(**{k: np.append(v, v[:9], axis=0) for k, v in vars(decoded).items()})
    holes.log10_energy[-9:] = np.nan
    again = fit_calibration(
        holes, np.append(true, true[:9]), np.append(direction, direction[:9], 0)
    )
    assert again == fit_calibration(decoded, true, direction)


def test_too_few_images_are_refused_with_the_numbers():
    with pytest.raises(TrainingError, match="120 gamma images, 200 are needed"):
        fit_calibration(*toy(np.random.default_rng(8), 120))
