"""Learning rate and average: values at the points that matter."""

import itertools

import pytest

from ctapipe_gammalearn.training.schedule import average_decay, learning_rate_factor


def test_learning_rate_rises_then_falls_to_its_end():
    factors = [learning_rate_factor(step, 2000, 100, 0.01) for step in range(2001)]
    assert factors[0] == pytest.approx(0.01)
    top = max(range(2001), key=factors.__getitem__)
    assert 95 <= top <= 100
    assert factors[top] > 0.99
    assert factors[1000] == pytest.approx(0.505, rel=1e-3)
    assert factors[2000] == pytest.approx(0.01)
    assert all(a >= b for a, b in itertools.pairwise(factors[100:]))


def test_rise_is_short_in_short_runs():
    assert learning_rate_factor(4, 40, 100) > 0.9


@pytest.mark.parametrize("total", [1, 2, 9])
def test_few_steps_have_a_positive_learning_rate(total):
    assert all(learning_rate_factor(step, total) > 0 for step in range(total + 1))


def test_average_forgets_the_random_start_quickly():
    kept = 1.0
    for step in range(100):
        kept *= average_decay(step)
    assert kept < 1e-8
    assert average_decay(10**6) == 0.998
