"""Losses against formulas written independently, and what the background must not do."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from ctapipe_gammalearn.training import metrics
from ctapipe_gammalearn.training.losses import DIRECTION, ENERGY, IMPACT, task_losses
from ctapipe_gammalearn.training.settings import LossSettings

N = 7


@pytest.fixture
def batch():
    """Three gammas, four background images without truth."""
    generator = torch.Generator().manual_seed(1)
    label = torch.tensor([0, 1, 0, 1, 1, 0, 1])
    values = {
        "log10_energy": torch.randn(N, generator=generator),
        "direction": torch.randn(N, 2, generator=generator),
        "impact": torch.randn(N, 2, generator=generator),
    }
    for value in values.values():
        value[label == 1] = math.nan
    return {**values, "label": label, "weight": torch.tensor([1.0, 9, 2, 9, 9, 3, 9])}


@pytest.fixture
def outputs():
    """Raw outputs that require gradients."""
    generator = torch.Generator().manual_seed(2)
    sizes = {"energy": 2, "direction": 12, "impact": 2, "class": 2}
    return {
        task: torch.randn(N, n, generator=generator).requires_grad_() for task, n in sizes.items()
    }


def test_angle_is_that_on_the_sphere():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 5, (2, 50, 2))
    found = DIRECTION["angular"](torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(found, metrics.angular_separation(a, b), rtol=1e-6)


def test_angle_has_a_finite_gradient_at_the_solution():
    position = torch.tensor([[1.0, -2.0]], requires_grad=True)
    DIRECTION["angular"](position, position.detach().clone()).sum().backward()
    assert torch.isfinite(position.grad).all()


def test_absolute_and_smooth_losses_by_hand():
    output, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.98, 2.5]])
    assert IMPACT["l1"](output, target, 0.05).item() == pytest.approx(0.26, rel=1e-5)
    # 0.5 d² / β below β, d - β / 2 above
    expected = (0.5 * 0.02**2 / 0.05 + 0.5 - 0.025) / 2
    assert IMPACT["smooth_l1"](output, target, 0.05).item() == pytest.approx(expected, rel=1e-4)


def test_energy_likelihood_is_that_of_a_laplace_distribution():
    rng = np.random.default_rng(3)
    location, log_scale, target = rng.normal(0, 1, (3, 20))
    output = torch.tensor(np.stack([location, log_scale], 1))
    expected = -stats.laplace.logpdf(target, location, np.exp(log_scale)) - np.log(2)
    np.testing.assert_allclose(
        ENERGY["laplace"](output, torch.tensor(target[:, None]), 0), expected
    )


def test_direction_likelihood_is_that_of_student_modes():
    rng = np.random.default_rng(4)
    target, logit = rng.normal(0, 1, 2), np.array([0.3, -0.7])
    centre, log_scale, corner = rng.normal(0, 0.5, (3, 2, 2))
    density = 0
    for k in range(2):
        inverse = np.array(
            [[np.exp(-log_scale[k, 0]), 0], [corner[k, 0], np.exp(-log_scale[k, 1])]]
        )
        shape = np.linalg.inv(inverse.T @ inverse)
        weight = np.exp(logit[k]) / np.exp(logit).sum()
        density += weight * stats.multivariate_t(centre[k], shape, df=3).pdf(target)
    modes = np.column_stack([logit, centre, log_scale, corner[:, :1]])
    found = DIRECTION["mixture"](torch.tensor(modes.reshape(1, -1)), torch.tensor(target[None]), 0)
    np.testing.assert_allclose(found, -np.log(density), rtol=1e-9)


def test_regressions_are_weighted_means_over_gammas(batch, outputs):
    found = task_losses(outputs, batch, LossSettings())
    gamma, weight = [0, 2, 5], np.array([1.0, 2, 3])
    difference = (outputs["impact"] - batch["impact"]).detach().numpy()[gamma]
    expected = (weight * np.abs(difference).mean(1)).sum() / 6
    assert found["impact"].item() == pytest.approx(expected, rel=1e-5)
    logit = outputs["class"].detach().double().numpy()
    chosen = logit[np.arange(N), batch["label"]]
    expected = (np.log(np.exp(logit).sum(1)) - chosen).mean()
    assert found["class"].item() == pytest.approx(expected, rel=1e-5)


def test_missing_truth_of_the_background_reaches_no_gradient(batch, outputs):
    sum(task_losses(outputs, batch, LossSettings()).values()).backward()
    for task in ("energy", "direction", "impact"):
        gradient = outputs[task].grad
        assert torch.isfinite(gradient).all()
        assert gradient[batch["label"] == 1].abs().max() == 0
        assert gradient[batch["label"] == 0].abs().min() > 0


def test_batch_without_gammas_has_no_regression_terms(batch, outputs):
    batch["label"][:] = 1
    found = task_losses(outputs, batch, LossSettings())
    assert list(found) == ["class"]
