"""Published curves of other instruments, to be drawn beside ours."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

import numpy as np
from astropy.table import Table

from ..exceptions import IRFError

__all__ = ["Overlay", "overlay_table", "overlays"]

FILE = "overlays.ecsv"


@dataclass(frozen=True, eq=False)
class Overlay:
    """A curve of another instrument.

    Attributes
    ----------
    label : str
        Instrument and year, as the legend says it.
    quantity : str
        ``sensitivity`` (erg / (cm2 s)), ``theta68`` (deg), ``eres`` or ``aeff`` (m2).
    definition : str
        How it was measured, where that differs from ours: spectrum, hours, containment.
    energy : ndarray, shape (n,), TeV
        Geometric centres of the bins.
    value : ndarray, shape (n,)
    lo, hi : ndarray, shape (n,), optional
        Interval.
    """

    label: str
    quantity: str
    definition: str
    energy: np.ndarray
    value: np.ndarray
    lo: np.ndarray | None = None
    hi: np.ndarray | None = None


def overlays(names):
    """Curves by name.

    Parameters
    ----------
    names : sequence of str
        One name may stand for several quantities of an instrument.

    Returns
    -------
    list of Overlay

    Raises
    ------
    IRFError
        Unknown name; the nearest are suggested.
    """
    table = _table() if names else None
    return [curve for name in names for curve in _curves(table, name)]


def overlay_table(curves):
    """Curves one below the other.

    Parameters
    ----------
    curves : list of Overlay

    Returns
    -------
    Table
    """
    rows = []
    for c in curves:
        none = np.full(len(c.value), np.nan)
        lo, hi = (none if limit is None else limit for limit in (c.lo, c.hi))
        names = {"label": c.label, "quantity": c.quantity, "definition": c.definition}
        for energy, value, low, high in zip(c.energy, c.value, lo, hi, strict=True):
            rows.append(names | {"energy": energy, "value": value, "lo": low, "hi": high})
    table = Table(rows)
    table["energy"].unit = "TeV"
    return table


@cache
def _table():
    """All curves; sources and licences are in the header of the file."""
    return Table.read(files("ctapipe_gammalearn") / "resources" / FILE, format="ascii.ecsv")


def _curves(table, name):
    """Yield the quantities under a name."""
    rows = table[table["name"] == name]
    if not len(rows):
        known = list(dict.fromkeys(table["name"].tolist()))
        close = get_close_matches(name, known, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise IRFError(f"overlays: no curve {name!r}; {hint}")
    for quantity in dict.fromkeys(rows["quantity"].tolist()):
        curve = rows[rows["quantity"] == quantity]
        curve.sort("e_min")
        lo, hi = (np.array(curve[key]) for key in ("lo", "hi"))
        limits = (lo, hi) if np.isfinite(lo).any() else (None, None)
        energy = np.sqrt(np.array(curve["e_min"]) * np.array(curve["e_max"]))
        label, definition = (str(curve[key][0]) for key in ("label", "definition"))
        yield Overlay(label, quantity, definition, energy, np.array(curve["value"]), *limits)
