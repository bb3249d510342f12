"""What all figures are painted with: curves with bands, ratio panels, maps.

Tables are those of `irf.curves` and its neighbours.
"""

import textwrap
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter

from ..irf.samples import RECO_EDGES
from .figure import INK, STYLES

__all__ = ["Look", "band", "curve", "density_map", "energy_axis", "overlay", "rows_of", "versus"]

TRUE, RECO = "true energy / TeV", "reconstructed energy / TeV"
ENERGIES = 0.9 * RECO_EDGES[0], 1.1 * RECO_EDGES[-1]
#: of curves of other instruments
OVERLAY_LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Look:
    """Names and styles of the reconstructors.

    Attributes
    ----------
    labels : dict of str to str
        Name to print, by reconstructor.
    reference : str
    spectrum : str
        Name of the target spectrum of gammas.
    obs_time_h : float, h
    """

    labels: dict
    reference: str
    spectrum: str
    obs_time_h: float

    @property
    def order(self):
        """Names, the reference first."""
        return [self.reference, *(n for n in self.labels if n != self.reference)]

    def style(self, name):
        """Colour, line and marker of a reconstructor."""
        return STYLES[self.order.index(name) % len(STYLES)]


def rows_of(table, **wanted):
    """Rows in which columns have the wanted values."""
    keep = np.ones(len(table), dtype=bool)
    for column, value in wanted.items():
        keep &= np.asarray(table[column]) == value
    return table[keep]


def curve(axes, rows, style, label=None, columns=("value", "lo", "hi"), scale=1.0, faint=False):
    """Draw a curve by energy, or by offset, with its band.

    Bins that are not valid are hollow, without a band.
    """
    value, lo, hi = (np.asarray(rows[c], dtype=float) * scale for c in columns)
    valid = np.asarray(rows["valid"]) if "valid" in rows.colnames else np.isfinite(value)
    by = ("e_min", "e_max", "e_center_log")
    if "offset_center" in rows.colnames:
        by = ("offset_min", "offset_max", "offset_center")
    low, high, x = (np.asarray(rows[c]) for c in by)
    band(axes, low, high, *(np.where(valid, v, np.nan) for v in (lo, hi)), style)
    drawn = style | {"marker": ""} if faint else style
    alpha = 0.6 if faint else 1.0
    axes.plot(x, np.where(valid, value, np.nan), label=label, alpha=alpha, **drawn)
    if not faint:
        hollow = ~valid & np.isfinite(value)
        axes.plot(
            x[hollow], value[hollow], linestyle="", markerfacecolor="none", color=style["color"],
            marker=style["marker"],
        )  # fmt: skip


def band(axes, low, high, lo, hi, style):
    """Shade an interval in each bin, as wide as the bin."""
    x = np.column_stack([low, high]).ravel()
    lo, hi = (np.repeat(np.asarray(v, dtype=float), 2) for v in (lo, hi))
    axes.fill_between(x, lo, hi, color=style["color"], alpha=0.22, linewidth=0)


def versus(axes, table, look, columns=("versus", "versus_lo", "versus_hi")):
    """Draw the panel of ratios to the reference, or of differences, of valid bins."""
    ratio = table.meta["versus"] == "ratio"
    same = 1.0 if ratio else 0.0
    axes.axhline(same, color=INK, linewidth=0.8)
    axes.set_ylabel("ratio" if ratio else "difference")
    both = np.asarray(rows_of(table, reconstructor=look.reference)["valid"])
    seen = []
    for name in look.order[1:]:
        rows = rows_of(table, reconstructor=name)
        rows = rows[np.asarray(rows["valid"]) & both]
        curve(axes, rows, look.style(name), columns=columns)
        seen += [np.asarray(rows[c], dtype=float) for c in columns]
    seen = np.concatenate(seen) if seen else np.array([])
    seen = seen[np.isfinite(seen)]
    if len(seen):
        # one bin of few events must not flatten all others
        low, high = np.quantile(seen, [0.03, 0.97])
        low, high = min(low, same), max(high, same)
        room = 0.15 * max(high - low, 0.02)
        axes.set_ylim(low - room, high + room)


def energy_axis(axes, kind, label, log=False):
    """Logarithmic axis of energy in TeV; ``kind`` is true or reco."""
    axes.set_xscale("log")
    axes.set_xlim(*ENERGIES)
    axes.set_xlabel(TRUE if kind == "true" else RECO)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.set_ylabel(label)
    if log:
        log_axis(axes)


def log_axis(axes):
    """Logarithmic vertical axis with plain numbers where these are short; says if it is empty."""
    if not (np.isfinite(axes.dataLim.intervaly).all() and axes.dataLim.minposy < np.inf):
        axes.text(0.5, 0.5, "no bin with enough events", transform=axes.transAxes, ha="center")
        axes.set_yticks([])
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _plain(axes, v)))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: _plain(axes, v)))


def _plain(axes, value):
    """Label at 1, 2 and 5 of each decade; at all of less than one, at 1 of more than two."""
    low, high = sorted(axes.get_ylim())
    power = np.floor(np.log10(value) + 1e-9)
    decades = np.log10(high / low) if low > 0 else np.inf
    digits = (1,) if decades > 2 else (1, 2, 5) if decades > 0.35 else range(1, 10)
    if round(value / 10**power) not in digits:
        return ""
    return f"{value:g}" if 1e-3 <= value < 1e4 else f"{value / 10**power:.0f}e{power:.0f}"


def valid_limits(axes, table):
    """Set the vertical limits by the bins that are valid: hollow ones may be anywhere."""
    rows = table[np.asarray(table["valid"])]
    if len(rows):
        low, high = np.nanmin(rows["lo"]), np.nanmax(rows["hi"])
        room = 0.05 * (high - low) + 1e-6
        axes.set_ylim(low - room, high + room)


def overlay(axes, overlays, quantity):
    """Draw the curves of other instruments of one quantity."""
    for i, other in enumerate(o for o in overlays if o.quantity == quantity):
        line = OVERLAY_LINES[i % len(OVERLAY_LINES)]
        label = textwrap.fill(f"{other.label} (other instrument; {other.definition})", 60)
        axes.plot(other.energy, other.value, color=INK, alpha=0.55, linestyle=line, label=label)
        if other.lo is not None:
            axes.fill_between(other.energy, other.lo, other.hi, color=INK, alpha=0.1, linewidth=0)


def density_map(axes, x_edges, y_edges, values, label, log=True):
    """Draw a map as an image inside the figure; empty cells are left out."""
    values = np.ma.masked_less_equal(values, 0)
    norm = None
    if log and values.count():
        norm = LogNorm(values.min(), max(values.max(), 1.001 * values.min()))
    mesh = axes.pcolormesh(
        x_edges, y_edges, values.T, norm=norm, cmap="viridis", rasterized=True, linewidth=0
    )
    axes.grid(False)
    bar = axes.figure.colorbar(mesh, ax=axes, label=label)
    bar.outline.set_edgecolor(INK)
    return mesh
