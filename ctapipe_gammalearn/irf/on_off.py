"""Events at a source and in reflected regions: counts, significance, live time, paired test.

Directions are (lon, lat) in rad on the sphere, regions are circles in deg.
"""

from dataclasses import dataclass, fields

import numpy as np
from astropy.coordinates import angular_separation
from scipy.special import ndtr

from ..exceptions import IRFError
from .sensitivity import li_ma_significance

__all__ = [
    "Pairs",
    "combine",
    "count",
    "cut_at_background",
    "live_time",
    "off_regions",
    "paired_difference",
    "pairs_in",
    "reach",
]

#: from the centre of the source to that of an off region, in radii: gammas leak beyond a circle
ON_TO_OFF = 3.0
OFF_TO_OFF = 2.0
# further from the pointing there is no acceptance
MAX_OFFSET_DEG = 5.0
#: without a trigger for so long (s), or for so many median intervals, nothing was recorded
BREAK_S = 0.01
BREAK_MEDIANS = 20.0


def off_regions(pointing, source, radius_deg, n_max=0, excluded=()):
    """Centres of off regions: the source turned about the pointing.

    Parameters
    ----------
    pointing, source : tuple of float, rad
        Longitude and latitude.
    radius_deg : float, deg
        Of all regions.
    n_max : int
        At most so many; 0 for as many as fit, one radius away from the on region.
    excluded : sequence of (float, float, float), deg
        Longitude, latitude and radius of stars and sources that no off region may touch.

    Returns
    -------
    ndarray, shape (n_regions, 2), rad

    Raises
    ------
    IRFError
        Source too near to the pointing or too far, or no region left.
    """
    if not radius_deg > 0:
        raise IRFError(f"regions of {radius_deg:g} deg are none; raise theta_cut")
    offset = np.rad2deg(angular_separation(*pointing, *source))
    if offset < ON_TO_OFF / 2 * radius_deg:
        raise IRFError(
            f"source {offset:.3g} deg from the pointing: regions of {radius_deg:.3g} deg need"
            f" {ON_TO_OFF / 2 * radius_deg:.3g} deg; lower theta_cut, or give wobble observations"
        )
    if offset > MAX_OFFSET_DEG:
        raise IRFError(f"source {offset:.3g} deg from the pointing, out of view; check --source")
    first, step = (_turn(k * radius_deg, offset) for k in (ON_TO_OFF, OFF_TO_OFF))
    # a touch more, as n circles may fit exactly
    n = int((2 * np.pi - 2 * first) / step + 1 + 1e-9)
    n = min(n, n_max) if n_max else n
    first = max(first, 2 * np.pi / (n + 1))
    turns = np.linspace(first, 2 * np.pi - first, n)
    lon, lat = _turned(pointing, source, turns)
    for star_lon, star_lat, star_radius in excluded:
        away = np.rad2deg(angular_separation(lon, lat, *np.deg2rad([star_lon, star_lat])))
        free = away >= radius_deg + star_radius
        lon, lat = lon[free], lat[free]
    if not len(lon):
        raise IRFError("no off region without an excluded position; allow more with off_regions")
    return np.stack([lon, lat], axis=1)


def _turn(distance_deg, offset_deg):
    """Angle at the pointing between two positions of equal offset, rad."""
    ratio = np.sin(np.deg2rad(distance_deg / 2)) / np.sin(np.deg2rad(offset_deg))
    return 2 * np.arcsin(min(1.0, ratio))


def _turned(axis, position, angle):
    """Longitudes and latitudes of a position turned about an axis by angles (n,), rad."""
    axis, start = (
        np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        for lon, lat in (axis, position)
    )
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    x, y, z = (start * cos + np.cross(axis, start) * sin + axis * (axis @ start) * (1 - cos)).T
    return np.arctan2(y, x) % (2 * np.pi), np.arcsin(np.clip(z, -1, 1))


def reach(regions, source, radius_deg):
    """Radius (deg) up to which circles around off regions do not meet the on region.

    Parameters
    ----------
    regions : list of ndarray, shape (n_regions, 2), rad
        By run.
    source : tuple of float, rad
    radius_deg : float, deg
        Of the on region.
    """
    away = [angular_separation(*source, *centres.T).min() for centres in regions]
    return float(np.rad2deg(min(away)) - radius_deg)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of an event and a region around whose centre it lies: rows of equal columns.

    Attributes
    ----------
    event : ndarray, int
        Row of the event.
    run : ndarray, int
        Number of the run, from 0.
    on : ndarray, bool
        The region is the source.
    theta : ndarray, deg
        From the centre of the region.
    energy, gammaness, intensity : ndarray
        TeV, -, p.e.
    """

    event: np.ndarray
    run: np.ndarray
    on: np.ndarray
    theta: np.ndarray
    energy: np.ndarray
    gammaness: np.ndarray
    intensity: np.ndarray

    @property
    def valid(self):
        """All are; for `cuts.Cuts.select`."""
        return np.ones(len(self.event), bool)

    def take(self, index):
        """Rows ``index`` (numbers or mask)."""
        return Pairs(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def pairs_in(reconstruction, run, source, regions, reach_deg, intensity):
    """Find the events around the source and around the off regions.

    Parameters
    ----------
    reconstruction : sky.SkyReconstruction
    run : ndarray, shape (n,), int
        Number of the run of each event, from 0.
    source : tuple of float, rad
    regions : list of ndarray, shape (n_regions, 2), rad
        Off regions by run.
    reach_deg : float, deg
        Events further from a centre are left out.
    intensity : ndarray, shape (n,), p.e.

    Returns
    -------
    Pairs
    """
    found = []
    for i, centres in enumerate(regions):
        events = np.flatnonzero((run == i) & reconstruction.valid)
        ra, dec = reconstruction.ra[events], reconstruction.dec[events]
        for k, centre in enumerate([source, *centres]):
            theta = np.rad2deg(angular_separation(*centre, ra, dec))
            near = theta <= reach_deg
            n = int(near.sum())
            found.append((events[near], np.full(n, i), np.full(n, k == 0), theta[near]))
    event, number, on, theta = (np.concatenate(c) for c in zip(*found, strict=True))
    return Pairs(
        event, number, on, theta, reconstruction.energy[event], reconstruction.gammaness[event],
        intensity[event],
    )  # fmt: skip


def count(pairs, n_runs, place=None, n_bins=1):
    """Events of on and of off regions by bin and run.

    Parameters
    ----------
    pairs : Pairs
    n_runs : int
    place : ndarray of int, optional
        Bin of each pair, -1 for none; default all in one bin.
    n_bins : int

    Returns
    -------
    n_on, n_off : ndarray, shape (n_bins, n_runs)
    """
    place = np.zeros(len(pairs.event), int) if place is None else place
    numbers = []
    for region in (pairs.on, ~pairs.on):
        use = region & (place >= 0)
        flat = np.bincount(place[use] * n_runs + pairs.run[use], minlength=n_bins * n_runs)
        numbers.append(flat.reshape(n_bins, n_runs))
    return numbers


def combine(n_on, n_off, alpha):
    """Excess and significance of runs with different numbers of off regions.

    Parameters
    ----------
    n_on, n_off : array_like, shape (..., n_runs)
    alpha : array_like, shape (n_runs,)
        One over the number of off regions.

    Returns
    -------
    dict of str to ndarray, shape (...)
        ``n_on``, ``n_off``, ``alpha`` (mean over the off counts: that of one of the runs would
        be wrong), ``background`` in the on region, ``excess`` and its ``error``,
        ``significance`` (Li & Ma, negative for a deficit).
    """
    n_on, n_off, alpha = (np.asarray(x, dtype=np.float64) for x in (n_on, n_off, alpha))
    background = (alpha * n_off).sum(axis=-1)
    on, off = n_on.sum(axis=-1), n_off.sum(axis=-1)
    # without any off count each alpha is as good
    total = np.where(off > 0, background / np.maximum(off, 1), alpha.mean())
    return {
        "n_on": on, "n_off": off, "alpha": total, "background": background,
        "excess": on - background,
        "error": np.sqrt(on + (alpha**2 * n_off).sum(axis=-1)),
        "significance": li_ma_significance(on, off, total),
    }  # fmt: skip


def live_time(time, delta_t=None):
    """Time in which events could be recorded.

    Parameters
    ----------
    time : ndarray, shape (n,), s
        Of all triggers of a run, calibration events too; in any order.
    delta_t : ndarray, shape (n,), s, optional
        Since the trigger before, recorded or not; default the differences of ``time``.

    Returns
    -------
    elapsed, live : float, s
        Elapsed without breaks, and without the dead time after each trigger. Breaks are longer
        than 0.01 s, and in data of few triggers longer than 20 median intervals.

    References
    ----------
    lstchain, ``get_effective_time``: t / (1 + λδ), with the least interval δ and
    λ = 1 / (mean interval - δ).
    """
    between = np.diff(np.sort(time))
    if not len(between):
        return 0.0, 0.0
    longest = max(BREAK_S, BREAK_MEDIANS * float(np.median(between)))
    elapsed = float(between[between < longest].sum())
    interval = between if delta_t is None else np.asarray(delta_t)
    interval = interval[(interval > 0) & (interval < longest)]
    if not len(interval):
        return elapsed, elapsed
    dead, mean = interval.min(), interval.mean()
    # 1 + dead / (mean - dead), written so that equal intervals do no harm
    return elapsed, float(elapsed * (1 - dead / mean)) if mean > dead else elapsed


def cut_at_background(score, alpha, background):
    """Lowest cut that leaves no more than a background.

    Parameters
    ----------
    score : ndarray, shape (n,)
        Of the events in off regions.
    alpha : ndarray, shape (n,)
        Weight of each.
    background : float

    Returns
    -------
    float
        Scores at or above it pass. Infinite if equal scores, as saturated ones, are too many.
    """
    if not len(score):
        return -np.inf
    cuts, place = np.unique(score, return_inverse=True)
    above = np.cumsum(np.bincount(place, weights=alpha)[::-1])[::-1]
    # sums of the same alphas in another order differ in the last digit
    enough = np.flatnonzero(above <= background * (1 + 1e-9))
    if not len(enough):
        return np.inf
    # half of the way to the last event that fails, which depends on no single event
    lowest = enough[0]
    return float(cuts[0]) if lowest == 0 else float((cuts[lowest] + cuts[lowest - 1]) / 2)


def paired_difference(first, second, alpha):
    """Difference of two excesses of the same triggers; what both or none keep cancels.

    Parameters
    ----------
    first, second : Pairs
        Selected by one and by the other.
    alpha : ndarray, shape (n_runs,)

    Returns
    -------
    dict of str to float
        ``n10`` (n01) on events that only the first (second) keeps, ``m10`` (m01) off events,
        ``difference`` of the excesses, its ``error``, ``z`` and two-sided ``p`` of no difference.
    """
    n_runs = len(alpha)
    only, names = {}, (("n10", "n01"), ("m10", "m01"))
    for region, (one, other) in zip((True, False), names, strict=True):
        kept = [p.take(p.on == region) for p in (first, second)]
        for name, mine, theirs in ((one, *kept), (other, *kept[::-1])):
            lost = ~np.isin(mine.event, theirs.event)
            only[name] = np.bincount(mine.run[lost], minlength=n_runs)
    difference = (only["n10"] - only["n01"] - alpha * (only["m10"] - only["m01"])).sum()
    variance = (only["n10"] + only["n01"] + alpha**2 * (only["m10"] + only["m01"])).sum()
    z = difference / np.sqrt(variance) if variance else 0.0
    return {name: int(n.sum()) for name, n in only.items()} | {
        "difference": float(difference), "error": float(np.sqrt(variance)),
        "z": float(z), "p": float(2 * ndtr(-abs(z))),
    }  # fmt: skip
