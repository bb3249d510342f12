"""How the losses of the tasks are put together: fixed weights, or weights that adapt."""

import torch
from torch import nn

from ..nn.parallel import n_processes, total

__all__ = ["FixedBalance", "GradNormBalance", "UncertaintyBalance", "make_balance"]

#: batches that set the scale of each loss
N_START = 20
#: limits of the logarithm of a variance
LOG_VARIANCE = 6.0
_LIKELIHOOD_PRIORITY = {"energy": 1.0, "direction": 2.0, "impact": 2.0, "class": 0.5}


class FixedBalance(nn.Module):
    """Sum with constant weights.

    Parameters
    ----------
    weights : dict of str to float
        Weight of each task.
    """

    def __init__(self, weights):
        super().__init__()
        self.weights = dict(weights)

    def forward(self, losses, shared=None):
        """Weighted sum of the losses that are there.

        Parameters
        ----------
        losses : dict of str to Tensor, scalar
        shared : Tensor, optional
            Weights of the last layer that all tasks share; used by `GradNormBalance` only.
        """
        del shared
        return sum(self.weights[task] * loss for task, loss in losses.items())


class StartingScale(nn.Module):
    """Mean of each loss over its first batches, kept in buffers so that a checkpoint has it."""

    def __init__(self, tasks):
        super().__init__()
        self.tasks = list(tasks)
        self.register_buffer("mean", torch.ones(len(self.tasks)))
        self.register_buffer("count", torch.zeros(len(self.tasks)))

    def update(self, losses):
        """Positions of the tasks in ``losses`` that are still in their first batches."""
        fresh = []
        for task, loss in losses.items():
            k = self.tasks.index(task)
            if self.count[k] < N_START:
                total = self.mean[k] * self.count[k] + loss.detach()
                self.count[k] += 1
                self.mean[k] = total / self.count[k]
                fresh.append(k)
        return fresh


class UncertaintyBalance(nn.Module):
    """Homoscedastic uncertainty: ``Σ c exp(-s) L + α s`` with free s for each task.

    In equilibrium a task has the weight ``α / L``, whatever its c. The log-variances s start
    there: they follow the mean loss of the first batches.

    Parameters
    ----------
    weights : dict of str to float
        c of each task.
    priority : dict of str to float
        α; default: as in likelihoods, one per component of a Laplace distribution, ½ for classes.

    References
    ----------
    A. Kendall, Y. Gal, R. Cipolla (2018), arXiv:1705.07115.
    """

    def __init__(self, weights, priority=None):
        super().__init__()
        priority = {**_LIKELIHOOD_PRIORITY, **(priority or {})}
        self.scale = StartingScale(weights)
        self.log_variance = nn.Parameter(torch.zeros(len(weights)))
        self.register_buffer("c", torch.tensor([float(c) for c in weights.values()]))
        self.register_buffer("alpha", torch.tensor([float(priority[task]) for task in weights]))

    def forward(self, losses, shared=None):
        """Balanced sum; a task without a loss adds nothing, so its s stays where it is."""
        del shared
        if self.training:
            self._start(losses)
        total = 0.0
        s = self.log_variance.clamp(-LOG_VARIANCE, LOG_VARIANCE)
        for task, loss in losses.items():
            k = self.scale.tasks.index(task)
            total = total + self.c[k] * torch.exp(-s[k]) * loss + self.alpha[k] * s[k]
        return total

    @torch.no_grad()
    def _start(self, losses):
        """Put fresh tasks to their equilibrium."""
        for k in self.scale.update(losses):
            ratio = self.c[k] * self.scale.mean[k] / self.alpha[k]
            self.log_variance[k] = ratio.log().clamp(-LOG_VARIANCE, LOG_VARIANCE)


class GradNormBalance(nn.Module):
    """Weights that give the tasks gradients of similar size in the last shared layer.

    Parameters
    ----------
    weights : dict of str to float
        Weights at the start.
    strength : float
        Exponent of the relative training rate; 0 asks for equal gradients.

    Notes
    -----
    With w = c K softmax(u), the gradient norm of a weighted loss is w times that of the loss, so
    that second derivatives are not needed and nothing of this term reaches the network.

    References
    ----------
    Z. Chen et al. (2018), arXiv:1711.02257.
    """

    def __init__(self, weights, strength=1.5):
        super().__init__()
        self.strength = strength
        self.scale = StartingScale(weights)
        self.logit = nn.Parameter(torch.zeros(len(weights)))
        self.register_buffer("c", torch.tensor([float(c) for c in weights.values()]))

    def current(self):
        """Weight of each task, shape (n_tasks,)."""
        return self.c * len(self.c) * torch.softmax(self.logit, 0)

    def forward(self, losses, shared=None):
        """Weighted sum plus, in training, the term that moves the weights."""
        weights = self.current()
        index = [self.scale.tasks.index(task) for task in losses]
        values = torch.stack(list(losses.values()))
        total = (weights[index].detach() * values).sum()
        if not self.training or shared is None:
            return total
        if not self.scale.update(losses):
            total = total + self._difference(weights[index], values, shared, index)
        return total

    def _difference(self, weights, values, shared, index):
        """L1 distance of the gradient norms from those asked for."""
        gradients = [torch.autograd.grad(v, shared, retain_graph=True)[0] for v in values]
        norms = torch.stack([(total(g) / n_processes()).norm() for g in gradients])
        rate = values.detach() / self.scale.mean[index]
        weighted = weights * norms
        asked = weighted.mean() * (rate / rate.mean()) ** self.strength
        return (weighted - asked.detach()).abs().sum()


def make_balance(settings, weights):
    """Balance of a recipe.

    Parameters
    ----------
    settings : BalanceSettings
    weights : dict of str to float
        Weight of each task that the network has.
    """
    if settings.method == "uncertainty":
        return UncertaintyBalance(weights, dict(settings.priority))
    if settings.method == "gradnorm":
        return GradNormBalance(weights, settings.strength)
    return FixedBalance(weights)
