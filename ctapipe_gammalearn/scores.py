"""Separation of gammas from background by a score such as gammaness (numpy only)."""

import numpy as np

__all__ = ["auc"]


def auc(signal, background, signal_weight=None, background_weight=None):
    """Area under the ROC curve: P(score of a gamma > score of a background image).

    Parameters
    ----------
    signal, background : ndarray, shape (n,) and (m,)
        Scores, such as gammaness; equal scores count one half.
    signal_weight, background_weight : ndarray, optional
        Weights of the images, default 1.

    Returns
    -------
    float
        NaN if one of the two is empty, or has no weight.
    """
    signal, signal_weight = finite_scores(signal, signal_weight)
    background, background_weight = finite_scores(background, background_weight)
    if not signal_weight.sum() or not background_weight.sum():
        return np.nan
    order = np.argsort(background)
    background, sums = background[order], np.append(0, np.cumsum(background_weight[order]))
    below = sums[np.searchsorted(background, signal, "left")]
    not_above = sums[np.searchsorted(background, signal, "right")]
    return float((signal_weight * (below + not_above)).sum() / (2 * signal_weight.sum() * sums[-1]))


def finite_scores(scores, weight=None):
    """Finite scores and their weights (default 1), both float64 of shape (n_finite,)."""
    scores = np.asarray(scores, dtype=np.float64)
    weight = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
    known = np.isfinite(scores)
    return scores[known], weight[known]
