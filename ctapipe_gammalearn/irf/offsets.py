"""What becomes of gammas away from the centre of the field of view: tables by their true offset.

One row per reconstructor and ring, over all energies of the verdict; columns are those of
`curves`, with ``offset_center`` (deg).  Diffuse gammas only: a point source has one offset.
"""

import numpy as np

from .bootstrap import count_plan, quantile_plan
from .comparison import Benchmark, common, passing_across
from .curves import by_bin
from .metrics import LOWER, ONE_SIGMA, UPPER, bin_numbers
from .samples import solid_angle

__all__ = ["METRICS", "offset_tables", "ring_bins"]

#: tables ``offset_NAME`` and their units
METRICS = {
    "efficiency": "",
    "efficiency_theta": "",
    "theta68": "deg",
    "eres": "",
    "bias": "",
    "aeff": "m2",
}


def offset_tables(events, diffuse, edges, energy_range):
    """Figures of merit of diffuse gammas in rings of true offset.

    Parameters
    ----------
    events : curves.Events
        Whose cuts are used, each on the showers that did not choose it.
    diffuse : Sample
        Gammas of a cone.
    edges : ndarray, shape (n_rings + 1,), deg
    energy_range : tuple of float, TeV
        True energies, all in one bin.

    Returns
    -------
    dict of str to Table
        ``offset_efficiency`` and so on, see `METRICS`: as the tables by energy, unweighted, so
        that the energies are those of the simulation.
    """
    known = (diffuse.true_energy >= energy_range[0]) & (diffuse.true_energy < energy_range[1])
    place = np.where(known, bin_numbers(diffuse.true_offset, edges), -1)
    n_rings = len(edges) - 1
    plans = {
        (name, key): plan
        for name, chosen in events.chosen.items()
        for key, plan in _plans(diffuse, name, chosen.cuts, place, n_rings).items()
    }
    counted = events.replicas(plans)
    per_shower = _area_per_shower(diffuse.thrown, edges, energy_range)
    n_common = np.bincount(place[(place >= 0) & common(diffuse.reconstructions)], minlength=n_rings)
    found = {
        name: _benchmarks({key: counted[name, key] for key in _KEYS}, n_common, per_shower)
        for name in events.chosen
    }
    bins, tables = ring_bins(edges, energy_range), {}
    for metric, unit in METRICS.items():
        one = {name: found[name][metric] for name in found}
        tables[f"offset_{metric}"] = by_bin(one, events.reference, metric, bins, unit)
        tables[f"offset_{metric}"].remove_columns(["n_eff", "n_bkg_mc", "limited_by"])
    return tables


def ring_bins(edges, energy_range):
    """Columns that say which ring a row is of: energies (TeV) and offsets (deg)."""
    low, high = np.asarray(edges[:-1]), np.asarray(edges[1:])
    bins = {
        "e_min": np.full(len(low), energy_range[0]),
        "e_max": np.full(len(low), energy_range[1]),
    }
    return bins | {"offset_min": low, "offset_max": high, "offset_center": (low + high) / 2}


_KEYS = ("valid", "above", "inside", "theta", "energy")


def _plans(diffuse, name, cuts, place, n_rings):
    """What the bootstrap counts for one reconstructor."""
    ours, cluster = diffuse.reconstructions[name], diffuse.cluster
    above, inside = passing_across(diffuse, name, cuts)
    masks = {"valid": ours.valid, "above": above, "inside": inside}
    plans = {
        key: count_plan(cluster, np.where(mask, place, -1), 1.0, n_rings)
        for key, mask in masks.items()
    }
    both = np.where(common(diffuse.reconstructions), place, -1)
    error = ours.energy / diffuse.true_energy - 1
    plans["theta"] = quantile_plan(cluster, both, ours.theta, n_rings, [ONE_SIGMA])
    plans["energy"] = quantile_plan(cluster, both, error, n_rings, [LOWER, 0.5, UPPER])
    return plans


def _benchmarks(counted, n_common, per_shower):
    """Figures of merit of one reconstructor from the values of its plans."""
    valid, above, inside = (counted[key] for key in ("valid", "above", "inside"))
    low, bias, high = np.moveaxis(counted["energy"], -1, 0)
    n_valid, n_inside = valid[0].astype(int), inside[0].astype(int)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept, kept_theta = above / valid, inside / valid
    return {
        "efficiency": Benchmark(kept, n_valid), "efficiency_theta": Benchmark(kept_theta, n_valid),
        "theta68": Benchmark(counted["theta"][..., 0], n_common),
        "eres": Benchmark((high - low) / 2, n_common), "bias": Benchmark(bias, n_common),
        "aeff": Benchmark(inside * per_shower, n_inside),
    }  # fmt: skip


def _area_per_shower(thrown, edges, energy_range):
    """Area (m2) for which a selected gamma of each ring stands; 0 where none was thrown."""
    rings = np.clip(edges, thrown.viewcone_min, thrown.viewcone_max)
    part = solid_angle(rings[:-1], rings[1:]) / thrown.solid_angle
    showers = part * thrown.showers_in(energy_range)[0]
    return np.divide(thrown.area, showers, out=np.zeros(len(showers)), where=showers > 0)
