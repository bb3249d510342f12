"""Figures by distance from the centre of the field of view."""

import numpy as np

from .energy_figures import with_ratio
from .figure import INK
from .page import Section
from .paint import curve, log_axis, rows_of, valid_limits

__all__ = ["offset_section"]

# table without "offset_": title, label of the axis, logarithmic, explanation, faint curve
FIGURES = {
    "efficiency": (
        "Gammas kept, by offset", "part of the gammas", False,
        "Part of the reconstructed gammas that pass the cut in gammaness (with markers), and that"
        " in θ, too (faint), far from the pointing as near to it: a curve that falls loses sources"
        " at the edge of the field of view. Each reconstructor's own events.", "efficiency_theta",
    ),
    "aeff": (
        "Effective area after cuts, by offset", "effective area / m²", True,
        "Selected over thrown gammas times the area they were thrown on. It falls where showers"
        " miss the camera, for everyone. Each reconstructor's own events.", None,
    ),
    "theta68": (
        "Angular resolution, by offset", "θ68 / deg", True,
        "Angle around the true direction within which 68 % of the gammas are reconstructed; lower"
        " is sharper. Images at the edge of the camera are cut off, and blur. Events that all"
        " reconstructors have, before any cut.", None,
    ),
    "eres": (
        "Energy resolution, by offset", "resolution of E/E_true", True,
        "Half of the width of E/E_true that holds the central 68 % of the gammas; lower is"
        " sharper. Events that all reconstructors have, before any cut.", None,
    ),
    "bias": (
        "Energy bias, by offset", "median of E/E_true − 1", False,
        "Median error of the energy; 0 is best. Light that misses the camera makes energies too"
        " low. Events that all reconstructors have.", None,
    ),
    "auc": (
        "Separation, by offset", "AUC", False,
        "Probability that a gamma has a higher gammaness than a background event from the same"
        " ring: 0.5 is a coin, 1 is perfect. A curve that falls tells gammas and background apart"
        " less well where images are cut off. Events that all reconstructors have; background by"
        " its spectrum.", None,
    ),
    "background_efficiency": (
        "Background kept, by offset", "part of the background", True,
        "Part of the background from each ring that passes the cut in gammaness; lower is cleaner."
        " Read it together with the gammas kept. Events that all reconstructors have; background"
        " by its spectrum.", None,
    ),
}  # fmt: skip
NONE = (
    "No diffuse gammas were given, so nothing is known of sources elsewhere in the field of view,"
    " nor how well they are told from the background there: give DL2 files of gammas of a cone"
    " with --gamma-diffuse. The background comes from everywhere, and is shown."
)


def offset_section(tables, look):
    """Figures of diffuse gammas by true offset, or what to give to have them.

    Parameters
    ----------
    tables : dict of str to Table
        With those of `irf.offset_separation` and, if there are diffuse gammas, `irf.offsets`.
    look : paint.Look

    Returns
    -------
    Section
    """
    figures = [_figure(tables, look, key) for key in FIGURES if f"offset_{key}" in tables]
    if "offset_efficiency" not in tables:
        return Section("By offset", NONE, figures)
    first = tables["offset_efficiency"][0]
    text = (
        f"Diffuse gammas of {first['e_min']:g} to {first['e_max']:g} TeV, all energies together and"
        " unweighted, in rings around the pointing: most are of the lowest energies that trigger."
        " Descriptive, no part of the verdict, whose gammas are those of the source. Hatched: rings"
        " with too few events for one of the reconstructors."
    )
    return Section("By offset", text, figures)


def _figure(tables, look, key):
    """One quantity by offset."""
    title, label, log, text, faint = FIGURES[key]
    table = tables[f"offset_{key}"]

    def paint(axes):
        for name in look.order:
            style = look.style(name)
            curve(axes, rows_of(table, reconstructor=name), style, look.labels[name])
            if faint:
                rows = rows_of(tables[f"offset_{faint}"], reconstructor=name)
                curve(axes, rows, style, faint=True)
        axes.set_xlim(table["offset_min"].min(), table["offset_max"].max())
        axes.set_xlabel("true offset from the pointing / deg")
        axes.set_ylabel(label)
        if log:
            log_axis(axes)
        elif faint:
            axes.set_ylim(0, 1)
        else:
            valid_limits(axes, table)
        if key == "bias":
            axes.axhline(0, color=INK, linewidth=0.8)
        _mark_gaps(axes, table)

    return with_ratio(f"offset_{key}", title, text, table, paint, look, f"offset_{key}")


def _mark_gaps(axes, table):
    """Hatch the rings in which a reconstructor has too few events."""
    rows = table[~np.asarray(table["valid"])]
    rings = zip(rows["offset_min"], rows["offset_max"], strict=True)
    for i, (low, high) in enumerate(sorted({*rings})):
        axes.axvspan(
            low, high, facecolor="none", edgecolor=INK, alpha=0.6, hatch="///", linewidth=0,
            label="_" if i else "too few events",
        )  # fmt: skip
