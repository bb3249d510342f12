"""Learning rate and average of the weights as functions of the step."""

import math

__all__ = ["average_decay", "learning_rate_factor"]


def learning_rate_factor(step, total, warmup=100, final=0.01):
    """Factor on the learning rate: a linear rise, then half a cosine down to ``final``.

    Parameters
    ----------
    step : int
        Steps done so far.
    total : int
        Steps of the whole training.
    warmup : int
        Steps of the rise, at most a tenth of all.
    final : float
        Factor at the end.

    References
    ----------
    I. Loshchilov, F. Hutter (2017), arXiv:1608.03983.
    """
    rise = min(warmup, total // 10)
    progress = min(1.0, step / max(1, total))
    cosine = final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
    return min(1.0, (step + 1) / max(1, rise)) * cosine


def average_decay(step, limit=0.998):
    """Decay of the running average of the weights: short at first, so that short runs work.

    Parameters
    ----------
    step : int
        Steps averaged so far.
    limit : float
        Decay after many steps.
    """
    return min(limit, (1 + step) / (10 + step))
