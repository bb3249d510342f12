"""Reconstructions of the same images side by side: tables of rows, and their provenance."""

from functools import partial
from itertools import pairwise

import numpy as np

from ..exceptions import TrainingError
from .metrics import ENERGY_EDGES, INTENSITY_EDGES, Results, summary
from .resampling import bootstrap, paired_bootstrap

__all__ = ["common_images", "compare", "differences", "overlaps", "performance", "reconstructed"]

#: fewer gammas or background images in a bin say nothing
LEAST = 20
#: error columns of the tables
WITH_ERROR = (
    *("auc", "background_left", "calibration_error"),
    *("psi68", "energy_bias", "energy_resolution", "median_abs_ln"),
    *("direction_coverage", "energy_coverage"),
)


def common_images(methods):
    """Images that all reconstructions could use.

    Parameters
    ----------
    methods : dict of str to Results
        By name; row by row the same images.

    Returns
    -------
    ndarray, shape (n,), bool

    Raises
    ------
    TrainingError
        If there is none.
    """
    valid = np.logical_and.reduce([results.valid for results in methods.values()])
    if not valid.any():
        counts = ", ".join(f"{name} {r.valid.sum()}" for name, r in methods.items())
        raise TrainingError(f"no image was reconstructed by all methods (valid: {counts})")
    return valid


def compare(methods, groups, *, efficiency=0.7, n_bootstrap=200):
    """Tables of a comparison.

    Parameters
    ----------
    methods : dict of str to Results
        By name; row by row the same images. The first is what others are compared with.
    groups : ndarray, shape (n,), int
        Shower of each image.
    efficiency : float
        Fraction of gammas kept by the cut for ``background_left``.
    n_bootstrap : int
        Replicas of the showers; 0: no errors and no differences.

    Returns
    -------
    dict of str to list of dict
        ``intensity`` (first all images, then bins), ``true_energy`` and ``reco_energy``: see
        `performance`; ``differences`` (ranges of intensity) and ``energy_differences`` (bins of
        true energy): see `differences`.
    """
    metric = partial(summary, efficiency=efficiency)
    first = next(iter(methods.values()))
    energy = _bins(10.0 ** np.asarray(first.true_log10_energy, dtype=np.float64), ENERGY_EDGES)
    ranges = {"intensity": _intensities(first.intensity), "true_energy": energy}
    tables = {name: [] for name in ranges}
    if all(results.log10_energy is not None for results in methods.values()):
        tables["reco_energy"] = []
    for name, results in methods.items():
        if "reco_energy" in tables:
            ranges["reco_energy"] = _bins(10.0 ** np.asarray(results.log10_energy), ENERGY_EDGES)
        for table, bins in ranges.items():
            rows = performance(results, bins, groups, metric, n_bootstrap)
            tables[table] += [{"method": name, **row} for row in rows]
    if n_bootstrap:
        pairs = {"differences": ranges["intensity"], "energy_differences": energy}
        for table, bins in pairs.items():
            tables[table] = differences(methods, bins, groups, metric, n_bootstrap)
    return tables


def _bins(values, edges):
    """(low, high, mask) of each bin; a bin contains its lower edge."""
    return [(a, b, (values >= a) & (values < b)) for a, b in pairwise(map(float, edges))]


def _intensities(intensity):
    """All images, then bins of intensity; nothing if it is not known."""
    if intensity is None:
        return []
    return _bins(intensity, INTENSITY_EDGES[:: len(INTENSITY_EDGES) - 1]) + _bins(
        intensity, INTENSITY_EDGES
    )


def performance(results, ranges, groups, metric, n_bootstrap):
    """Figures of merit with bootstrap errors in ranges of something.

    Parameters
    ----------
    results : Results
    ranges : iterable of (float, float, ndarray of bool)
        Lower and upper edge, and which images are between them.
    groups : ndarray, shape (n,), int
    metric : callable
    n_bootstrap : int

    Returns
    -------
    list of dict
        ``low``, ``high``, the metrics, and ``<metric>_error``; none of a range with hardly any
        gammas.
    """
    rows = []
    for low, high, inside in ranges:
        chosen = results.take(inside)
        if chosen.is_gamma.sum() < LEAST:
            continue
        row = {"low": low, "high": high, **metric(chosen)}
        errors = bootstrap(metric, groups[inside], chosen, n_bootstrap) if n_bootstrap else {}
        row |= {f"{k}_error": errors[k] for k in WITH_ERROR if k in errors}
        rows.append(row)
    return rows


def differences(methods, ranges, groups, metric, n_bootstrap):
    """What each reconstruction gains over the first.

    Parameters
    ----------
    methods : dict of str to Results
    ranges : sequence of (float, float, ndarray of bool)
        As for `performance`.
    groups : ndarray, shape (n,), int
    metric : callable
    n_bootstrap : int

    Returns
    -------
    list of dict
        ``method``, ``reference``, ``low``, ``high``, ``metric``, ``value``,
        ``reference_value``, ``difference``, its ``error`` and 95 % interval
        ``difference_low``, ``difference_high``; ``ratio`` and ``ratio_error``.
    """
    reference, *others = methods
    rows = []
    for name in others:
        for low, high, inside in ranges:
            pair = [methods[key].take(inside) for key in (reference, name)]
            if pair[0].is_gamma.sum() < LEAST:
                continue
            found = paired_bootstrap(metric, groups[inside], *pair, n_bootstrap)
            where = {"method": name, "reference": reference, "low": low, "high": high}
            for key in WITH_ERROR:
                if key in found:
                    rows.append({**where, "metric": key, **_row(found[key])})
    return rows


def _row(found):
    """Columns of the table of differences from those of `paired_bootstrap`."""
    names = {"a": "reference_value", "b": "value", "low": "difference_low"}
    names["high"] = "difference_high"
    return {names.get(key, key): value for key, value in found.items()}


def overlaps(samples, sources):
    """What a test sample shares with the training of a model.

    Parameters
    ----------
    samples : list of dict or None
        ``training["samples"]`` of a model card.
    sources : list of dict
        Sources of the test images, in the same form.

    Returns
    -------
    list of str
        A sentence for each test file; empty if they have nothing in common.
    """
    found = []
    for source in sources:
        for sample in samples or ():
            if source.get("sha256") and source["sha256"] == sample.get("sha256"):
                found.append(f"{source['file']}: the model was trained on this very file")
            elif _same_showers(source, sample):
                found.append(
                    f"{source['file']}: same run numbers, primary and energies as the training"
                    f" file {sample.get('file')}; these may be the same showers"
                )
            else:
                continue
            break
    return found


def _same_showers(source, sample):
    """Whether two files may hold the same simulated showers."""
    keys = ("primary", "spectral_index", "energy_TeV", "viewcone_deg", "pointing_alt_az_deg")
    same = all(_alike(source.get(key), sample.get(key)) for key in keys)
    return same and not set(source.get("obs_ids", ())).isdisjoint(sample.get("obs_ids", ()))


def _alike(a, b):
    """Whether two settings are the same, as numbers up to the digits of float32."""
    try:
        return bool(np.allclose(a, b, rtol=1e-5, atol=1e-6))
    except (TypeError, ValueError):  # text, nothing, or lists of other lengths
        return a == b


def reconstructed(events, prediction):
    """Results of images with true values in ``events``.

    Parameters
    ----------
    events : ndarray, shape (n,), `arrays.EVENT_DTYPE`
    prediction : dict
        The other columns of `Results`, of the same images.

    Returns
    -------
    Results
    """
    return Results(
        is_gamma=events["particle"] == 0,
        true_log10_energy=events["log10_energy"].astype(np.float64),
        true_direction=events["direction"].astype(np.float64),
        intensity=events["intensity"].astype(np.float64),
        **prediction,
    )
