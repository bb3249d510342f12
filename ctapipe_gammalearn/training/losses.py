"""Losses of the tasks; regression is learned on gamma rays only."""

import torch
import torch.nn.functional as F

from ..nn.likelihood import laplace_nll, mixture_nll

__all__ = ["DIRECTION", "ENERGY", "IMPACT", "POSITIVE", "angular", "task_losses"]

# where the smooth L1 loss turns from a parabola into a line: dex, deg, 100 m
BETA = {"energy": 0.05, "direction": 0.05, "impact": 0.05}
#: losses that are never negative, as the adaptive balances need
POSITIVE = ("l1", "smooth_l1", "angular")


def l1(output, target, beta):
    """Mean absolute difference over the components, shape (N,)."""
    del beta
    return (output - target).abs().mean(-1)


def smooth_l1(output, target, beta):
    """Mean over the components of Huber's loss divided by ``beta``, shape (N,).

    References
    ----------
    P. J. Huber (1964), Ann. Math. Statist. 35, 73, doi:10.1214/aoms/1177703732.
    """
    return F.smooth_l1_loss(output, target, beta=beta, reduction="none").mean(-1)


def angular(output, target, beta=None):
    """Angle between two directions on the sphere.

    Parameters
    ----------
    output, target : Tensor, shape (N, 2), deg
        Positions in the camera plane, ``rad2deg(x / f)``.

    Returns
    -------
    Tensor, shape (N,), deg
        With a finite gradient also where both agree.
    """
    del beta
    a, b = (F.pad(torch.deg2rad(v), (0, 1), value=1.0) for v in (output, target))
    cross = torch.linalg.cross(a, b).square().sum(-1)
    return torch.rad2deg(torch.atan2((cross + 1e-16).sqrt(), (a * b).sum(-1)))


def laplace(output, target, beta):
    """Negative log-likelihood of a Laplace distribution, target (N, 1); shape (N,)."""
    del beta
    return laplace_nll(output, target[:, 0])


def mixture(output, target, beta):
    """Negative log-likelihood of a mixture of bivariate Student distributions, shape (N,)."""
    del beta
    return mixture_nll(output, target)


ENERGY = {"laplace": laplace, "l1": l1, "smooth_l1": smooth_l1}
DIRECTION = {
    "mixture": mixture,
    # no cross entropy of the side beside an L1 of the distance: where both solutions are near
    # each other, or the image round, the true side is a coin, and the likelihood knows it
    "axis_sign": mixture,
    "l1": l1,
    "smooth_l1": smooth_l1,
    "angular": angular,
}
IMPACT = {"l1": l1, "smooth_l1": smooth_l1}
_CHOICES = {"energy": ENERGY, "direction": DIRECTION, "impact": IMPACT}
_TARGET = {"energy": "log10_energy", "direction": "direction", "impact": "impact"}


def task_losses(outputs, batch, settings, total=lambda x: x):
    """Loss of each task of a batch.

    Parameters
    ----------
    outputs : dict of str to Tensor
        Raw outputs of the network.
    batch : dict of str to Tensor
        ``log10_energy`` (N,), ``direction`` (N, 2), ``impact`` (N, 2), ``label`` (N,; 0 is a
        gamma ray), ``weight`` (N,). Targets of the background are not looked at: they may be NaN.
    settings : LossSettings
    total : callable, optional
        Sum over processes that hold a part of the batch each, equal numbers of gamma rays.

    Returns
    -------
    dict of str to Tensor, scalar
        Weighted means. A batch without gamma rays has no entry for energy, direction and
        impact: their terms are left out, not zero, so that no weight of theirs moves.
    """
    losses = {}
    gamma = batch["label"] == 0
    weight = batch["weight"][gamma]
    if len(weight):
        for task, choices in _CHOICES.items():
            if task in outputs:
                # choose before the loss: NaN times 0 is NaN
                target = batch[_TARGET[task]][gamma].reshape(len(weight), -1)
                loss = choices[getattr(settings, task)](outputs[task][gamma], target, BETA[task])
                losses[task] = total((weight * loss).sum()) / total(weight.sum())
    if "class" in outputs:
        loss = F.cross_entropy(outputs["class"], batch["label"], reduction="none")
        losses["class"] = total(loss.sum()) / total(torch.ones_like(loss).sum())
    return losses
