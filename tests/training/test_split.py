"""Division by shower."""

import numpy as np
import pytest

from ctapipe_gammalearn.exceptions import TrainingError
from ctapipe_gammalearn.training.arrays import EVENT_DTYPE
from ctapipe_gammalearn.training.split import CALIBRATION, TRAIN, VALIDATION, parts, shower_keys


def events(n, seed=1, reuse=5):
    """Events of showers that are used several times."""
    rng = np.random.default_rng(seed)
    out = np.zeros(n, EVENT_DTYPE)
    out["obs_id"] = seed
    energy = np.repeat(rng.uniform(0.01, 50, -(-n // reuse)), reuse)[:n]
    out["shower"] = shower_keys(out["obs_id"], energy)
    return out


def test_uses_of_a_shower_never_part():
    part = parts(events(5000)).reshape(-1, 5)
    assert (part == part[:, :1]).all()
    assert set(part.ravel()) == {TRAIN, VALIDATION, CALIBRATION}


def test_parts_do_not_change_when_files_are_added():
    one, other = events(500, 1), events(700, 2)
    both = parts(np.concatenate([other, one]))
    np.testing.assert_array_equal(parts(one), both[700:])
    np.testing.assert_array_equal(parts(one[::-1])[::-1], parts(one))


def test_fractions_are_kept():
    part = parts(events(20000, reuse=1), fractions=(0.5, 0.2, 0.3))
    found = np.bincount(part) / len(part)
    np.testing.assert_allclose(found, [0.5, 0.2, 0.3], rtol=0, atol=4 * np.sqrt(0.25 / 20000))


def test_another_salt_is_an_independent_division():
    one, other = (parts(events(20000, reuse=1), salt, (0.5, 0.5, 0)) for salt in ("a", "b"))
    assert abs(np.mean(one == other) - 0.5) < 4 * 0.5 / np.sqrt(20000)


def test_fraction_of_zero_is_an_empty_part():
    assert (parts(events(1000), fractions=(1, 0, 0)) == TRAIN).all()
    assert len(parts(events(0))) == 0


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.9, 0.2, -0.1), (0.8, 0.1, 0.2)])
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(TrainingError, match="sum 1"):
        parts(events(3), fractions=fractions)


def test_key_needs_run_and_exact_energy():
    energy = np.array([0.1, np.nextafter(0.1, 1), 0.1, 0.1])
    key = shower_keys(np.array([1, 1, 2, 1]), energy)
    assert len(set(key.tolist())) == 3
    assert key[0] == key[3]
    assert key.dtype == np.uint64


def test_keys_are_those_of_earlier_versions():
    """A file written today must find its images in the same part tomorrow."""
    assert shower_keys([401], [1.25]).tolist() == [KEY]
    fixed = np.zeros(1000, EVENT_DTYPE)
    fixed["shower"] = np.arange(1000)
    assert np.bincount(parts(fixed)).tolist() == COUNTS


KEY = 6686344944385776622
COUNTS = [799, 107, 94]
