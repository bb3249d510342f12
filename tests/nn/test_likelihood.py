"""Likelihood heads against scipy's distributions."""

import numpy as np
import pytest
import torch
from scipy import stats

from ctapipe_gammalearn.nn.likelihood import (
    laplace_nll,
    mixture_mode,
    mixture_nll,
    mixture_scale,
    rotate_mixture,
    shift_mixture,
)


def modes(*rows):
    """Output (1, 6 K) of a mixture in double precision."""
    return torch.tensor(rows, dtype=torch.float64).reshape(1, -1)


def test_laplace_is_that_of_scipy():
    output = torch.tensor([[-0.5, -1.0], [1.2, 0.3]], dtype=torch.float64)
    target = torch.tensor([-0.7, 2.0], dtype=torch.float64)
    expected = -stats.laplace.logpdf(target, output[:, 0], output[:, 1].exp()) - np.log(2)
    np.testing.assert_allclose(laplace_nll(output, target), expected, rtol=1e-12)


def test_mixture_is_that_of_scipy():
    output = modes([0.3, 1.0, -0.5, -1.0, -0.4, 0.7], [-0.2, -1.5, 0.2, 0.1, -2.0, -1.1])
    target = np.array([[0.2, 0.1]])
    weight = torch.softmax(output.view(2, 6)[:, 0], 0).numpy()
    density = 0
    for w, (_, x, y, log_x, log_y, c) in zip(weight, output.view(2, 6).numpy(), strict=True):
        root = np.array([[np.exp(-log_x), 0], [c, np.exp(-log_y)]])
        shape = np.linalg.inv(root.T @ root)
        density += w * stats.multivariate_t.pdf(target[0], [x, y], shape, df=3)
    nll = mixture_nll(output, torch.as_tensor(target))
    np.testing.assert_allclose(nll, [-np.log(density)], rtol=1e-10)


def test_the_answer_is_the_heavier_of_two_solutions_not_their_mean():
    output = modes([1.0, 1.5, 0.0, -2, -2, 0], [0.0, -1.5, 0.0, -2, -2, 0])
    np.testing.assert_allclose(mixture_mode(output), [[1.5, 0.0]], atol=0.02)


def test_two_near_modes_together_beat_a_heavier_one():
    near = [[0.0, 1.0, 0.02, -2, -2, 0], [0.0, 1.0, -0.02, -2, -2, 0]]
    output = modes(*near, [0.5, -1.0, 0.0, -2, -2, 0])
    np.testing.assert_allclose(mixture_mode(output), [[1.0, 0.0]], atol=0.02)


def test_a_second_solution_counts_as_uncertainty():
    one = modes([0.0, 1.0, 0.0, -2, -2, 0], [-20.0, -1.0, 0.0, -2, -2, 0])
    two = modes([0.0, 1.0, 0.0, -2, -2, 0], [-0.5, -1.0, 0.0, -2, -2, 0])
    assert mixture_scale(two) > 3 * mixture_scale(one)


@pytest.mark.parametrize("size", [2, 12])
def test_shift_and_rotation_move_the_answer(size):
    rng = np.random.default_rng(4)
    output = torch.as_tensor(rng.normal(0, 1, (5, size)))
    answer = (lambda out: out) if size == 2 else mixture_mode
    offset = torch.as_tensor(rng.normal(0, 1, (5, 2)))
    np.testing.assert_allclose(
        answer(shift_mixture(output, offset)), answer(output) + offset, atol=1e-9
    )
    cos, sin = np.cos(0.4), np.sin(0.4)
    turned = answer(output).numpy() @ np.array([[cos, sin], [-sin, cos]])
    np.testing.assert_allclose(answer(rotate_mixture(output, cos, sin)), turned, atol=1e-9)
