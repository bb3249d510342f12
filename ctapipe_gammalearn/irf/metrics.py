"""Figures of merit in bins of energy: columns in, table (dict of columns) out.

Energies in TeV, angles in deg, areas in m2.  Functions are given the events that count: rows
without a reconstruction are left out before, or, if NaN, fall out of every bin.  Bins contain
their lower edge.  Tables are NaN where a bin is empty, and ``n`` says how many events it has.
"""

import numpy as np
from scipy.special import ndtr

from ..scores import finite_scores
from .samples import solid_angle

__all__ = [
    "angular_resolution",
    "background_at_efficiency",
    "background_rate",
    "bin_numbers",
    "effective_area",
    "effective_number",
    "energy_resolution",
    "means_by_bin",
    "migration_matrix",
    "purity_completeness",
    "quantiles_by_bin",
    "roc",
]

#: parts of a normal distribution within one standard deviation, and below -1 and +1 of them
ONE_SIGMA = float(ndtr(1) - ndtr(-1))
LOWER, UPPER = float(ndtr(-1)), float(ndtr(1))
#: containment radii; 39 % are one standard deviation of a two-dimensional normal distribution
CONTAINMENT = {
    "theta39": float(-np.expm1(-0.5)),
    "theta50": 0.5,
    "theta68": ONE_SIGMA,
    "theta80": 0.8,
    "theta95": 0.95,
}
SR_PER_DEG2 = np.deg2rad(1) ** 2


def bin_numbers(values, edges):
    """Bin of each value.

    Parameters
    ----------
    values : ndarray, shape (n,)
    edges : ndarray, shape (n_bins + 1,), same unit, rising

    Returns
    -------
    ndarray, shape (n,), int64
        -1 outside of all bins, and of NaN.
    """
    values, edges = np.asarray(values, dtype=np.float64), np.asarray(edges, dtype=np.float64)
    inside = (values >= edges[0]) & (values < edges[-1])
    return np.where(inside, np.searchsorted(edges, values, "right") - 1, -1)


def quantiles_by_bin(values, place, n_bins, quantiles):
    """Quantiles of the values in each bin, interpolated as `numpy.quantile` does.

    Parameters
    ----------
    values : ndarray, shape (n,)
        NaN is left out.
    place : ndarray, shape (n,), int
        Bin of each, -1 for none: see `bin_numbers`.
    n_bins : int
    quantiles : sequence of float, shape (n_quantiles,)

    Returns
    -------
    ndarray, shape (n_bins, n_quantiles)
        NaN in empty bins.
    """
    out = np.full((n_bins, len(quantiles)), np.nan)
    for i, inside in _groups(values, place, n_bins):
        out[i] = np.quantile(inside, quantiles)
    return out


def means_by_bin(values, place, n_bins):
    """Mean of the values in each bin.

    Parameters
    ----------
    values : ndarray, shape (n,)
    place : ndarray, shape (n,), int

    Returns
    -------
    ndarray, shape (n_bins,)
        NaN in empty bins.
    """
    n = _counts(place, n_bins)
    total = _sums(values, place, n_bins)
    return np.divide(total, n, out=np.full(n_bins, np.nan), where=n > 0)


def effective_number(weight, place, n_bins):
    """Number of equally weighted events that fluctuate as much: (sum w)² / sum w².

    Parameters
    ----------
    weight : ndarray, shape (n,)
    place : ndarray, shape (n,), int

    Returns
    -------
    ndarray, shape (n_bins,)
        0 in empty bins.
    """
    total, squares = (_sums(w, place, n_bins) for w in (weight, np.square(weight)))
    return np.divide(total**2, squares, out=np.zeros(n_bins), where=squares > 0)


def angular_resolution(theta, energy, edges):
    """Radii that contain a part of the gammas.

    Parameters
    ----------
    theta : ndarray, shape (n,), deg
        From the true to the reconstructed direction.
    energy : ndarray, shape (n,), TeV
        True or reconstructed.
    edges : ndarray, shape (n_bins + 1,), TeV

    Returns
    -------
    dict of str to ndarray, shape (n_bins,)
        ``n`` and, in deg, ``theta68`` (68.27 %, as pyirf), ``theta39``, ``theta50``,
        ``theta80``, ``theta95``.
    """
    n_bins = len(edges) - 1
    place = np.where(np.isfinite(theta), bin_numbers(energy, edges), -1)
    radii = quantiles_by_bin(theta, place, n_bins, list(CONTAINMENT.values()))
    return {"n": _counts(place, n_bins), **dict(zip(CONTAINMENT, radii.T, strict=True))}


def energy_resolution(energy, true_energy, edges, by="true"):
    """Bias and resolution of E / E_true - 1.

    Parameters
    ----------
    energy, true_energy : ndarray, shape (n,), TeV
    edges : ndarray, shape (n_bins + 1,), TeV
    by : str
        Whether bins are in ``"true"`` or ``"reco"`` energy.

    Returns
    -------
    dict of str to ndarray, shape (n_bins,)
        ``n``; ``bias`` (median) and ``bias_mean``; ``resolution``, half of the width between
        the quantiles of -1 and +1 standard deviation (as pyirf); ``resolution_abs``, 68.27 %
        quantile of abs(E / E_true - 1), bias included; ``resolution_centred``, the same about
        the median.
    """
    n_bins = len(edges) - 1
    error = np.divide(energy, true_energy) - 1
    place = bin_numbers({"true": true_energy, "reco": energy}[by], edges)
    place = np.where(np.isfinite(error), place, -1)
    low, bias, high = quantiles_by_bin(error, place, n_bins, [LOWER, 0.5, UPPER]).T
    about_median = np.abs(error - bias[place])
    return {
        "n": _counts(place, n_bins),
        "bias": bias,
        "bias_mean": means_by_bin(error, place, n_bins),
        "resolution": (high - low) / 2,
        "resolution_abs": quantiles_by_bin(np.abs(error), place, n_bins, [ONE_SIGMA])[:, 0],
        "resolution_centred": quantiles_by_bin(about_median, place, n_bins, [ONE_SIGMA])[:, 0],
    }


def effective_area(true_energy, thrown, edges):
    """Area that collects the selected gammas: selected / thrown times the area thrown on.

    Parameters
    ----------
    true_energy : ndarray, shape (n,), TeV
        Of the events that pass.
    thrown : samples.Thrown
    edges : ndarray, shape (n_bins + 1,), TeV

    Returns
    -------
    dict of str to ndarray, shape (n_bins,)
        ``n``; ``area`` (m2), with the thrown showers of the covered part of a bin, and 0 where
        nothing was thrown; ``covered``, bool, whether the simulation covers the bin entirely.
    """
    edges = np.asarray(edges, dtype=np.float64)
    n_bins = len(edges) - 1
    n = _counts(bin_numbers(true_energy, edges), n_bins)
    showers = thrown.showers_in(edges)
    area = thrown.area * np.divide(n, showers, out=np.zeros(n_bins), where=showers > 0)
    # edges of the bins are often meant to be those of the simulation, up to rounding
    covered = edges[:-1] >= thrown.energy_min * (1 - 1e-9)
    covered &= edges[1:] <= thrown.energy_max * (1 + 1e-9)
    return {"n": n, "area": area, "covered": covered}


def background_rate(energy, offset, weight, edges, offset_edges, obs_time_h):
    """Background after cuts by reconstructed energy and offset from the pointing.

    Parameters
    ----------
    energy, offset : ndarray, shape (n,), TeV and deg
        Reconstructed.
    weight : ndarray, shape (n,)
        Expected events in ``obs_time_h`` for each.
    edges : ndarray, shape (n_bins + 1,), TeV
    offset_edges : ndarray, shape (n_rings + 1,), deg
    obs_time_h : float, h

    Returns
    -------
    dict of str to ndarray, shape (n_bins, n_rings)
        ``n``, ``n_eff``; ``rate`` in 1 / (TeV s sr), the BKG_2D of the data formats for
        gamma-ray astronomy; ``rate_per_deg2`` of the whole energy bin in 1 / (s deg2).
    """
    n_bins, n_rings = len(edges) - 1, len(offset_edges) - 1
    row, ring = bin_numbers(energy, edges), bin_numbers(offset, offset_edges)
    place = np.where((row >= 0) & (ring >= 0), row * n_rings + ring, -1)
    size, shape = n_bins * n_rings, (n_bins, n_rings)
    rings = solid_angle(offset_edges[:-1], offset_edges[1:])
    per_sr = _sums(weight, place, size).reshape(shape) / (obs_time_h * 3600 * rings)
    return {
        "n": _counts(place, size).reshape(shape),
        "n_eff": effective_number(weight, place, size).reshape(shape),
        "rate": per_sr / np.diff(edges)[:, None],
        "rate_per_deg2": per_sr * SR_PER_DEG2,
    }


def roc(signal, background, signal_weight=None, background_weight=None):
    """Parts of gammas and background that pass each possible cut on a score.

    Parameters
    ----------
    signal, background : ndarray, shape (n,) and (m,)
        Scores; NaN is left out.
    signal_weight, background_weight : ndarray, optional
        Default 1.

    Returns
    -------
    dict of str to ndarray, shape (n_distinct + 1,)
        ``cut`` falling from infinity: pass those at or above; ``efficiency`` of gammas and
        ``acceptance`` of background, rising from 0 to 1, NaN of a class without weight.
        Straight lines between the points make events of equal scores count one half.
    """
    signal, signal_weight = finite_scores(signal, signal_weight)
    background, background_weight = finite_scores(background, background_weight)
    distinct, number = np.unique(np.concatenate([signal, background]), return_inverse=True)
    curve = {"cut": np.append(np.inf, distinct[::-1])}
    parts = np.split(number, [len(signal)])
    weights = signal_weight, background_weight
    for name, part, weight in zip(("efficiency", "acceptance"), parts, weights, strict=True):
        sums = np.cumsum(_sums(weight, part, len(distinct))[::-1])
        total = sums[-1] if len(sums) and sums[-1] > 0 else np.nan
        curve[name] = np.append(0, sums) / total
    return curve


def background_at_efficiency(curve, efficiency):
    """Part of the background above the cuts that keep given parts of the gammas.

    Parameters
    ----------
    curve : dict
        From `roc`.
    efficiency : float or ndarray, in [0, 1]

    Returns
    -------
    float or ndarray
        NaN if gammas or background were empty.
    """
    # the curve is vertical where only background passes: take the tightest of these cuts
    below = np.nextafter(efficiency, 0)
    return np.interp(below, curve["efficiency"], curve["acceptance"])


def purity_completeness(curve, n_signal, n_background):
    """Purity and completeness of the gammas for each cut of a `roc` curve.

    Parameters
    ----------
    curve : dict
        From `roc`.
    n_signal, n_background : float
        Expected before the cut, such as of the Crab nebula and of background within the circle
        around it: the purity is a statement about their ratio.

    Returns
    -------
    dict of str to ndarray
        ``cut``, ``completeness``, ``purity`` (NaN where nothing passes).
    """
    kept, left = n_signal * curve["efficiency"], n_background * curve["acceptance"]
    whole = kept + left
    purity = np.divide(kept, whole, out=np.full(len(kept), np.nan), where=whole > 0)
    return {"cut": curve["cut"], "completeness": curve["efficiency"], "purity": purity}


def migration_matrix(energy, true_energy, edges, true_edges):
    """Probability of the reconstructed energy, given the true one.

    Parameters
    ----------
    energy, true_energy : ndarray, shape (n,), TeV
    edges, true_edges : ndarray, shape (n_bins + 1,) and (n_true + 1,), TeV

    Returns
    -------
    dict of str to ndarray
        ``n``, shape (n_true,), events with that true energy; ``probability``, shape
        (n_true, n_bins): sums to the part of them within ``edges``, 0 without events.
    """
    n_bins, n_true = len(edges) - 1, len(true_edges) - 1
    row, column = bin_numbers(true_energy, true_edges), bin_numbers(energy, edges)
    place = np.where((row >= 0) & (column >= 0), row * n_bins + column, -1)
    n = _counts(row, n_true)
    matrix = _counts(place, n_true * n_bins).reshape(n_true, n_bins)
    return {"n": n, "probability": matrix / np.maximum(n, 1)[:, None]}


def _groups(values, place, n_bins):
    """Number and values of each bin that has any."""
    known = (place >= 0) & np.isfinite(values)
    values, place = np.asarray(values, dtype=np.float64)[known], place[known]
    order = np.argsort(place, kind="stable")
    ends = np.cumsum(np.bincount(place, minlength=n_bins))
    for i, inside in enumerate(np.split(values[order], ends[:-1])):
        if len(inside):
            yield i, inside


def _counts(place, n_bins):
    """Events in each bin, shape (n_bins,), int."""
    return np.bincount(place[place >= 0], minlength=n_bins)


def _sums(weight, place, n_bins):
    """Sum of weights in each bin, shape (n_bins,), to the last bit in any order of rows."""
    known = place >= 0
    weight, place = np.asarray(weight, dtype=np.float64)[known], place[known]
    order = np.argsort(weight)
    return np.bincount(place[order], weight[order], n_bins)
