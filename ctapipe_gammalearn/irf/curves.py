"""Tables behind the figures, by energy: one row per reconstructor and bin.

Columns: ``value`` with its 95 % interval ``lo``, ``hi``; ``versus`` with ``versus_lo`` and
``versus_hi``, the ratio to the reference or, where the metadata say so, the difference, paired
as in the verdict; ``n`` gammas, ``n_bkg_mc`` simulated background events and ``n_eff``, that
number if all had the same weight; ``offset_min`` and ``offset_max`` (deg) of the gammas from the
pointing, of a rate of background those of its ring.  Metadata: ``metric``, ``energy`` (true or
reco), ``events`` (common, own), ``versus``.
"""

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from .bootstrap import bootstrap, count_plan, interval, quantile_plan
from .comparison import METRICS, Background, Benchmark
from .metrics import (
    CONTAINMENT,
    ONE_SIGMA,
    SR_PER_DEG2,
    angular_resolution,
    background_rate,
    bin_numbers,
    energy_resolution,
)
from .samples import RECO_EDGES, Sample, solid_angle
from .sensitivity import energy_flux

__all__ = [
    "Events",
    "angular_table",
    "benchmark_tables",
    "by_bin",
    "cuts_table",
    "own_benchmarks",
    "stacked",
]

N_BINS = len(RECO_EDGES) - 1
#: of a value that the tables call valid, gammas and, where it matters, simulated background
MIN_GAMMA = MIN_BACKGROUND = 10
#: benchmarks of `own_benchmarks`, as `comparison.METRICS`
OWN_METRICS = {
    "efficiency": ("", "true"),
    "efficiency_theta": ("", "true"),
    "containment68": ("deg", "true"),
    "containment95": ("deg", "true"),
    "background_rate": ("1 / (s deg2)", "reco"),
}
COMMON = ("auc", "theta68", "bias", "eres", "background_efficiency")
#: compared by their difference, others by their ratio
DIFFERENCES = ("auc", "bias", "efficiency", "efficiency_theta")
ENERGY_UNITS = dict.fromkeys(("e_min", "e_max", "e_center_log", "e_center_arith"), "TeV")
OFFSETS = ("offset_min", "offset_max", "offset_center")
NEED_BACKGROUND = ("background", "background_rate", "background_efficiency", "sensitivity", "auc")


@dataclass(frozen=True, eq=False)
class Events:
    """All events, how they were selected, and how often they are drawn again.

    Attributes
    ----------
    gamma : Sample
    weight : ndarray, shape (n,)
        Gammas of the target spectrum in the observation time.
    background : Background
    chosen : dict of str to Chosen
        By reconstructor.
    reference : str
        Reconstructor that the others are compared with.
    ring : tuple of float, deg
        Offsets between which background is taken.
    obs_time_h : float, h
    n_replicas, seed : int
        Of the bootstrap; the same ones pair these curves with the verdict.
    source_ring : tuple of float, deg
        Offsets of the gammas.
    """

    gamma: Sample
    weight: np.ndarray
    background: Background
    chosen: dict
    reference: str
    ring: tuple
    obs_time_h: float
    n_replicas: int
    seed: int
    source_ring: tuple

    @property
    def candidates(self):
        """Names of all reconstructors but the reference."""
        return [name for name in self.chosen if name != self.reference]

    def replicas(self, plans):
        """Values (1 + n_replicas, ...) of each plan, the data first."""
        return bootstrap(plans, self.n_replicas, self.seed)


def by_bin(found, reference, metric, bins, unit="", energy="true"):
    """Table of one figure of merit of all reconstructors.

    Parameters
    ----------
    found : dict of str to Benchmark
        By reconstructor.
    reference, metric : str
    bins : dict of str to ndarray, shape (n_bins,)
        Columns that say which bin a row is of.
    unit : str
    energy : str
        Whether bins are of ``true`` or ``reco`` energy.

    Returns
    -------
    Table
        Not ``valid`` where there are fewer than ten gammas or, where it matters, fewer than
        ten simulated background events.
    """
    rows = [_rows(name, found, reference, metric, bins) for name in found]
    known = ENERGY_UNITS | dict.fromkeys(OFFSETS, "deg")
    units = {key: known[key] for key in bins} | dict.fromkeys(("value", "lo", "hi"), unit or None)
    table = stacked(rows, metric, "common" if metric in COMMON else "own", **units)
    versus = "difference" if metric in DIFFERENCES else "ratio"
    table.meta |= {"energy": energy, "reference": reference, "versus": versus}
    return table


def stacked(rows, metric, events, **units):
    """Rows of several groups (dicts of columns) as one table; units by column."""
    columns = {key: np.concatenate([np.atleast_1d(r[key]) for r in rows]) for key in rows[0]}
    table = Table(columns)
    for name, unit in units.items():
        table[name].unit = unit
    table.meta = {"metric": metric, "events": events}
    return table


def _rows(name, found, reference, metric, bins):
    """Columns of one reconstructor."""
    benchmark = found[name]
    value, (lo, hi) = benchmark.values[0], interval(benchmark.values[1:])
    other = found[reference].values
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric in DIFFERENCES:
            versus = benchmark.values - other
        else:
            versus = benchmark.values / other
    versus_lo, versus_hi = interval(versus[1:])
    none = np.full(len(value), np.nan)
    n_background = none if benchmark.n_background is None else benchmark.n_background
    valid = np.isfinite(value) & (benchmark.n >= MIN_GAMMA)
    if metric in NEED_BACKGROUND:
        valid &= n_background >= MIN_BACKGROUND
    limited = benchmark.limited_by
    return {
        "reconstructor": np.full(len(value), name), **bins,
        "value": value, "lo": lo, "hi": hi,
        "versus": versus[0], "versus_lo": versus_lo, "versus_hi": versus_hi,
        "n": benchmark.n, "n_eff": none if benchmark.n_eff is None else benchmark.n_eff,
        "n_bkg_mc": n_background,
        "limited_by": np.full(len(value), "") if limited is None else limited.astype(str),
        "valid": valid,
    }  # fmt: skip


def _bins(edges, ring):
    """Columns that say which bin a row is of: energies (TeV) and offsets (deg)."""
    low, high = edges[:-1], edges[1:]
    return {
        "e_min": low, "e_max": high,
        "e_center_log": np.sqrt(low * high), "e_center_arith": (low + high) / 2,
        "offset_min": np.full(len(low), float(ring[0])),
        "offset_max": np.full(len(low), float(ring[1])),
    }  # fmt: skip


def benchmark_tables(found, events, flux):
    """Tables of all benchmarks.

    Parameters
    ----------
    found : dict of (str, str) to Benchmark
        From `comparison.benchmarks` and `own_benchmarks`.
    events : Events
    flux : callable
        Target spectrum of gammas: the flux limit in absolute units.

    Returns
    -------
    dict of str to Table
    """
    tables = {}
    for metric, (unit, energy) in (METRICS | OWN_METRICS).items():
        one = {name: found[name, metric] for name in events.chosen}
        ring = events.ring if metric == "background_rate" else events.source_ring
        bins = _bins(RECO_EDGES, ring)
        tables[metric] = by_bin(one, events.reference, metric, bins, unit, energy)
    limit = tables["sensitivity"]
    scale = energy_flux(flux, np.asarray(limit["e_center_log"]))
    for name, column in (
        ("energy_flux", "value"),
        ("energy_flux_lo", "lo"),
        ("energy_flux_hi", "hi"),
    ):
        limit[name] = limit[column] * scale
        limit[name].unit = "erg / (cm2 s)"
    for metric, table in tables.items():
        if metric != "sensitivity":
            table.remove_column("limited_by")
    _add_other_definitions(tables, events)
    return tables


def _add_other_definitions(tables, events):
    """Put the mean bias of ctapipe and the widths about 0 and the median beside ours."""
    gamma = events.gamma
    both = np.logical_and.reduce([r.valid for r in gamma.reconstructions.values()])
    found = []
    for name in events.chosen:
        energy = gamma.reconstructions[name].energy
        found.append(energy_resolution(energy[both], gamma.true_energy[both], RECO_EDGES))
    for metric, columns in {
        "bias": ["bias_mean"],
        "eres": ["resolution_abs", "resolution_centred"],
    }.items():
        for column in columns:
            tables[metric][column] = np.concatenate([f[column] for f in found])


def own_benchmarks(events):
    """Figures of merit of each reconstructor's own events, beside those of the verdict.

    Parameters
    ----------
    events : Events

    Returns
    -------
    dict of (str, str) to Benchmark
        By reconstructor and name of `OWN_METRICS`: parts of the reconstructed gammas that pass
        the cut in gammaness (``efficiency``) and that in theta, too; radii that contain 68 and
        95 % of those above the cut in gammaness; background of the ring above it.
    """
    plans = {}
    for name in events.chosen:
        plans |= {(name, key): plan for key, plan in _own_plans(events, name).items()}
    found, out = events.replicas(plans), {}
    for name in events.chosen:
        valid, above, inside = (found[name, key] for key in ("valid", "above", "inside"))
        n = {"n": valid[0].astype(int)}
        with np.errstate(invalid="ignore", divide="ignore"):
            out[name, "efficiency"] = Benchmark(above / valid, **n)
            out[name, "efficiency_theta"] = Benchmark(inside / valid, **n)
        for i, part in enumerate(("containment68", "containment95")):
            radii = found[name, "theta"][..., i]
            out[name, part] = Benchmark(radii, above[0].astype(int))
        out[name, "background_rate"] = _rate(events, name, found[name, "background"], inside[0])
    return out


def _own_plans(events, name):
    """What the bootstrap counts for one reconstructor."""
    gamma, chosen = events.gamma, events.chosen[name]
    ours, theirs = gamma.reconstructions[name], events.background.reconstructions[name]
    true = bin_numbers(gamma.true_energy, RECO_EDGES)
    masks = {"valid": ours.valid, "above": chosen.above, "inside": chosen.inside}
    plans = {
        key: count_plan(gamma.cluster, np.where(mask, true, -1), 1.0, N_BINS)
        for key, mask in masks.items()
    }
    above = np.where(chosen.above, true, -1)
    plans["theta"] = quantile_plan(gamma.cluster, above, ours.theta, N_BINS, [ONE_SIGMA, 0.95])
    reco = np.where(_in_ring(events, name), bin_numbers(theirs.energy, RECO_EDGES), -1)
    plans["background"] = count_plan(
        events.background.cluster, reco, events.background.weight, N_BINS
    )
    return plans


def _in_ring(events, name):
    """Background events of the ring that pass the cut in gammaness, shape (m,), bool."""
    offset = events.background.reconstructions[name].offset
    inside = (offset >= events.ring[0]) & (offset < events.ring[1])
    return events.chosen[name].background_above & inside


def _rate(events, name, counts, n_gamma):
    """Background in 1 / (s deg2), with the numbers of events behind it."""
    theirs, used = events.background.reconstructions[name], _in_ring(events, name)
    columns = theirs.energy[used], theirs.offset[used], events.background.weight[used]
    found = background_rate(*columns, RECO_EDGES, events.ring, events.obs_time_h)
    per_count = SR_PER_DEG2 / (events.obs_time_h * 3600 * solid_angle(*events.ring))
    # gammas do not matter here, and must not make a bin invalid
    n = np.maximum(n_gamma.astype(int), MIN_GAMMA)
    return Benchmark(counts * per_count, n, found["n"][:, 0], found["n_eff"][:, 0])


def angular_table(events):
    """Radii that contain 39, 50, 68, 80 and 95 % of each one's gammas above the cut."""
    gamma, rows = events.gamma, []
    for name, chosen in events.chosen.items():
        theta = gamma.reconstructions[name].theta[chosen.above]
        found = angular_resolution(theta, gamma.true_energy[chosen.above], RECO_EDGES)
        rows.append({"reconstructor": np.full(N_BINS, name)})
        rows[-1] |= _bins(RECO_EDGES, events.source_ring) | found
    units = ENERGY_UNITS | dict.fromkeys((*OFFSETS[:2], *CONTAINMENT), "deg")
    return stacked(rows, "containment", "own", **units)


def cuts_table(events):
    """Cuts of both halves of the showers.

    Parameters
    ----------
    events : Events

    Returns
    -------
    Table
        ``half`` 0 and 1: the half that chose the cut, which was used on the other one.
    """
    rows = []
    for name, chosen in events.chosen.items():
        for half, cuts in enumerate(chosen.cuts):
            n = len(cuts.gammaness)
            rows.append({
                "reconstructor": np.full(n, name), "half": np.full(n, half),
                **_bins(cuts.edges, events.source_ring), "gammaness": cuts.gammaness,
                "theta": cuts.theta_deg, "gamma_efficiency": cuts.gamma_efficiency,
                "theta_efficiency": cuts.theta_efficiency, "n_bkg_mc": cuts.n_bkg_mc,
                "valid": cuts.evaluable,
            })  # fmt: skip
    units = ENERGY_UNITS | dict.fromkeys((*OFFSETS[:2], "theta"), "deg")
    return stacked(rows, "cuts", "own", **units)
