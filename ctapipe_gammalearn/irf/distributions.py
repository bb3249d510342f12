"""Tables behind the figures of distributions: angles, energies, and who has what.

Rows of all reconstructors; counts and parts come with 95 % intervals ``lo``, ``hi`` of the
bootstrap of `curves`.
"""

import numpy as np

from .bootstrap import count_plan, interval, quantile_plan
from .comparison import common
from .curves import stacked
from .metrics import (
    ONE_SIGMA,
    bin_numbers,
    migration_matrix,
)
from .samples import RECO_EDGES, solid_angle
from .score_curves import gammaness_table, purity_table, roc_table

__all__ = [
    "BANDS",
    "MIGRATION_EDGES",
    "distribution_tables",
    "kept_table",
    "migration_table",
    "scatter_table",
    "theta2_table",
]

#: bands of reconstructed energy of the theta² distributions, TeV
BANDS = ((0.02, 0.1), (0.1, 1.0), (1.0, 20.0))
MIGRATION_EDGES = 10.0 ** (-1.9 + 0.1 * np.arange(43))
SCATTER = {"gammaness": np.linspace(0, 1, 51), "log10_energy": np.linspace(-1.9, 2.3, 64)}
N_THETA2 = 30
#: who has an event, of a candidate and the reference
GROUPS = ("both", "only_candidate", "only_reference", "neither")


def distribution_tables(events):
    """All tables of this module.

    Parameters
    ----------
    events : curves.Events

    Returns
    -------
    dict of str to Table
        Comparisons of two are left out if there is one reconstructor only.
    """
    tables = {
        "roc": roc_table(events), "gammaness": gammaness_table(events),
        "purity": purity_table(events), "theta2": theta2_table(events),
        "migration": migration_table(events),
    }  # fmt: skip
    if events.candidates:
        tables |= {"scatter": scatter_table(events), "kept": kept_table(events)}
    return tables


def theta2_table(events):
    """Gammas after the cut in gammaness by theta², and the background there.

    Parameters
    ----------
    events : curves.Events

    Returns
    -------
    Table
        ``band`` of `BANDS`, ``low`` and ``high`` (deg2), ``value`` with ``lo`` and ``hi``:
        gammas of the target spectrum in the observation time; ``background``, the same
        everywhere as it comes from all of the ring.
    """
    rows = []
    for band, (low, high) in enumerate(BANDS):
        edges = None
        for name, chosen in events.chosen.items():
            ours = events.gamma.reconstructions[name]
            use = chosen.above & (ours.energy >= low) & (ours.energy < high)
            if edges is None:  # of the first one, for all
                end = np.quantile(ours.theta[use], 0.9) ** 2 if use.any() else 1.0
                edges = np.linspace(0, end or 1.0, N_THETA2 + 1)
            place = np.where(use, bin_numbers(ours.theta**2, edges), -1)
            found = events.replicas({
                "n": count_plan(events.gamma.cluster, place, events.weight, N_THETA2)
            })["n"]  # fmt: skip
            lo, hi = interval(found[1:])
            level = _background_level(events, name, (low, high)) * edges[1]
            rows.append({
                "reconstructor": np.full(N_THETA2, name), "band": np.full(N_THETA2, band),
                "e_min": np.full(N_THETA2, low), "e_max": np.full(N_THETA2, high),
                "low": edges[:-1], "high": edges[1:], "value": found[0], "lo": lo, "hi": hi,
                "background": np.full(N_THETA2, level),
                "n": np.bincount(place[place >= 0], minlength=N_THETA2),
            })  # fmt: skip
    return stacked(rows, "theta2", "own", e_min="TeV", e_max="TeV", low="deg2", high="deg2")


def _background_level(events, name, band):
    """Background above the cut in gammaness in the observation time, per deg2 of theta²."""
    theirs = events.background.reconstructions[name]
    use = events.chosen[name].background_above & (theirs.energy >= band[0])
    use &= (theirs.energy < band[1]) & (theirs.offset >= events.ring[0])
    use &= theirs.offset < events.ring[1]
    per_sr = events.background.weight[use].sum() / solid_angle(*events.ring)
    return per_sr * np.pi * np.deg2rad(1) ** 2


def migration_table(events):
    """Probability of the reconstructed energy, given the true one, after the cuts.

    Parameters
    ----------
    events : curves.Events

    Returns
    -------
    Table
        Cells with events; ``n``, gammas of that true energy.
    """
    rows = []
    for name, chosen in events.chosen.items():
        energy = events.gamma.reconstructions[name].energy[chosen.inside]
        true_energy = events.gamma.true_energy[chosen.inside]
        found = migration_matrix(energy, true_energy, MIGRATION_EDGES, MIGRATION_EDGES)
        i, j = np.nonzero(found["probability"])
        rows.append({
            "reconstructor": np.full(len(i), name),
            "true_e_min": MIGRATION_EDGES[i], "true_e_max": MIGRATION_EDGES[i + 1],
            "e_min": MIGRATION_EDGES[j], "e_max": MIGRATION_EDGES[j + 1],
            "value": found["probability"][i, j], "n": found["n"][i],
        })  # fmt: skip
    units = dict.fromkeys(("true_e_min", "true_e_max", "e_min", "e_max"), "TeV")
    return stacked(rows, "migration", "own", **units)


def scatter_table(events):
    """What two reconstructors say of the same events, in cells with events.

    Parameters
    ----------
    events : curves.Events

    Returns
    -------
    Table
        ``candidate``, ``quantity`` (gammaness, log10_energy in TeV), ``kind``; lower edge and
        width of the cell (``candidate_low``, ``reference_low``, ``width``); ``n`` common events.
    """
    rows = []
    parts = (
        ("gammaness", "gamma", events.gamma.reconstructions),
        ("gammaness", "background", events.background.reconstructions),
        ("log10_energy", "gamma", events.gamma.reconstructions),
    )
    for candidate in events.candidates:
        for quantity, kind, reconstructions in parts:
            edges, both = SCATTER[quantity], common(reconstructions)
            pair = [
                _seen(reconstructions[n], quantity)[both] for n in (candidate, events.reference)
            ]
            n = np.histogram2d(*pair, bins=(edges, edges))[0].astype(int)
            i, j = np.nonzero(n)
            rows.append({
                "candidate": np.full(len(i), candidate), "quantity": np.full(len(i), quantity),
                "kind": np.full(len(i), kind), "candidate_low": edges[i], "reference_low": edges[j],
                "width": np.full(len(i), edges[1] - edges[0]), "n": n[i, j],
            })  # fmt: skip
    return stacked(rows, "scatter", "common")


def _seen(reconstruction, quantity):
    """Gammaness, or log10 of the energy in TeV."""
    if quantity == "gammaness":
        return reconstruction.gammaness
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log10(reconstruction.energy)


def kept_table(events):
    """Parts of the gammas that both have, or one only, by true energy.

    Parameters
    ----------
    events : curves.Events

    Returns
    -------
    Table
        ``candidate``, ``selection`` (``valid``: reconstructed; ``above``: and above the cut in
        gammaness), ``group`` of `GROUPS`; ``value`` with ``lo`` and ``hi``: part of the gammas;
        ``theta68`` with ``theta68_lo``, ``theta68_hi``: by the reconstructor that has them, of
        both by the candidate, of neither NaN.
    """
    rows = []
    for candidate in events.candidates:
        names = candidate, events.reference
        masks = {
            "valid": [events.gamma.reconstructions[n].valid for n in names],
            "above": [events.chosen[n].above for n in names],
        }
        for selection, (ours, theirs) in masks.items():
            rows += _groups(events, candidate, selection, ours, theirs)
    return stacked(rows, "kept", "own", e_min="TeV", e_max="TeV", theta68="deg")


def _groups(events, candidate, selection, ours, theirs):
    """Rows of one candidate and selection."""
    gamma, n_bins = events.gamma, len(RECO_EDGES) - 1
    bins = bin_numbers(gamma.true_energy, RECO_EDGES)
    group = np.select([ours & theirs, ours, theirs], [0, 1, 2], 3)
    place = np.where(bins >= 0, group * n_bins + bins, -1)
    theta = np.where(
        ours, gamma.reconstructions[candidate].theta,
        gamma.reconstructions[events.reference].theta,
    )  # fmt: skip
    size = len(GROUPS) * n_bins
    known = np.where(ours | theirs, place, -1)
    found = events.replicas({
        "n": count_plan(gamma.cluster, place, 1.0, size),
        "theta68": quantile_plan(gamma.cluster, known, theta, size, [ONE_SIGMA]),
    })  # fmt: skip
    counts = found["n"].reshape(-1, len(GROUPS), n_bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = counts / counts.sum(axis=1, keepdims=True)
    radius = found["theta68"].reshape(-1, len(GROUPS), n_bins)
    (lo, hi), (radius_lo, radius_hi) = interval(part[1:]), interval(radius[1:])
    for i, name in enumerate(GROUPS):
        yield {
            "candidate": np.full(n_bins, candidate), "selection": np.full(n_bins, selection),
            "group": np.full(n_bins, name), "e_min": RECO_EDGES[:-1], "e_max": RECO_EDGES[1:],
            "value": part[0, i], "lo": lo[i], "hi": hi[i], "n": counts[0, i].astype(int),
            "theta68": radius[0, i], "theta68_lo": radius_lo[i], "theta68_hi": radius_hi[i],
        }  # fmt: skip
