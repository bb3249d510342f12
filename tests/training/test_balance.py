"""Weights of the tasks: where they settle, and what must not move them."""

import itertools

import pytest
import torch

from ctapipe_gammalearn.training.balance import (
    N_START,
    FixedBalance,
    GradNormBalance,
    UncertaintyBalance,
    make_balance,
)
from ctapipe_gammalearn.training.settings import BalanceSettings


def constant(**losses):
    """Losses that do not depend on anything."""
    return {task: torch.tensor(value) for task, value in losses.items()}


def follow(optimizer, total, steps):
    """Follow the gradient of what ``total`` returns."""
    for _ in range(steps):
        optimizer.zero_grad()
        total().backward()
        optimizer.step()


def test_fixed_balance_is_a_weighted_sum():
    balance = FixedBalance({"energy": 2.0, "class": 0.5})
    assert balance(constant(energy=3.0, **{"class": 4.0})) == 8
    assert balance(constant(energy=3.0)) == 6


@pytest.mark.parametrize("c, alpha", [*itertools.product((0.5, 2.0), (0.5, 1.0))])
def test_uncertainty_weights_settle_at_priority_over_loss(c, alpha):
    weights, losses = {"energy": c, "class": 1.0}, constant(energy=0.2, **{"class": 0.7})
    balance = UncertaintyBalance(weights, {"energy": alpha, "class": 0.5})
    with torch.no_grad():  # leave the start, so that there is a way to go
        balance.scale.count[:] = N_START
        balance.log_variance += 0.4
    follow(torch.optim.SGD(balance.parameters(), 0.2), lambda: balance(losses), 300)
    found = balance.c * torch.exp(-balance.log_variance)
    expected = torch.tensor([alpha / 0.2, 0.5 / 0.7])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


def test_uncertainty_starts_in_equilibrium():
    balance = UncertaintyBalance({"energy": 2.0}, {"energy": 1.0})
    for loss in (0.1, 0.3):
        balance(constant(energy=loss))
    weight = balance.c * torch.exp(-balance.log_variance.detach())
    assert weight.item() == pytest.approx(1 / 0.2, rel=1e-5)


def test_task_without_a_loss_keeps_its_variance():
    balance = UncertaintyBalance({"energy": 1.0, "class": 1.0})
    losses = constant(energy=0.3, **{"class": 0.6})
    for _ in range(N_START):
        balance(losses)
    balance(constant(**{"class": 0.6})).backward()
    assert balance.log_variance.grad[0] == 0
    assert balance.scale.count[0] == N_START


def two_tasks(shared):
    """Losses whose gradients in ``shared`` differ by a factor 50."""
    return {"energy": 50 * shared.square().mean(), "class": (shared + 0.1).square().mean()}


def test_gradnorm_equalises_the_gradients():
    shared = torch.nn.Parameter(torch.ones(5))
    balance = GradNormBalance({"energy": 1.0, "class": 1.0}, strength=0.0)
    optimizer = torch.optim.Adam(balance.parameters(), 0.02)
    follow(optimizer, lambda: balance(two_tasks(shared), shared), 600)
    norms = [
        weight.item() * torch.autograd.grad(loss, shared)[0].norm().item()
        for weight, loss in zip(balance.current(), two_tasks(shared).values(), strict=True)
    ]
    assert norms[0] == pytest.approx(norms[1], rel=0.02)
    assert balance.current().sum().item() == pytest.approx(2, rel=1e-5)


def test_gradnorm_adds_nothing_to_the_gradient_of_the_network():
    shared = torch.nn.Parameter(torch.ones(5))
    balance = GradNormBalance({"energy": 1.0, "class": 2.0})
    for _ in range(N_START + 1):
        shared.grad = None
        balance(two_tasks(shared), shared).backward()
    expected = sum(
        w.item() * torch.autograd.grad(loss, shared)[0]
        for w, loss in zip(balance.current(), two_tasks(shared).values(), strict=True)
    )
    torch.testing.assert_close(shared.grad, expected)
    assert balance.logit.grad.abs().max() > 0


@pytest.mark.parametrize("method", ["fixed", "uncertainty", "gradnorm"])
def test_state_of_a_balance_survives_a_checkpoint(method):
    settings, weights = BalanceSettings(method=method), {"energy": 1.0, "class": 2.0}
    first, second = make_balance(settings, weights), make_balance(settings, weights)
    shared = torch.nn.Parameter(torch.ones(5))
    for _ in range(3):
        first(two_tasks(shared), shared)
    second.load_state_dict(first.state_dict())
    losses = two_tasks(shared)
    torch.testing.assert_close(first(losses, shared), second(losses, shared))
