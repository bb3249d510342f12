"""Uncertainties of figures of merit, by drawing whole showers with replacement.

Images of one shower, from several uses or telescopes, are no independent measurements.
"""

import numpy as np

__all__ = ["bootstrap", "paired_bootstrap"]


def bootstrap(metric, groups, results, n=200, rng=None):
    """Standard errors by drawing whole showers with replacement.

    Parameters
    ----------
    metric : callable
        From `Results` to a dict of numbers.
    groups : ndarray, shape (n_images,), int
        Shower of each image: images of one shower are no independent measurements.
    results : Results
    n : int
        Replicas.
    rng : numpy.random.Generator, optional
        Default: a fixed seed.

    Returns
    -------
    dict of str to float
        Standard deviation over the replicas, of each key of ``metric``.
    """
    keys, values = _replicas(metric, groups, [results], n, rng)
    return dict(zip(keys, _std(values[1:, 0]), strict=True))


def paired_bootstrap(metric, groups, a, b, n=200, rng=None):
    """Difference of two reconstructions of the same images, with its uncertainty.

    Parameters
    ----------
    metric : callable
        From `Results` to a dict of numbers.
    groups : ndarray, shape (n_images,), int
        Shower of each image.
    a, b : Results
        Row by row the same images.
    n : int
        Replicas; both reconstructions see the same ones.
    rng : numpy.random.Generator, optional
        Default: a fixed seed.

    Returns
    -------
    dict of str to dict
        Of each key of ``metric``: ``a``, ``b``, ``difference`` b - a with ``error`` (standard
        deviation) and 95 % interval ``low``, ``high``; ``ratio`` b / a with ``ratio_error``.
    """
    keys, values = _replicas(metric, groups, [a, b], n, rng)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference, ratio = values[:, 1] - values[:, 0], values[:, 1] / values[:, 0]
    low, high = (np.array([_percentile(d, q) for d in difference[1:].T]) for q in (0.025, 0.975))
    columns = {
        "a": values[0, 0],
        "b": values[0, 1],
        "difference": difference[0],
        "error": _std(difference[1:]),
        "low": low,
        "high": high,
        "ratio": ratio[0],
        "ratio_error": _std(ratio[1:]),
    }
    return {k: {c: float(v[i]) for c, v in columns.items()} for i, k in enumerate(keys)}


def _replicas(metric, groups, sets, n, rng):
    """Keys, and values of shape (1 + n, n_sets, n_keys): the data first, then replicas."""
    rng = np.random.default_rng(0) if rng is None else rng
    # gammas and background are drawn apart: how many of each there are is no measurement
    draw = [_Showers(groups, sets[0].is_gamma, kind) for kind in (True, False)]
    rows = [slice(None)] + [np.concatenate([d(rng) for d in draw]) for _ in range(n)]
    tables = [[metric(results.take(index)) for results in sets] for index in rows]
    keys = [key for key in tables[0][0] if key in tables[0][-1]]
    values = [[[found.get(key, np.nan) for key in keys] for found in row] for row in tables]
    return keys, np.array(values, dtype=np.float64).reshape(1 + n, len(sets), len(keys))


class _Showers:
    """Draws images of one class, by shower."""

    def __init__(self, groups, is_gamma, kind):
        rows = np.flatnonzero(np.asarray(is_gamma, dtype=bool) == kind)
        _, number = np.unique(np.asarray(groups)[rows], return_inverse=True)
        self.rows = rows[np.argsort(number, kind="stable")]
        self.counts = np.bincount(number)
        self.starts = np.append(0, np.cumsum(self.counts))[:-1]

    def __call__(self, rng):
        """Row numbers of a replica."""
        if not len(self.counts):
            return self.rows
        chosen = rng.integers(0, len(self.counts), len(self.counts))
        counts = self.counts[chosen]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
        return self.rows[np.repeat(self.starts[chosen], counts) + within]


def _percentile(values, q):
    """Quantile of the finite values; NaN without one."""
    values = values[np.isfinite(values)]
    return np.quantile(values, q) if len(values) else np.nan


def _std(values):
    """Standard deviation over the first axis; NaN replicas left out."""
    out = []
    for column in values.T:
        column = column[np.isfinite(column)]
        out.append(float(np.std(column, ddof=1)) if len(column) > 1 else np.nan)
    return np.array(out)
