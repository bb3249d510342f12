"""Likelihood heads against scipy's distributions."""

import numpy as np
import pytest
import torch
from scipy import stats

from ctapipe_gammalearn.nn.likelihood import (
    axis_mixture,
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


def axis_output(side, along, across, log_a=-1.5, log_b=-2.5, c=0.6):
    """Output (1, 7) with a known distance along the axis."""
    before_softplus = np.log(np.expm1(along))
    row = [*side, before_softplus, across, log_a, log_b, c]
    return torch.tensor([row], dtype=torch.float64)


def unit(angle):
    """Unit vector, shape (1, 2)."""
    return torch.tensor([[np.cos(angle), np.sin(angle)]], dtype=torch.float64)


@pytest.mark.parametrize(("side", "sign"), [((3.0, 0.0), 1), ((-3.0, 0.0), -1), ((0.0, 4.0), 1)])
def test_direction_lies_along_the_axis_on_the_side_given(side, sign):
    centroid, psi = torch.tensor([[0.5, -0.2]], dtype=torch.float64), np.deg2rad(30)
    answer = mixture_mode(axis_mixture(axis_output(side, 1.2, 0.1), centroid, unit(psi)))
    along, across = np.array([np.cos(psi), np.sin(psi)]), np.array([-np.sin(psi), np.cos(psi)])
    expected = [0.5, -0.2] + sign * (1.2 * along + 0.1 * across)
    np.testing.assert_allclose(answer, [expected], atol=0.02)


def test_logit_of_the_side_is_the_probability_of_the_solution():
    output = axis_mixture(axis_output((0.8, 0.5), 1.2, 0.0), torch.zeros(1, 2), unit(0.3))
    weight = torch.softmax(output.view(2, 6)[:, 0], 0)[0]
    logit = 0.8 * np.cos(0.3) + 0.5 * np.sin(0.3)
    assert weight.item() == pytest.approx(1 / (1 + np.exp(-logit)))


def test_shape_turns_with_the_axis():
    """Density of either side, at a point given in the frame of the image, by scipy."""
    root = np.array([[np.exp(1.5), 0], [0.6, np.exp(2.5)]])
    shape = np.linalg.inv(root.T @ root)
    mean, point = np.array([1.2, 0.1]), np.array([0.9, 0.15])
    front = 1 / (1 + np.exp(-0.7))
    density = front * stats.multivariate_t.pdf(point, mean, shape, df=3)
    density += (1 - front) * stats.multivariate_t.pdf(point, -mean, shape, df=3)
    for psi in (0.0, 0.4, 1.5, -1.2, 3.0):
        cos, sin = np.cos(psi), np.sin(psi)
        turn = np.array([[cos, -sin], [sin, cos]])
        output = axis_output((0.7 * cos, 0.7 * sin), *mean)
        centroid = torch.tensor([[0.5, -0.2]], dtype=torch.float64)
        target = torch.as_tensor(turn @ point)[None] + centroid
        nll = mixture_nll(axis_mixture(output, centroid, unit(psi)), target)
        np.testing.assert_allclose(nll, [-np.log(density)], rtol=1e-9)


def test_either_end_of_the_axis_may_be_called_the_front():
    output, centroid = axis_output((0.8, -0.5), 1.2, 0.1), torch.zeros(1, 2)
    one, two = (axis_mixture(output, centroid, unit(psi)) for psi in (1.0, 1.0 + np.pi))
    np.testing.assert_allclose(mixture_mode(one), mixture_mode(two), atol=1e-9)
    target = torch.tensor([[0.3, 0.8]], dtype=torch.float64)
    np.testing.assert_allclose(mixture_nll(one, target), mixture_nll(two, target), rtol=1e-12)
