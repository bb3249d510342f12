"""Tables behind the figures of gammaness: ROC, purity, distributions.

Rows of all reconstructors; ``value`` comes with its 95 % interval ``lo``, ``hi`` of the bootstrap
of `curves`.
"""

import numpy as np

from .bootstrap import count_plan, interval
from .comparison import common
from .curves import stacked
from .metrics import background_at_efficiency, bin_numbers, purity_completeness, roc
from .samples import in_first_half, solid_angle

__all__ = ["gammaness_table", "purity_table", "roc_table"]

#: parts of the gammas at which curves over the cut in gammaness are given
EFFICIENCIES = np.append(np.arange(0.01, 1.0, 0.01), 1.0)
SCORES = np.linspace(0, 1, 41)


def _passing_curves(events, score, weight, background_score, background_weight):
    """What passes each cut that keeps `EFFICIENCIES` of the gammas, with replicas.

    Returns
    -------
    curve : dict
        From `roc`.
    cuts : ndarray, shape (n_cuts,)
    signal, background : ndarray, shape (1 + n_replicas, n_cuts + 1)
        Weights that pass; the last of all.
    """
    curve = roc(score, background_score, weight, background_weight)
    first = np.searchsorted(curve["efficiency"], EFFICIENCIES * (1 - 1e-12), "left")
    cuts = curve["cut"][np.minimum(first, len(curve["cut"]) - 1)]
    plans, size = {}, len(cuts) + 1
    parts = {
        "signal": (events.gamma.cluster, score, weight),
        "background": (events.background.cluster, background_score, background_weight),
    }
    for key, (cluster, values, weights) in parts.items():
        place = np.where(np.isfinite(values), np.searchsorted(-cuts, -values, "left"), -1)
        plans[key] = count_plan(cluster, place, weights, size)
    found = events.replicas(plans)
    signal, background = (np.cumsum(found[key], axis=1) for key in ("signal", "background"))
    return curve, cuts, signal, background


def roc_table(events):
    """Part of the background that passes, at given parts of the gammas; common events.

    Parameters
    ----------
    events : curves.Events

    Returns
    -------
    Table
        ``efficiency``, ``cut``, ``value`` with ``lo`` and ``hi``: part of the background.
    """
    both = common(events.gamma.reconstructions)
    both_background = common(events.background.reconstructions)
    rows = []
    for name in events.chosen:
        ours = np.where(both, events.gamma.reconstructions[name].gammaness, np.nan)
        theirs = events.background.reconstructions[name].gammaness
        theirs = np.where(both_background, theirs, np.nan)
        curve, cuts, signal, background = _passing_curves(
            events, ours, events.weight, theirs, events.background.weight
        )
        acceptance = np.stack([
            np.interp(EFFICIENCIES, np.append(0, s / s[-1]), np.append(0, b / b[-1]))
            if s[-1] > 0 and b[-1] > 0 else np.full(len(cuts), np.nan)
            for s, b in zip(signal, background, strict=True)
        ])  # fmt: skip
        lo, hi = interval(acceptance[1:])
        rows.append({
            "reconstructor": np.full(len(cuts), name), "efficiency": EFFICIENCIES, "cut": cuts,
            "value": background_at_efficiency(curve, EFFICIENCIES), "lo": lo, "hi": hi,
        })  # fmt: skip
    return stacked(rows, "roc", "common")


def purity_table(events):
    """Purity and completeness of the gammas within the circle of the cut in theta.

    Parameters
    ----------
    events : curves.Events

    Returns
    -------
    Table
        ``completeness``, ``cut``, ``value`` with ``lo`` and ``hi``: purity, at the rates of the
        target spectra; own events.
    """
    rows = []
    for name, chosen in events.chosen.items():
        ours = events.gamma.reconstructions[name]
        theirs = events.background.reconstructions[name]
        radius = _radius(chosen, events.gamma.cluster, ours.energy)
        inside = ours.valid & (ours.theta <= radius)
        circle = np.nan_to_num(
            solid_angle(0.0, _radius(chosen, events.background.cluster, theirs.energy))
        )
        ring = (theirs.offset >= events.ring[0]) & (theirs.offset < events.ring[1])
        weight = np.where(theirs.valid & ring, circle / solid_angle(*events.ring), 0.0)
        weight = weight * events.background.weight
        curve, cuts, signal, background = _passing_curves(
            events, np.where(inside, ours.gammaness, np.nan), events.weight,
            np.where(weight > 0, theirs.gammaness, np.nan), weight,
        )  # fmt: skip
        whole = purity_completeness(curve, signal[0, -1], background[0, -1])
        first = np.searchsorted(-curve["cut"], -cuts, "left")
        with np.errstate(invalid="ignore", divide="ignore"):
            purity = signal[:, :-1] / (signal + background)[:, :-1]
        lo, hi = interval(purity[1:])
        rows.append({
            "reconstructor": np.full(len(cuts), name),
            "completeness": whole["completeness"][first], "cut": cuts,
            "value": whole["purity"][first], "lo": lo, "hi": hi,
        })  # fmt: skip
    return stacked(rows, "purity", "own")


def _radius(chosen, cluster, energy):
    """Cut in theta (deg) of each event, chosen by the other half of the showers; NaN if none."""
    radii = []
    for cuts in chosen.cuts:
        place = bin_numbers(energy, cuts.edges)
        radii.append(np.where(place >= 0, cuts.theta_deg[place], np.nan))
    return np.where(in_first_half(cluster), radii[1], radii[0])


def gammaness_table(events):
    """Distributions of gammaness of gammas and background, each normalised to one; common events.

    Parameters
    ----------
    events : curves.Events

    Returns
    -------
    Table
        ``kind``, ``low``, ``high``, ``value`` with ``lo`` and ``hi``: density.
    """
    parts = {
        "gamma": (events.gamma.cluster, events.gamma.reconstructions, events.weight),
        "background": (
            events.background.cluster, events.background.reconstructions, events.background.weight,
        ),
    }  # fmt: skip
    size, width, rows = len(SCORES) - 1, np.diff(SCORES), []
    for kind, (cluster, reconstructions, weight) in parts.items():
        both = common(reconstructions)
        for name in events.chosen:
            # 1 belongs to the last bin
            score = np.minimum(reconstructions[name].gammaness, np.nextafter(1, 0))
            place = np.where(both, bin_numbers(score, SCORES), -1)
            found = events.replicas({"n": count_plan(cluster, place, weight, size)})["n"]
            with np.errstate(invalid="ignore", divide="ignore"):
                density = found / found.sum(axis=1, keepdims=True) / width
            lo, hi = interval(density[1:])
            rows.append({
                "reconstructor": np.full(size, name), "kind": np.full(size, kind),
                "low": SCORES[:-1], "high": SCORES[1:], "value": density[0], "lo": lo, "hi": hi,
                "n": np.bincount(place[place >= 0], minlength=size),
            })  # fmt: skip
    return stacked(rows, "gammaness", "common")
