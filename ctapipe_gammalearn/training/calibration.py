"""Calibration of energies and uncertainties on images that were not trained on.

The result is the ``calibration`` section of a model card: values at knots of the network's
log10 E, to be interpolated linearly and held constant outside.
"""

from itertools import product

import numpy as np

from ..exceptions import TrainingError
from .metrics import CONTAINMENT, angular_separation

__all__ = ["fit_calibration", "interpolate", "response_bias", "scale_factors"]

#: width of the bins of the response curve in log10 E, if they hold enough images
STEP = 0.1
#: candidates for the steepest inverse of the response
SLOPES = (1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5)


def fit_calibration(decoded, true_log10_energy, true_direction, *, min_images=200):
    """Bias of the energy and scales of the uncertainties.

    Parameters
    ----------
    decoded : ctapipe_gammalearn.inference.likelihood.Decoded
        Predictions of gamma images of the calibration part; outputs that the network does
        not have are None.
    true_log10_energy : ndarray, shape (n,), log10(TeV)
    true_direction : ndarray, shape (n, 2), camera-plane deg
    min_images : int
        Least number of images behind each knot.

    Returns
    -------
    dict of str to list of float
        ``log10_energy``: knots of the uncalibrated log10 E; ``energy_bias``: dex to subtract;
        ``energy_scale``: factor on ``log10_energy_scale`` that makes it the half-width (dex) of
        the 68 % interval of the corrected log10 E; ``direction_scale``: factor on the scale of
        the direction that makes it the radius of the 68 % region. Keys without an output are
        absent.

    Raises
    ------
    TrainingError
        Fewer than ``min_images`` usable images, or a network without energies.
    """
    if decoded.log10_energy is None:
        raise TrainingError("calibration: the network predicts no energy; train it with one")
    reco = np.asarray(decoded.log10_energy, dtype=np.float64)
    true = np.asarray(true_log10_energy, dtype=np.float64)
    known = np.isfinite(reco) & np.isfinite(true)
    if known.sum() < min_images:
        raise TrainingError(
            f"calibration: {known.sum()} gamma images, {min_images} are needed; give more data"
            " or a larger calibration fraction"
        )
    curves = {"energy_bias": response_bias(reco[known], true[known], min_images)}
    if decoded.log10_energy_scale is not None:
        error = np.abs(reco - interpolate(reco, *curves["energy_bias"]) - true)
        curves["energy_scale"] = scale_factors(reco, error, decoded.log10_energy_scale, min_images)
    if decoded.direction is not None and decoded.direction_scale is not None:
        error = angular_separation(decoded.direction, true_direction)
        curves["direction_scale"] = scale_factors(reco, error, decoded.direction_scale, min_images)
    # all curves are linear between their own knots, so the union loses nothing
    knots = np.unique(np.concatenate([x for x, _ in curves.values()]).round(6))
    out = {name: interpolate(knots, *curve) for name, curve in curves.items()}
    return {k: np.round(v, 6).tolist() for k, v in {"log10_energy": knots, **out}.items()}


def interpolate(log10_energy, knots, values):
    """Linear between ``knots``, constant outside; NaN in gives NaN out."""
    return np.interp(log10_energy, knots, values)


def response_bias(log10_energy, true_log10_energy, min_images=200):
    """What to subtract so that the median in bins of *true* energy comes out right.

    The median of log10 E in bins of true energy is the response; its inverse is the
    correction. A median in bins of reconstructed energy would depend on the spectrum of the
    sample. Towards the ends, above all at the threshold, the response is flat, and its
    inverse would blow up the spread; so the slope of the inverse is limited, on both sides to
    the value that makes the mean absolute error smallest for a spectrum flat in log E.

    Parameters
    ----------
    log10_energy, true_log10_energy : ndarray, shape (n,), finite
    min_images : int
        Least number of images behind two neighbouring knots.

    Returns
    -------
    knots, bias : ndarray, shape (n_knots,)
        Knots in reconstructed log10 E, rising; bias in dex.
    """
    order = np.argsort(true_log10_energy, kind="stable")
    reco, true = log10_energy[order], true_log10_energy[order]
    # a median needs fewer images than a quantile far from it
    bins = _bins(true, max(min_images // 4, 1))
    x = np.array([np.median(reco[part]) for part in bins])
    y = np.array([np.median(true[part]) for part in bins])
    counts = np.array([part.stop - part.start for part in bins], dtype=np.float64)
    # bins pooled by the monotone fit share one knot at their mean true energy
    knots, where = np.unique(_rising(x, counts), return_inverse=True)
    weight = np.bincount(where, counts)
    target = np.bincount(where, counts * y) / weight
    flat = _flat_weights(true)
    best = None
    for slopes in product(SLOPES, SLOPES):
        bias = knots - _limited(knots, target, weight, slopes)
        error = np.abs(reco - interpolate(reco, knots, bias) - true)
        size = np.average(error, weights=flat)
        if best is None or size < best[0]:
            best = size, bias
    return knots, best[1]


def _flat_weights(true):
    """Weights of images that make rising ``true`` flat, none above ten times the mean."""
    place = ((true - true[0]) / STEP).astype(int)
    weights = 1 / np.bincount(place)[place]
    return np.minimum(weights, 10 * weights.mean())


def scale_factors(log10_energy, error, scale, min_images=200):
    """Factors on predicted scales that make 68 % regions of them (split conformal).

    Parameters
    ----------
    log10_energy : ndarray, shape (n,)
        Reconstructed energy; the bins are in it.
    error, scale : ndarray, shape (n,), >= 0
        Size of the error, and the scale predicted for it, in one unit.
    min_images : int
        Least number of images in a bin; narrower bins are merged.

    Returns
    -------
    knots, factors : ndarray, shape (n_knots,)
        ``error <= factor * scale`` for 68 % of the images of a bin.

    References
    ----------
    Lei et al., 2018, "Distribution-free predictive inference for regression",
    doi:10.1080/01621459.2017.1307116.
    """
    log10_energy, error = np.asarray(log10_energy), np.asarray(error)
    score = error / np.maximum(scale, 1e-12)
    known = np.isfinite(log10_energy) & np.isfinite(score)
    order = np.flatnonzero(known)[np.argsort(log10_energy[known], kind="stable")]
    energy, score = log10_energy[order].astype(np.float64), score[order].astype(np.float64)
    knots, factors = [], []
    for part in _bins(energy, min_images):
        n = part.stop - part.start
        rank = min(n, int(np.ceil((n + 1) * CONTAINMENT)))
        knots.append(np.median(energy[part]))
        factors.append(np.partition(score[part], rank - 1)[rank - 1])
    knots, first = np.unique(knots, return_index=True)
    return knots, np.array(factors)[first]


def _bins(values, min_images):
    """Slices of rising ``values``: `STEP` wide, or as wide as ``min_images`` need."""
    if len(values) == 0:
        raise TrainingError("calibration: no image with a finite prediction")
    starts, start = [0], 0
    while True:
        end = max(start + min_images, np.searchsorted(values, values[start] + STEP))
        if end + min_images > len(values):
            return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(values)], strict=True)]
        starts.append(end)
        start = end


def _rising(values, weights):
    """Weighted least-squares fit that never falls (pool adjacent violators)."""
    pools = []
    for value, weight in zip(values, weights, strict=True):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            value, weight, n = pools.pop()
            other = pools[-1]
            total = other[1] + weight
            pools[-1] = [(other[0] * other[1] + value * weight) / total, total, other[2] + n]
    return np.concatenate([np.full(n, value) for value, _, n in pools])


def _limited(knots, target, weight, slopes):
    """``target`` with steps of at most ``slopes`` (below, above the middle) times the knots'."""
    middle = int(np.searchsorted(np.cumsum(weight), 0.5 * weight.sum()))
    out, step = target.copy(), np.diff(knots)
    for i in range(middle + 1, len(out)):
        out[i] = min(target[i], out[i - 1] + slopes[1] * step[i - 1])
    for i in range(middle - 1, -1, -1):
        out[i] = max(target[i], out[i + 1] - slopes[0] * step[i])
    return out
