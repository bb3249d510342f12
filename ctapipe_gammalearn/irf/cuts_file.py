"""Files of cuts, in the layout that ``ctapipe-optimize-event-selection`` writes.

ctapipe 0.28 finds the tables by their place, later ones by their names.
"""

from itertools import pairwise

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.io.registry import IORegistryError
from astropy.table import QTable, Table

from ..exceptions import IRFError
from .cuts import ROUNDING, Cuts

__all__ = ["cuts_hdus", "read_cuts"]

#: bins by which written tables go on at both ends, where `Cuts` take the nearest: ctapipe
#: rejects energies outside its table, which biases what is measured near the ends
MORE_BINS = 3
# what astropy raises for files that are cut off, or of which bytes have changed
DAMAGED = (OSError, fits.VerifyError, IORegistryError, KeyError, TypeError, ValueError)
# how ctapipe says that there is no criterion
NO_CRITERION = (" ", " ")


def read_cuts(path):
    """Cuts of a file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    cuts : Cuts
        Energies beyond the edges fail, as in ctapipe. The cuts are taken as given: all finite
        ones are evaluable, and no event stands behind them.
    classifier : str
        Prefix of the gammaness that was cut in.
    criteria : list of (str, str)
        Names and expressions of the selection of events for which the cuts were chosen.

    Raises
    ------
    IRFError
        No such file, another kind of file, or bins that cannot be used.
    """
    score, classifier = _table(path, "GH_CUTS")
    theta, _ = _table(path, "RAD_MAX")
    telescopes, _ = _table(path, "MULTIPLICITY_CUTS", required=False)
    edges = _edges(path, score, "GH_CUTS")
    for name, table in (("RAD_MAX", theta), ("MULTIPLICITY_CUTS", telescopes)):
        if table is not None and not np.array_equal(_edges(path, table, name), edges):
            raise IRFError(f"{path}: bins of {name} are not those of GH_CUTS; choose other cuts")
    gammaness, theta_deg = _values(path, score, "cut"), _values(path, theta, "cut", u.deg)
    passing = np.isfinite(gammaness) & np.isfinite(theta_deg)
    cuts = Cuts(
        edges=edges,
        gammaness=np.where(passing, gammaness, np.nan),
        theta_deg=np.where(passing, theta_deg, np.nan),
        gamma_efficiency=_values(path, score, "efficiency"),
        theta_efficiency=_values(path, theta, "efficiency"),
        n_bkg_mc=np.zeros(len(edges) - 1, np.int64),
        evaluable=passing,
        beyond=False,
        multiplicity=None if telescopes is None else _values(path, telescopes, "cut"),
    )
    criteria, _ = _table(path, "QUALITY_CUTS_EXPR")
    criteria = [(str(name), str(text)) for name, text in criteria.iterrows()]
    return cuts, classifier, [c for c in criteria if any(word.strip() for word in c)]


def cuts_hdus(cuts, classifier, criteria, offsets):
    """Tables of a file of cuts.

    Parameters
    ----------
    cuts : Cuts
    classifier : str
        Prefix of the gammaness.
    criteria : list of (str, str)
        Names and expressions of ctapipe's selection of events.
    offsets : tuple of float, deg
        Of the source, for which they are good.

    Returns
    -------
    list of astropy.io.fits.BinTableHDU
        QUALITY_CUTS_EXPR, GH_CUTS, VALID_ENERGY, VALID_OFFSET, RAD_MAX and, of cuts in the number
        of telescopes, MULTIPLICITY_CUTS. Where nothing passes the gammaness is infinite, and
        theta that of the nearest bin: ctapipe interpolates it, and fails on NaN.
    """
    n_more = MORE_BINS if cuts.beyond else 0
    wider = _wider(cuts.edges, n_more)
    energy = {"low": wider[:-1] * u.TeV, "high": wider[1:] * u.TeV}
    energy["center"] = (energy["low"] + energy["high"]) / 2
    column = lambda values: np.pad(values, n_more, "edge")  # noqa: E731
    criteria = Table(rows=list(criteria) or [NO_CRITERION], names=["name", "cut_expr"])
    passing = np.isfinite(cuts.gammaness) & np.isfinite(cuts.theta_deg)
    gammaness = np.where(passing, cuts.gammaness, np.inf)
    # the cut is often the theta of an event, which ctapipe has in other last digits
    theta_deg = _nearest(cuts.theta_deg, passing) * (1 + ROUNDING)
    score = {"cut": column(gammaness), "efficiency": column(cuts.gamma_efficiency)}
    theta = {"cut": column(theta_deg) * u.deg, "efficiency": column(cuts.theta_efficiency)}
    limits = {"energy": cuts.edges[[0, -1]] * u.TeV, "offset": offsets * u.deg}
    ranges = {k: QTable({f"{k}_min": v[:1], f"{k}_max": v[1:]}) for k, v in limits.items()}
    tables = {
        "QUALITY_CUTS_EXPR": criteria,
        "GH_CUTS": QTable(energy | score, meta={"CLFNAME": classifier}),
        "VALID_ENERGY": ranges["energy"],
        "VALID_OFFSET": ranges["offset"],
        "RAD_MAX": QTable(energy | theta),
    }
    if cuts.multiplicity is not None:
        tables["MULTIPLICITY_CUTS"] = QTable(energy | {"cut": column(cuts.multiplicity)})
    return [fits.BinTableHDU(table, name=name) for name, table in tables.items()]


def _wider(edges, n):
    """Edges that go on by n bins as wide as the first and as the last."""
    steps = np.arange(1, n + 1)
    below = edges[0] * (edges[0] / edges[1]) ** steps[::-1]
    return np.concatenate([below, edges, edges[-1] * (edges[-1] / edges[-2]) ** steps])


def _nearest(values, known):
    """Values of the nearest known bin; 0 without any."""
    places = np.flatnonzero(known)
    if not len(places):
        return np.zeros(len(values))
    distance = np.abs(np.arange(len(values))[:, None] - places)
    return values[places[np.argmin(distance, axis=1)]]


def _table(path, name, required=True):
    """Table of a file, None if it may be missing and is, and the classifier that it names."""
    try:
        with fits.open(path) as hdus:
            table = Table.read(hdus[name]) if name in hdus else None
    except DAMAGED:
        raise IRFError(f"{path}: no FITS file, or damaged; give a file of cuts") from None
    if table is None:
        if not required:
            return None, ""
        raise IRFError(
            f"{path}: no table {name}; give cuts in gammaness and theta as"
            " ctapipe-optimize-event-selection writes them"
        )
    classifier = table.meta.get("CLFNAME", "")
    if name == "GH_CUTS" and not classifier:
        raise IRFError(f"{path}: GH_CUTS does not name its classifier (CLFNAME); write it again")
    return table, classifier


def _values(path, table, name, unit=u.one):
    """Column as floats, NaN where there is none of that name."""
    if name not in table.colnames:
        if name == "efficiency":
            return np.full(len(table), np.nan)
        raise IRFError(f"{path}: {table.meta['EXTNAME']}: no column {name}; is it of ctapipe?")
    column = table[name]
    try:
        factor = u.Unit(column.unit or u.one).to(unit)
    except u.UnitConversionError:
        raise IRFError(
            f"{path}: {table.meta['EXTNAME']}: {name} in {column.unit}, not {unit}; write it again"
        ) from None
    return np.asarray(np.ma.filled(np.ma.asarray(column, float), np.nan)) * factor


def _edges(path, table, name):
    """Edges of the energy bins, TeV."""
    low, high = (_values(path, table, k, u.TeV) for k in ("low", "high"))
    edges = np.append(low, high[-1:])
    gaps = any(a >= b for a, b in pairwise(edges)) or not np.array_equal(high[:-1], low[1:])
    if len(edges) < 2 or gaps or not np.isfinite(edges).all():
        raise IRFError(f"{path}: {name}: bins with gaps or without order; write it again")
    return edges
