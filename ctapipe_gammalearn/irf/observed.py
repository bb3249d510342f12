"""Tables of an observation: events at the source and around it by cut, energy, angle and run.

Tables are dicts of equal columns; rates are per minute of live time.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..exceptions import IRFError
from .cuts import fixed_cuts
from .metrics import bin_numbers
from .on_off import (
    combine,
    count,
    cut_at_background,
    off_regions,
    paired_difference,
    pairs_in,
    reach,
)

__all__ = [
    "SCAN",
    "Field",
    "best_cuts",
    "binned_table",
    "compare",
    "cuts_at_background",
    "equal_background_table",
    "field_of",
    "gammaness_table",
    "numbers",
    "pairs_of",
    "run_table",
    "selected",
    "theta2_table",
]

#: cuts in gammaness of all curves
SCAN = np.append(np.arange(0, 0.99, 0.02), [0.99])
#: events in on and in off regions that a cut chosen on data must leave
MIN_EVENTS = 10
# circles around off regions are wide enough to show the background, and no wider
MAX_REACH = 3.0
# bins of theta² within the cut
N_INSIDE = 4


@dataclass(frozen=True, eq=False)
class Field:
    """Regions of all runs.

    Attributes
    ----------
    source : tuple of float, rad
        Right ascension and declination.
    regions : list of ndarray, shape (n_regions, 2), rad
    alpha : ndarray, shape (n_runs,)
        One over the number of off regions.
    live_s : ndarray, shape (n_runs,), s
    radius_deg, reach_deg : float, deg
        Of the regions, and how far around them events are looked at.
    """

    source: tuple
    regions: list
    alpha: np.ndarray
    live_s: np.ndarray
    radius_deg: float
    reach_deg: float


def field_of(observation, source, radius_deg, n_max=0, excluded=()):
    """Off regions of all runs: see `on_off.off_regions`.

    Parameters
    ----------
    observation : sky.Observation
    source : tuple of float, rad
    radius_deg : float, deg
    n_max : int
    excluded : sequence of (float, float, float), deg

    Returns
    -------
    Field

    Raises
    ------
    IRFError
        With the number of the run that has no off region.
    """
    regions = []
    for run in observation.runs:
        try:
            regions.append(off_regions(run.pointing, source, radius_deg, n_max, excluded))
        except IRFError as error:
            raise IRFError(f"run {run.obs_id}: {error}") from None
    far = min(MAX_REACH * radius_deg, reach(regions, source, radius_deg))
    alpha = np.array([1 / len(centres) for centres in regions])
    live = np.array([run.live_s for run in observation.runs])
    return Field(source, regions, alpha, live, radius_deg, far)


def pairs_of(observation, name, field):
    """Events of a reconstruction around the regions, as `on_off.Pairs`."""
    return pairs_in(
        observation.reconstructions[name], observation.run, field.source, field.regions,
        field.reach_deg, observation.intensity,
    )  # fmt: skip


def selected(pairs, cuts, theta=True, gammaness=True):
    """Pairs that pass.

    Parameters
    ----------
    pairs : Pairs
    cuts : tuple of Cuts
        Of the runs of even and of odd number: each half has the cuts chosen on the other.
    theta, gammaness : bool
        Cut in them.

    Returns
    -------
    Pairs
    """
    passes = np.zeros(len(pairs.event), bool)
    for half, mine in enumerate(cuts):
        if not gammaness:
            mine = replace(mine, gammaness=np.full(len(mine.gammaness), -np.inf))
        passes |= (pairs.run % 2 == half) & mine.select(pairs, theta)
    return pairs.take(passes)


def best_cuts(pairs, field, theta_deg):
    """Cuts in gammaness of the highest significance, chosen on one half of the runs for the other.

    Parameters
    ----------
    pairs : Pairs
    field : Field
    theta_deg : float, deg

    Returns
    -------
    tuple of Cuts
        For the runs of even and of odd number.

    Raises
    ------
    IRFError
        One run, or too few events.
    """
    if len(field.alpha) < 2:
        raise IRFError(
            "one run: a cut cannot be chosen on other data than it is used on; give more runs, or"
            " --cuts-mode fixed"
        )
    inside = pairs.take(pairs.theta <= theta_deg)
    out = []
    for half in (0, 1):
        runs = np.arange(len(field.alpha)) % 2 != half
        n_on, n_off = (n[:, runs] for n in _above(inside, len(field.alpha)))
        found = combine(n_on, n_off, field.alpha[runs])
        enough = (found["n_on"] >= MIN_EVENTS) & (found["n_off"] >= MIN_EVENTS)
        if not enough.any():
            raise IRFError(
                f"fewer than {MIN_EVENTS} events in the on or the off regions of half of the runs:"
                " no cut can be chosen; give more runs, or --cuts-mode fixed"
            )
        best = np.argmax(np.where(enough, found["significance"], -np.inf))
        out.append(fixed_cuts(SCAN[best], theta_deg))
    return tuple(out)


def _above(pairs, n_runs):
    """Counts (n_scan, n_runs) at or above each cut of `SCAN`."""
    place = np.searchsorted(SCAN, pairs.gammaness, "right") - 1
    counts = count(pairs, n_runs, place, len(SCAN))
    return [np.cumsum(n[::-1], axis=0)[::-1] for n in counts]


def numbers(pairs, field):
    """Counts of all runs together, with rates; what `on_off.combine` gives and more, as float."""
    found = combine(*(n[0] for n in count(pairs, len(field.alpha))), field.alpha)
    return {k: float(v) for k, v in _with_rates(found, field.live_s.sum()).items()}


def gammaness_table(pairs, field):
    """Counts at or above each cut in gammaness; ``pairs`` after the cut in theta."""
    found = combine(*_above(pairs, len(field.alpha)), field.alpha)
    return {"gammaness": SCAN} | _with_rates(found, field.live_s.sum())


def _with_rates(found, live_s):
    """Columns of `combine` with rates per minute of live time."""
    minutes = live_s / 60
    rates = {f"{k}_per_min": found[k] / minutes for k in ("excess", "error", "background")}
    return (
        found | rates | {"significance_per_sqrt_h": found["significance"] / np.sqrt(minutes / 60)}
    )


def binned_table(pairs, field, column, edges):
    """Excess and background in bins of a column of ``pairs``, after all cuts."""
    edges = np.asarray(edges)
    place = bin_numbers(getattr(pairs, column), edges)
    found = combine(*count(pairs, len(field.alpha), place, len(edges) - 1), field.alpha)
    bins = {f"{column}_min": edges[:-1], f"{column}_max": edges[1:]}
    return bins | _with_rates(found, field.live_s.sum())


def theta2_table(pairs, field):
    """Events by the squared angle to the source, and as many to off regions on average.

    Parameters
    ----------
    pairs : Pairs
        After the cut in gammaness.
    field : Field

    Returns
    -------
    dict of str to ndarray
        ``theta2_min``, ``theta2_max`` (deg²), ``on`` and its ``on_error``, ``off`` (mean) and
        its ``off_error``.
    """
    width = field.radius_deg**2 / N_INSIDE
    edges = np.arange(int(field.reach_deg**2 / width + 1e-9) + 1) * width
    # the edge is within the radius
    place = np.searchsorted(edges, pairs.theta**2 * (1 - 1e-12), "right") - 1
    place[place >= len(edges) - 1] = -1
    n_on, n_off = count(pairs, len(field.alpha), place, len(edges) - 1)
    return {
        "theta2_min": edges[:-1], "theta2_max": edges[1:],
        "on": n_on.sum(axis=1).astype(float), "on_error": np.sqrt(n_on.sum(axis=1)),
        "off": n_off @ field.alpha, "off_error": np.sqrt(n_off @ field.alpha**2),
    }  # fmt: skip


def run_table(pairs, field, observation):
    """Counts and rates of each run, after all cuts."""
    n_on, n_off = (n[0] for n in count(pairs, len(field.alpha)))
    each = [combine(n_on[[i]], n_off[[i]], field.alpha[[i]]) for i in range(len(field.alpha))]
    found = {k: np.array([float(e[k]) for e in each]) for k in each[0]}
    runs = observation.runs
    return {
        "obs_id": np.array([run.obs_id for run in runs]),
        "zenith": np.array([run.zenith_deg for run in runs]),
        "live_time": field.live_s,
    } | _with_rates(found, field.live_s)


def cuts_at_background(pairs, cuts, field, background):
    """Cuts moved in gammaness, by the same at all energies, to a background.

    Parameters
    ----------
    pairs : Pairs
    cuts : tuple of Cuts
    field : Field
    background : float
        Events.

    Returns
    -------
    tuple of Cuts
    """
    off = selected(pairs.take(~pairs.on), cuts, gammaness=False)
    needed = np.full(len(off.event), np.nan)
    for half, mine in enumerate(cuts):
        rows = off.run % 2 == half
        place = np.searchsorted(mine.edges, off.energy[rows], "right") - 1
        needed[rows] = mine.gammaness[np.clip(place, 0, len(mine.gammaness) - 1)]
    known = np.isfinite(needed)
    shift = cut_at_background(
        (off.gammaness - needed)[known], field.alpha[off.run[known]], background
    )
    return tuple(replace(c, gammaness=c.gammaness + shift) for c in cuts)


def compare(first, second, field):
    """Two selections of the same triggers: numbers of both, and the paired difference.

    Parameters
    ----------
    first, second : Pairs
        After all cuts.
    field : Field

    Returns
    -------
    dict
        ``candidate`` (the first) and ``reference`` as of `numbers`, and what
        `on_off.paired_difference` gives.
    """
    both = {"candidate": numbers(first, field), "reference": numbers(second, field)}
    return both | paired_difference(first, second, field.alpha)


def equal_background_table(candidate, reference, field):
    """Excess of two reconstructors at equal background, for all cuts of the reference.

    Parameters
    ----------
    candidate, reference : Pairs
        After the cut in theta.
    field : Field

    Returns
    -------
    dict of str to ndarray
        By descending background: ``background_per_min``; of each the ``gammaness`` cut, the
        ``excess_per_min`` and its error; ``ratio`` of the excesses, with its paired error.
    """
    off = candidate.take(~candidate.on)
    weight, rows = field.alpha[off.run], []
    for cut in SCAN:
        theirs = reference.take(reference.gammaness >= cut)
        ref = numbers(theirs, field)
        if ref["n_off"] < MIN_EVENTS:
            break
        mine = cut_at_background(off.gammaness, weight, ref["background"])
        found = compare(candidate.take(candidate.gammaness >= mine), theirs, field)
        out = {"background_per_min": ref["background_per_min"]}
        for name, gammaness in (("candidate", mine), ("reference", cut)):
            out[f"{name}_gammaness"] = gammaness
            for column in ("background_per_min", "excess_per_min", "error_per_min"):
                out[f"{name}_{column}"] = found[name][column]
        excess = ref["excess"] if ref["excess"] > 0 else np.nan
        out["ratio"] = found["candidate"]["excess"] / excess
        out["ratio_error"] = found["error"] / excess
        rows.append(out)
    names = rows[0] if rows else ()
    return {name: np.array([row[name] for row in rows]) for name in names}
