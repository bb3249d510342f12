"""Network input from odd images, physical quantities from raw outputs."""

import numpy as np
import pytest
import torch

from ctapipe_gammalearn.inference.channels import network_input
from ctapipe_gammalearn.inference.likelihood import decode
from ctapipe_gammalearn.inference.targets import physical

TASKS = {
    "energy": {"transform": "log10", "unit": "TeV"},
    "impact": {"frame": "ground", "unit": "km"},
    "direction": {"frame": "telescope", "unit": "deg"},
    "class": {"ids": [1, 0], "signal": 1},
}


def raw(**changes):
    """Raw outputs of two images."""
    values = {
        "energy": [[-1.0], [0.5]],
        "impact": [[0.1, -0.2], [0.0, 0.3]],
        "direction": [[0.5, 0.6], [0.0, -1.0]],
        "class": [[0.0, 0.0], [-1.0, 3.0]],
    }
    return decode(
        {k: torch.tensor(v, dtype=torch.float64) for k, v in {**values, **changes}.items()}
    )


def test_input_has_model_order_and_missing_values_filled():
    image = np.array([[1.0, np.nan, 3.0, *range(20)]])
    time = np.array([[np.nan, 5.0, 6.0, *range(20)]])
    order = np.array([2, 1, 0, *range(3, 23)])
    x, usable = network_input(image, time, order=order, nan_image=0.0, nan_time=-20.0)
    assert x.dtype == np.float32
    assert usable.all()
    np.testing.assert_array_equal(x[0, :, :3], [[3.0, 0.0, 1.0], [6.0, 5.0, -20.0]])


def test_charge_only_input_has_one_channel():
    x, _ = network_input(np.ones((2, 5)))
    assert x.shape == (2, 1, 5)


@pytest.mark.parametrize(("n_bad", "expected"), [(0, True), (2, True), (3, False), (20, False)])
def test_image_with_more_than_a_tenth_bad_pixels_is_not_used(n_bad, expected):
    image = np.ones((1, 20))
    image[0, :n_bad] = [np.nan, np.inf, -np.inf, *[np.nan] * 17][:n_bad]
    x, usable = network_input(image, np.ones((1, 20)))
    assert usable[0] == expected
    assert np.isfinite(x).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4"])
def test_input_is_that_of_exact_arithmetic_for_any_type(dtype):
    """Value by value, in Python's own numbers; large ones are limited before they overflow."""
    values = [0.1, -7.3, 1e6 + 1, -3e8, 0.0, 65504.0, 1e300, np.nan, np.inf, -np.inf]
    if dtype == "i4":
        values = [0, -7, 1_000_001, -300_000_000, 5]
    with np.errstate(over="ignore"):
        values = np.resize(values, 200).astype(dtype)[None]
    order = np.random.default_rng(1).permutation(200)
    x, _ = network_input(values, values, order=order, nan_image=-3.3, nan_time=7.7)
    for channel, missing in zip(x[0], (-3.3, 7.7), strict=True):
        good = [v if abs(v) < np.inf else missing for v in values[0].tolist()]
        limited = [min(max(v, -1e6), 1e6) for v in good]
        np.testing.assert_array_equal(channel, np.float32(limited)[order])


def test_image_without_any_time_is_not_used():
    times = np.full((2, 20), np.nan)
    times[1, 3] = 7.0
    _, usable = network_input(np.ones((2, 20)), times)
    np.testing.assert_array_equal(usable, [False, True])


def test_huge_values_are_cut_off():
    x, usable = network_input(np.full((1, 4), 3e38), np.full((1, 4), -1e30))
    assert usable.all()
    np.testing.assert_array_equal(np.abs(x), 1e6)


def test_physical_quantities():
    result = physical(raw(), np.array([True, True]), TASKS)
    np.testing.assert_allclose(result.energy, [0.1, 10**0.5], rtol=1e-12)
    np.testing.assert_allclose(result.impact, [[100, -200], [0, 300]], rtol=1e-12)
    np.testing.assert_allclose(result.gammaness, [0.5, 1 / (1 + np.exp(-4))], rtol=1e-12)
    np.testing.assert_allclose(result.class_probability.sum(1), 1, rtol=1e-12)
    assert result.is_valid.all()


@pytest.mark.parametrize(
    "changes",
    [
        {"energy": [[4.1], [0.5]]},
        {"energy": [[-4.1], [0.5]]},
        {"energy": [[np.nan], [0.5]]},
        {"direction": [[np.inf, 0.0], [0.0, -1.0]]},
        {"class": [[np.nan, 0.0], [-1.0, 3.0]]},
    ],
)
def test_one_bad_output_makes_all_of_the_row_invalid_and_no_other(changes):
    result = physical(raw(**changes), np.array([True, True]), TASKS)
    np.testing.assert_array_equal(result.is_valid, [False, True])
    for name in ("energy", "direction", "impact", "gammaness", "class_probability"):
        values = getattr(result, name)
        assert np.isnan(values[0]).all(), name
        assert np.isfinite(values[1]).all(), name


def test_unusable_image_has_no_prediction():
    result = physical(raw(), np.array([True, False]), TASKS)
    assert np.isnan(result.energy[1])
    assert not result.is_valid[1]


def test_missing_tasks_are_none():
    result = physical(decode({"energy": torch.zeros(3, 1)}), np.ones(3, bool), TASKS)
    assert result.direction is result.gammaness is result.impact is None
    assert len(result) == 3
