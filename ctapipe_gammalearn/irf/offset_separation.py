"""How well gammas and background are told apart away from the centre of the field of view.

Tables by true offset, as those of `offsets`: the same events for all reconstructors, those that
all of them have, and all energies of the verdict in one bin.  Gammas count alike, background by
its spectrum.
"""

import numpy as np

from .bootstrap import auc_plan, count_plan
from .comparison import Benchmark, common
from .curves import by_bin
from .metrics import bin_numbers
from .offsets import ring_bins

__all__ = ["METRICS", "separation_tables"]

#: tables ``offset_NAME``; the second needs no gammas
METRICS = ("auc", "background_efficiency")


def separation_tables(events, diffuse, edges, energy_range):
    """Area under the ROC curve, and background that passes the cut, in rings of true offset.

    Parameters
    ----------
    events : curves.Events
        Background, and cuts, each used on the showers that did not choose it.
    diffuse : Sample or None
        Gammas of a cone.
    edges : ndarray, shape (n_rings + 1,), deg
    energy_range : tuple of float, TeV
        True energies, of gammas and of background.

    Returns
    -------
    dict of str to Table
        ``offset_background_efficiency``, the weighted part of the background that passes the cut
        in gammaness, where ``n`` counts all and ``n_bkg_mc`` those that pass; and, if there are
        diffuse gammas, ``offset_auc``, where ``n`` counts gammas and ``n_bkg_mc`` background.
    """
    found = {"background_efficiency": _background(events, edges, energy_range)}
    if diffuse is not None:
        found["auc"] = _auc(events, diffuse, edges, energy_range)
    tables = {}
    for metric, one in found.items():
        table = by_bin(one, events.reference, metric, ring_bins(edges, energy_range))
        table.remove_columns(["n_eff", "limited_by"])
        tables[f"offset_{metric}"] = table
    return tables


def _rings(sample, edges, energy_range):
    """Ring of each event that all reconstructors have, shape (n,), -1 for others."""
    used = common(sample.reconstructions) & (bin_numbers(sample.true_energy, energy_range) == 0)
    return np.where(used, bin_numbers(sample.true_offset, edges), -1)


def _background(events, edges, energy_range):
    """Part of the background that passes the cut in gammaness, by reconstructor."""
    background, n_rings = events.background, len(edges) - 1
    ring = _rings(background, edges, energy_range)
    passing = {
        name: np.where(chosen.background_above, ring, -1) for name, chosen in events.chosen.items()
    }
    plans = {
        name: count_plan(background.cluster, place, background.weight, n_rings)
        for name, place in ({None: ring} | passing).items()
    }
    sums, count = events.replicas(plans), lambda r: np.bincount(r[r >= 0], minlength=n_rings)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            name: Benchmark(sums[name] / sums[None], count(ring), count(place))
            for name, place in passing.items()
        }


def _auc(events, diffuse, edges, energy_range):
    """Area under the ROC curve, by reconstructor."""
    background, n_rings = events.background, len(edges) - 1
    rings = [_rings(s, edges, energy_range) for s in (diffuse, background)]
    weights = np.ones(len(diffuse)), background.weight
    is_gamma = np.repeat([True, False], [len(ring) for ring in rings])
    clusters = np.concatenate([diffuse.cluster, background.cluster])
    scored = {
        name: [s.reconstructions[name].gammaness for s in (diffuse, background)]
        for name in events.chosen
    }
    plans = {
        name: auc_plan(
            clusters, np.concatenate(rings), np.concatenate(scores), is_gamma,
            np.concatenate(weights), n_rings,
        )
        for name, scores in scored.items()
    }  # fmt: skip
    n, n_background = (np.bincount(r[r >= 0], minlength=n_rings) for r in rings)
    areas = events.replicas(plans)
    return {name: Benchmark(areas[name], n, n_background) for name in plans}
