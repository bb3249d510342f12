"""Uncertainties by a paired bootstrap of whole showers.

Each replica counts every shower 0, 1, 2, ... times, drawn from a Poisson distribution of mean 1.
The number is a hash of shower, replica and seed: all reconstructors, metrics and energy bins see
the same one, in whatever order the events come and however many threads count.  Differences of
two reconstructors then have the uncertainty of a paired test, and uses of one shower are no
independent measurements.

A metric is prepared once as a `Plan`: its events in the order in which the replicas go through
them, so that a replica costs one pass.  Results are tables of shape (1 + n_replicas, ...): the
data first, then the replicas.

References
----------
Efron & Tibshirani 1993, "An Introduction to the Bootstrap", ISBN 978-0412042317.
Steele, Lea & Flood 2014, https://doi.org/10.1145/2660193.2660195 (the hash, SplitMix64).
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numba import njit

from ..exceptions import IRFError

__all__ = [
    "Plan",
    "auc_plan",
    "bootstrap",
    "count_plan",
    "interval",
    "poisson_numbers",
    "quantile_plan",
    "standard_error",
]

COMPILED = dict(cache=True, nogil=True)
# odd numbers that carry shower and replica to distant places of the hash
PER_SHOWER, PER_REPLICA = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)
#: upper 32 bits of the hash up to which a shower counts 0, 1, 2, ... times; 12 has 2e-10 above
POISSON_LIMITS = np.array(
    [2**32 * sum(math.exp(-1) / math.factorial(j) for j in range(k + 1)) for k in range(12)]
).astype(np.uint64)


@dataclass(frozen=True, eq=False)
class Plan:
    """Events of one metric, in the order in which replicas go through them.

    Attributes
    ----------
    cluster : ndarray, shape (n,), uint64
        Shower of each event.
    kernel : callable
        Of (times (n_showers,) uint8, shower (n,) uint32, then the arguments) to the values.
    arguments : tuple of ndarray
    """

    cluster: np.ndarray
    kernel: Callable
    arguments: tuple


def quantile_plan(cluster, place, values, n_bins, quantiles):
    """Quantiles in bins, such as θ68 or the energy resolution.

    Parameters
    ----------
    cluster : ndarray, shape (n,), uint64
    place : ndarray, shape (n,), int
        Bin of each event, -1 for none: see `metrics.bin_numbers`.
    values : ndarray, shape (n,)
        NaN is left out.
    n_bins : int
    quantiles : sequence of float, shape (n_quantiles,), rising

    Returns
    -------
    Plan
        Of values (n_bins, n_quantiles), those of `numpy.quantile` if each event were repeated
        as often as its shower; NaN in empty bins.
    """
    quantiles = np.asarray(quantiles, dtype=np.float64)
    if quantiles.ndim != 1 or (np.diff(quantiles) < 0).any() or not _are_parts(quantiles):
        raise IRFError(f"quantiles {quantiles}: give numbers in [0, 1], in rising order")
    values = np.asarray(values, dtype=np.float64)
    rows = np.flatnonzero((place >= 0) & np.isfinite(values))
    rows = rows[np.lexsort((values[rows], place[rows]))]
    starts = _starts(place[rows], n_bins)
    return Plan(cluster[rows], _quantiles, (starts, values[rows], quantiles))


def auc_plan(cluster, place, score, is_gamma, weight, n_bins):
    """Areas under the ROC curve in bins, equal scores counting one half.

    Parameters
    ----------
    cluster : ndarray, shape (n,), uint64
    place : ndarray, shape (n,), int
        Bin of each event, -1 for none.
    score : ndarray, shape (n,)
        NaN is left out.
    is_gamma : ndarray, shape (n,), bool
    weight : ndarray, shape (n,)
    n_bins : int

    Returns
    -------
    Plan
        Of values (n_bins,); NaN without gammas or without background.
    """
    score = np.asarray(score, dtype=np.float64)
    is_gamma, weight = np.asarray(is_gamma, dtype=bool), np.asarray(weight, dtype=np.float64)
    rows = np.flatnonzero((place >= 0) & np.isfinite(score))
    # down to the last key, so that sums are the same in any order of rows
    keys = (cluster, weight, is_gamma, score, place)
    rows = rows[np.lexsort([key[rows] for key in keys])]
    starts = _starts(place[rows], n_bins)
    return Plan(cluster[rows], _areas, (starts, score[rows], is_gamma[rows], weight[rows]))


def count_plan(cluster, place, weight, n_bins):
    """Sums of weights in bins, such as selected gammas or background.

    Parameters
    ----------
    cluster : ndarray, shape (n,), uint64
    place : ndarray, shape (n,), int
        Bin of each event, -1 for none.
    weight : ndarray, shape (n,) or ()
    n_bins : int

    Returns
    -------
    Plan
        Of values (n_bins,); 0 in empty bins.
    """
    weight = np.broadcast_to(np.asarray(weight, dtype=np.float64), np.shape(place))
    rows = np.flatnonzero(place >= 0)
    rows = rows[np.lexsort([key[rows] for key in (weight, cluster, place)])]
    return Plan(cluster[rows], _sums, (_starts(place[rows], n_bins), weight[rows]))


def bootstrap(plans, n_replicas=200, seed=1, n_threads=1, progress=None):
    """Metrics of the data and of replicas of it.

    Parameters
    ----------
    plans : dict of str to Plan
        All metrics of all reconstructors whose differences or ratios are of interest.
    n_replicas : int
    seed : int
    n_threads : int
        Changes the time it takes, and not one bit of the result.
    progress : callable, optional
        Called after the data and after each replica.

    Returns
    -------
    dict of str to ndarray, shape (1 + n_replicas, ...)
        Of each plan: values of the data, then of the replicas.
    """
    if not plans:
        return {}
    # one by one: all clusters at once would be the largest array of all
    showers = reduce(np.union1d, (p.cluster for p in plans.values()), np.zeros(0, np.uint64))
    work = [
        (p.kernel, np.searchsorted(showers, p.cluster).astype(np.uint32), p.arguments)
        for p in plans.values()
    ]

    def values(row):
        """Of all plans, for the data (0) or a replica."""
        times = np.ones(len(showers), dtype=np.uint8)
        if row:
            times = poisson_numbers(showers, row - 1, seed)
        return [kernel(times, shower, *arguments) for kernel, shower, arguments in work]

    with ThreadPoolExecutor(n_threads) as pool:
        rows = []
        for row in pool.map(values, range(1 + n_replicas)):
            rows.append(row)
            if progress is not None:
                progress()
    return {name: np.stack([row[i] for row in rows]) for i, name in enumerate(plans)}


@njit(**COMPILED)
def poisson_numbers(cluster, replica, seed):
    """How often each shower counts in a replica.

    Parameters
    ----------
    cluster : ndarray, shape (n,), uint64
    replica, seed : int

    Returns
    -------
    ndarray, shape (n,), uint8
        Poisson numbers of mean 1; those of a shower depend on nothing else.
    """
    out = np.empty(len(cluster), dtype=np.uint8)
    start = np.uint64(replica) * PER_REPLICA + np.uint64(seed)
    for i in range(len(cluster)):
        upper = _mix(cluster[i] * PER_SHOWER + start) >> np.uint64(32)
        k = 0
        while k < len(POISSON_LIMITS) and upper >= POISSON_LIMITS[k]:
            k += 1
        out[i] = k
    return out


def standard_error(replicas):
    """Standard deviation over the replicas.

    Parameters
    ----------
    replicas : ndarray, shape (n_replicas, ...)
        NaN is left out: a replica without events in a bin says nothing of it.

    Returns
    -------
    ndarray, shape (...)
        NaN with fewer than two finite replicas.
    """
    known = np.isfinite(replicas)
    n = known.sum(axis=0)
    mean = np.where(known, replicas, 0).sum(axis=0) / np.maximum(n, 1)
    squares = np.where(known, replicas - mean, 0) ** 2
    return np.sqrt(np.where(n > 1, squares.sum(axis=0) / np.maximum(n - 1, 1), np.nan))


def interval(replicas, level=0.95):
    """Percentile interval of each value.

    Parameters
    ----------
    replicas : ndarray, shape (n_replicas, ...)
        NaN is left out; 95 % need 200 of them.
    level : float

    Returns
    -------
    low, high : ndarray, shape (...)
        NaN without finite replicas.
    """
    flat = np.reshape(replicas, (len(replicas), -1))
    parts = (1 - level) / 2, (1 + level) / 2
    out = np.full((2, flat.shape[1]), np.nan)
    for i, column in enumerate(flat.T):
        column = column[np.isfinite(column)]
        if len(column):
            out[:, i] = np.quantile(column, parts)
    low, high = out.reshape(2, *np.shape(replicas)[1:])
    return low, high


def _are_parts(quantiles):
    """Whether all are between 0 and 1."""
    return bool(((quantiles >= 0) & (quantiles <= 1)).all())


def _starts(place, n_bins):
    """First row of each bin, and the end; ``place`` sorted."""
    return np.searchsorted(place, np.arange(n_bins + 1))


@njit(**COMPILED)
def _mix(x):
    """SplitMix64 of a single number: `samples.splitmix64`."""
    z = x + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(**COMPILED)
def _quantiles(times, shower, starts, values, quantiles):
    """Quantiles of repeated values, sorted in each bin."""
    out = np.full((len(starts) - 1, len(quantiles)), np.nan)
    for b in range(len(starts) - 1):
        total = 0
        for i in range(starts[b], starts[b + 1]):
            total += times[shower[i]]
        if total == 0:
            continue
        row, seen = starts[b], np.int64(times[shower[starts[b]]])
        for q in range(len(quantiles)):
            rank = (total - 1) * quantiles[q]
            lower = math.floor(rank)
            while seen <= lower:
                row += 1
                seen += times[shower[row]]
            above, covered = row, seen
            while covered <= min(lower + 1, total - 1):
                above += 1
                covered += times[shower[above]]
            out[b, q] = _between(values[row], values[above], rank - lower)
    return out


@njit(**COMPILED)
def _between(low, high, part):
    """Linear interpolation, rounded as `numpy.quantile` does."""
    step = high - low
    return high - step * (1 - part) if part >= 0.5 else low + step * part


@njit(**COMPILED)
def _areas(times, shower, starts, score, is_gamma, weight):
    """Areas under the ROC curve, scores sorted in each bin."""
    out = np.full(len(starts) - 1, np.nan)
    for b in range(len(starts) - 1):
        area = gammas = below = 0.0
        i = starts[b]
        while i < starts[b + 1]:
            tie, new_gammas, new_background = score[i], 0.0, 0.0
            while i < starts[b + 1] and score[i] == tie:
                counted = weight[i] * times[shower[i]]
                if is_gamma[i]:
                    new_gammas += counted
                else:
                    new_background += counted
                i += 1
            area += new_gammas * (below + 0.5 * new_background)
            gammas += new_gammas
            below += new_background
        if gammas * below > 0:
            out[b] = area / (gammas * below)
    return out


@njit(**COMPILED)
def _sums(times, shower, starts, weight):
    """Sums of weights in each bin."""
    out = np.zeros(len(starts) - 1)
    for b in range(len(starts) - 1):
        for i in range(starts[b], starts[b + 1]):
            out[b] += weight[i] * times[shower[i]]
    return out
