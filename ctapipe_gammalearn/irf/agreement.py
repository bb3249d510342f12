"""Gammas of an observation against simulated ones: whether the simulation describes the data."""

from dataclasses import replace

import numpy as np

from .observed import numbers, selected

__all__ = ["GAMMANESS_EDGES", "agreement", "gammaness_of_excess"]

# bins contain their lower edge: a gammaness of 1 belongs to the last
GAMMANESS_EDGES = np.append(np.linspace(0, 0.95, 20), np.nextafter(1, 2))
#: relative difference that matters
TOLERANCE = 0.1
#: and standard errors that it must be, not to be chance
N_SIGMA = 2.0


def agreement(pairs, field, cuts, gamma, weight, obs_time_h=None):
    """Efficiency of the cut in gammaness, containment in theta, and rate of the source.

    Parameters
    ----------
    pairs : Pairs
        Of one reconstructor, within ``field.reach_deg``.
    field : observed.Field
    cuts : tuple of Cuts
        See `observed.selected`.
    gamma : Reconstruction
        Simulated gammas.
    weight : ndarray, shape (n,)
        Gammas of the spectrum of the source.
    obs_time_h : float, h, optional
        Of ``weight``; None where it is another source, and no rate is compared.

    Returns
    -------
    list of dict
        ``check``, ``data`` and its ``error``, ``simulation``, ``ratio``, and ``outcome``: agrees
        (within 10 %), differs, or cannot tell (more than 10 %, less than two standard errors).
    """
    inside = selected(pairs, cuts, gammaness=False)
    above = selected(pairs, cuts, theta=False)
    both = selected(pairs, cuts)
    own = cuts[0]
    loose = replace(own, gammaness=np.full(len(own.gammaness), -np.inf))
    sim_both = weight[own.select(gamma)].sum()
    sim_inside = weight[loose.select(gamma)].sum()
    near = own.select(gamma, theta=False) & (gamma.theta <= field.reach_deg)
    checks = [
        _row("gammaness", *_part(both, inside, field), _ratio(sim_both, sim_inside)),
        _row("theta", *_part(both, above, field), _ratio(sim_both, weight[near].sum())),
    ]
    if obs_time_h is not None:
        found = numbers(both, field)
        expected = float(sim_both / (obs_time_h * 60))
        rate = found["excess_per_min"], found["error_per_min"]
        checks.append(_row("rate", *rate, expected))
    return checks


def _ratio(a, b):
    """Quotient, NaN of nothing."""
    return float(a / b) if b else np.nan


def _part(some, whole, field):
    """Part of an excess, and its error; ``some`` are rows of ``whole``."""
    # errors are those of independent events: what passes and what does not
    passing = numbers(some, field)
    key = [p.event * 2 + p.on for p in (some, whole)]
    rest = numbers(whole.take(~np.isin(key[1], key[0])), field)
    p, q = passing["excess"], rest["excess"]
    if not p + q > 0:
        return np.nan, np.nan
    error = np.hypot(q * passing["error"], p * rest["error"]) / (p + q) ** 2
    return p / (p + q), error


def _row(check, data, error, simulation):
    """One comparison."""
    ratio = _ratio(data, simulation)
    off, chance = abs(ratio - 1), N_SIGMA * error / simulation if simulation else np.nan
    if not np.isfinite(off + chance):
        outcome = "cannot tell"
    elif off <= TOLERANCE:
        outcome = "agrees" if chance <= TOLERANCE else "cannot tell"
    else:
        outcome = "differs" if off > chance else "cannot tell"
    return {
        "check": check, "data": float(data), "error": float(error),
        "simulation": float(simulation), "ratio": ratio, "outcome": outcome,
    }  # fmt: skip


def gammaness_of_excess(table, gamma, weight, cuts):
    """Gammaness of the excess beside that of simulated gammas, both of sum 1.

    Parameters
    ----------
    table : dict of str to ndarray
        Of `observed.binned_table` in `GAMMANESS_EDGES`, after the cut in theta.
    gamma : Reconstruction
    weight : ndarray, shape (n,)
    cuts : Cuts
        Of which theta counts.

    Returns
    -------
    dict of str to ndarray
        ``gammaness_min``, ``gammaness_max``, ``excess`` and ``error`` per total excess,
        ``simulation``.
    """
    loose = replace(cuts, gammaness=np.full(len(cuts.gammaness), -np.inf))
    inside = loose.select(gamma)
    expected, _ = np.histogram(gamma.gammaness[inside], GAMMANESS_EDGES, weights=weight[inside])
    total = table["excess"].sum()
    out = {k: table[k] for k in ("gammaness_min", "gammaness_max")}
    for name in ("excess", "error"):
        out[name] = table[name] / total if total > 0 else np.full(len(table[name]), np.nan)
    return out | {"simulation": expected / expected.sum() if expected.sum() else expected}
