"""Verdict on two reconstructions: rules fixed before the data are seen, and no free text.

Each endpoint is one number: the mean over qualified energy bins of ln(candidate / reference), or
of the difference of areas under the ROC curve.  Its standard error over the replicas of
`bootstrap` gives a two-sided p value, corrected for the number of endpoints after Holm.  Bins
qualify by their numbers of events, before the replicas are drawn; what single bins say is
description and no verdict.

References
----------
Holm 1979, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 65.
Schuirmann 1987, https://doi.org/10.1007/BF01068419 (equivalence: 90 % interval inside margins).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import erfc

from ..exceptions import IRFError
from .bootstrap import interval, standard_error

__all__ = [
    "ENDPOINTS",
    "Endpoint",
    "Qualification",
    "holm",
    "probability",
    "qualified_bins",
    "verdict",
]

LEVEL = 0.05  # of the corrected p values
#: least one to print: a normal distribution with an error from some hundred replicas is a guess of
#: powers of ten there
LEAST_P = 1e-10
MIN_GAMMA, MIN_BACKGROUND = 100, 30


@dataclass(frozen=True)
class Kind:
    """How an endpoint is compared, and what it is called.

    Attributes
    ----------
    label : str
    gain : int
        +1 if more is better, else -1.
    is_ratio : bool
        Compared by its ratio, else by its difference.
    words : tuple of str
        For less and for more.
    events : str
        Of which more would make the answer sharper.
    """

    label: str
    gain: int
    is_ratio: bool
    words: tuple[str, str]
    events: str


#: endpoints by name
ENDPOINTS = {
    "auc": Kind("AUC", 1, False, ("lower", "higher"), "protons"),
    "theta68": Kind("θ68", -1, True, ("smaller", "larger"), "gammas"),
    "eres": Kind("energy resolution", -1, True, ("narrower", "wider"), "gammas"),
    "aeff": Kind("effective area", 1, True, ("smaller", "larger"), "gammas"),
    "sensitivity": Kind("flux limit", -1, True, ("lower", "higher"), "protons"),
}


@dataclass(frozen=True, eq=False)
class Qualification:
    """Energy bins that count for an endpoint.

    Attributes
    ----------
    mask : ndarray, shape (n_bins,), bool
    shortage : str
        Why no bin qualifies; empty if one does.
    edges : ndarray, shape (n_bins + 1,), TeV, optional
    """

    mask: np.ndarray
    shortage: str = ""
    edges: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Endpoint:
    """One quantity of both reconstructions in bins of energy.

    Attributes
    ----------
    name : str
        Of `ENDPOINTS`.
    candidate, reference : ndarray, shape (1 + n_replicas, n_bins)
        The data, then the same replicas of both: see `bootstrap.bootstrap`.
    bins : Qualification
    n : int
        Events used.
    """

    name: str
    candidate: np.ndarray
    reference: np.ndarray
    bins: Qualification
    n: int

    def __post_init__(self):
        if self.name not in ENDPOINTS:
            raise IRFError(f"no endpoint {self.name!r}; choose one of {', '.join(ENDPOINTS)}")
        shapes = [np.shape(v) for v in (self.candidate, self.reference)]
        if shapes[0] != shapes[1] or shapes[0][1:] != self.bins.mask.shape:
            raise IRFError(
                f"{self.name}: values {shapes[0]} and {shapes[1]} in bins {self.bins.mask.shape};"
                " give the same replicas and bins of both"
            )


def qualified_bins(
    edges,
    energy_range,
    n_gamma,
    n_background=None,
    min_gamma=MIN_GAMMA,
    min_background=MIN_BACKGROUND,
):
    """Bins with enough events for a verdict.

    Parameters
    ----------
    edges : ndarray, shape (n_bins + 1,), TeV
    energy_range : tuple of float, TeV
        A bin is inside if its geometric centre is.
    n_gamma : ndarray, shape (n_bins,)
        Gammas behind the values: the smaller number of both reconstructions.
    n_background : ndarray, shape (n_bins,), optional
        Simulated (not weighted) background events behind them, likewise.
    min_gamma, min_background : int

    Returns
    -------
    Qualification
    """
    edges = np.asarray(edges, dtype=np.float64)
    centre = np.sqrt(edges[1:] * edges[:-1])
    mask = (centre >= energy_range[0]) & (centre <= energy_range[1])
    if not mask.any():
        return Qualification(
            mask, f"no bin between {energy_range[0]:g} and {energy_range[1]:g} TeV", edges
        )
    wanted = [("gammas", n_gamma, min_gamma), ("background events", n_background, min_background)]
    for events, n, needed in wanted:
        if n is None:
            continue
        most = int(np.max(np.asarray(n)[mask]))
        mask = mask & (np.asarray(n) >= needed)
        if not mask.any():
            return Qualification(mask, f"not enough {events} ({most} of {needed} needed)", edges)
    return Qualification(mask, edges=edges)


def holm(p):
    """P values corrected for their number.

    Parameters
    ----------
    p : array_like, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)


def probability(p):
    """P value to print: so small that replicas cannot tell how small, it is only small.

    Parameters
    ----------
    p : float

    Returns
    -------
    str
    """
    return f"{p:.2g}" if p >= LEAST_P else f"< {LEAST_P:.0e}"


def verdict(endpoints, candidate, reference, auc_margin=0.005, ratio_margin=0.05):
    """Compare two reconstructions.

    Parameters
    ----------
    endpoints : list of Endpoint
        All of them: the more there are, the stronger the correction.
    candidate, reference : str
        Names to print.
    auc_margin : float
        Difference of AUC that matters in practice.
    ratio_margin : float
        Relative difference that matters in practice; up and down are the same step of the
        logarithm, ln(1 + margin), so that exchanging the two exchanges the verdict.

    Returns
    -------
    rows : list of dict
        Of each endpoint: ``name``, ``candidate``, ``reference`` (mean over the bins, geometric
        of a ratio) with ``candidate_ci95``, ``reference_ci95``; ``effect`` (ln ratio, or
        difference) with ``se``, ``ci95``, ``ci90``, the ``margin`` in the same unit, ``p``,
        ``p_holm``, ``n``, ``n_bins``, ``outcome`` (better, worse, small, equivalent, undecided,
        not evaluable), ``sentence``, and ``more`` (times as many events needed, if undecided).
        None for what there is not.
    headline : str
    """
    rows = []
    for endpoint in endpoints:
        margin = np.log1p(ratio_margin) if ENDPOINTS[endpoint.name].is_ratio else auc_margin
        rows.append(_measure(endpoint, float(margin)))
    known = [row for row in rows if row["p"] is not None]
    for row, p in zip(known, holm([row["p"] for row in known]), strict=True):
        row["p_holm"] = float(p)
        row["outcome"] = _outcome(row)
    for row in rows:
        if row["outcome"] == "undecided":
            row["more"] = (_half_width(row["ci95"]) / row["margin"]) ** 2
        row["sentence"] = _sentence(row, candidate, reference) + _where(row)
    return rows, _headline(rows, candidate, reference)


def _measure(endpoint, margin):
    """Row of an endpoint, up to the p value."""
    values = [np.asarray(v, dtype=np.float64) for v in (endpoint.candidate, endpoint.reference)]
    is_ratio = ENDPOINTS[endpoint.name].is_ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = [np.log(v) for v in values] if is_ratio else values
        used = endpoint.bins.mask & np.isfinite(a[0]) & np.isfinite(b[0])
        # a difference of logarithms: exchanging the two flips the sign and nothing else
        difference = (a - b)[:, used]
    row = {"name": endpoint.name, "n": int(endpoint.n), "n_bins": int(used.sum()), "margin": margin}
    unknown = "candidate", "candidate_ci95", "reference", "reference_ci95", "effect", "se"
    row |= dict.fromkeys((*unknown, "ci95", "ci90", "p", "p_holm", "more"))
    row["energy_range"] = _reach(endpoint.bins.edges, used)
    row |= {"outcome": "not evaluable", "shortage": endpoint.bins.shortage or "no finite value"}
    if not used.any():
        return row
    effect = difference.mean(axis=1)
    known = np.isfinite(effect[1:]).sum()
    if 2 * known <= len(effect) - 1:
        return row | {"shortage": "most replicas have empty bins"}
    error = float(standard_error(effect[1:]))
    means = [v[:, used].mean(axis=1) for v in (a, b)]
    means = [np.exp(m) if is_ratio else m for m in means]
    return row | {
        "candidate": float(means[0][0]),
        "candidate_ci95": [float(v) for v in interval(means[0][1:])],
        "reference": float(means[1][0]),
        "reference_ci95": [float(v) for v in interval(means[1][1:])],
        "effect": float(effect[0]),
        "se": error,
        "ci95": [float(v) for v in interval(effect[1:], 0.95)],
        "ci90": [float(v) for v in interval(effect[1:], 0.90)],
        "p": _p_value(float(effect[0]), error),
        "shortage": "",
    }


def _reach(edges, used):
    """Energies (TeV) from the first to the last bin that is used; None if unknown."""
    if edges is None or not used.any():
        return None
    first, last = np.flatnonzero(used)[[0, -1]]
    return [float(edges[first]), float(edges[last + 1])]


def _p_value(effect, error):
    """Two-sided, of a normal distribution: replicas are too few to count their tails."""
    if effect == 0:
        return 1.0
    return float(erfc(abs(effect) / error / np.sqrt(2))) if error > 0 else 0.0


def _outcome(row):
    """Outcome of a row with its corrected p value."""
    if row["p_holm"] < LEVEL:
        if abs(row["effect"]) <= row["margin"]:
            return "small"
        return "better" if row["effect"] * ENDPOINTS[row["name"]].gain > 0 else "worse"
    low, high = row["ci90"]
    return "equivalent" if -row["margin"] < low and high < row["margin"] else "undecided"


def _half_width(limits):
    """Half of the width of an interval."""
    return (limits[1] - limits[0]) / 2


def _sentence(row, candidate, reference):
    """One row in words."""
    kind = ENDPOINTS[row["name"]]
    match row["outcome"]:
        case "not evaluable":
            return f"{kind.label}: {row['shortage']}"
        case "equivalent":
            return f"no practical difference in {kind.label} (90 % CI {_signed(row, 'ci90')})"
        case "undecided":
            # a limit short of the margin by chance alone gives no useful number
            more = f"about {row['more']:.2g} times as many" if row["more"] > 1 else "somewhat more"
            return (
                f"this sample cannot tell: the 95 % CI of {kind.label} is {_signed(row, 'ci95')};"
                f" {more} {kind.events} needed"
            )
        case "small":
            margin = _size(kind, row["margin"])
            return f"{_found(row, candidate)}: measurable but smaller than the {margin} margin"
        case "worse":
            return f"{reference} is better: {_found(row, candidate)}"
    return _found(row, candidate)


def _where(row):
    """How many bins a sentence is about, such as ' in 9 bins, 0.02 to 2 TeV'."""
    if row["outcome"] == "not evaluable" or row["energy_range"] is None:
        return ""
    low, high = row["energy_range"]
    if row["n_bins"] == 1:
        return f"; a single bin decides, {low:.2g} to {high:.2g} TeV"
    return f" in {row['n_bins']} bins, {low:.2g} to {high:.2g} TeV"


def _found(row, candidate):
    """A difference with its interval, such as '12.0 % smaller θ68 (95 % CI 9.1 to 14.8 %)'."""
    kind = ENDPOINTS[row["name"]]
    more = row["effect"] > 0
    sign = 1 if more else -1
    low, high = sorted(sign * _percent(kind, v) for v in row["ci95"])
    size = _size(kind, row["effect"])
    limits = f"{low:.1f} to {high:.1f} %" if kind.is_ratio else f"{low:.4f} to {high:.4f}"
    return f"{candidate} has {size} {kind.words[more]} {kind.label} (95 % CI {limits})"


def _percent(kind, effect):
    """Percent of the reference, of a logarithm; a difference as it is."""
    return 100 * np.expm1(effect) if kind.is_ratio else effect


def _size(kind, effect):
    """Size of an effect."""
    value = abs(_percent(kind, effect))
    return f"{value:.1f} %" if kind.is_ratio else f"{value:.4f}"


def _signed(row, key):
    """An interval with signs."""
    kind = ENDPOINTS[row["name"]]
    digits, unit = ("+.1f", " %") if kind.is_ratio else ("+.4f", "")
    # adding 0 makes a negative zero positive
    low, high = (_percent(kind, v) + 0.0 for v in row[key])
    return f"{low:{digits}} to {high:{digits}}{unit}"


def _headline(rows, candidate, reference):
    """The verdict in one sentence.

    Without a sensitivity nothing is called better: cleaner or sharper events may be fewer.
    """
    labels = {
        outcome: [ENDPOINTS[r["name"]].label for r in rows if r["outcome"] == outcome]
        for outcome in ("better", "worse", "small", "equivalent", "undecided", "not evaluable")
    }
    others = {
        "small": "differences below the margin",
        "equivalent": "no practical difference",
        "undecided": "undecided",
        "not evaluable": "not evaluable",
    }
    rest = [f"{text} in {_list(labels[o], rows)}" for o, text in others.items() if labels[o]]
    better, worse = (_list(labels[o], rows) for o in ("better", "worse"))
    if not any(r["name"] == "sensitivity" and r["outcome"] != "not evaluable" for r in rows):
        found = [f"{w} in favour of {n}" for n, w in ((reference, worse), (candidate, better)) if w]
        return "No overall verdict without a sensitivity: " + "; ".join(found + rest)
    # a gain in one quantity must not hide a loss in another that users feel
    loss = any(r["outcome"] == "worse" and r["name"] != "auc" for r in rows)
    named = [f"{n} better in {w}" for n, w in ((candidate, better), (reference, worse)) if w]
    return ("Mixed: " if loss and better else "") + "; ".join(named + rest)


def _list(labels, rows):
    """Number and names of endpoints; empty if there are none."""
    return f"{len(labels)} of {len(rows)} endpoints ({', '.join(labels)})" if labels else ""
