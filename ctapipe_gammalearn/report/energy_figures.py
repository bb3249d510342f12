"""Figures by energy: sensitivity, resolution, area, rates, cuts."""

import numpy as np
from astropy.table import Table
from matplotlib.ticker import FuncFormatter, NullLocator

from .figure import INK, drawn
from .paint import curve, energy_axis, overlay, rows_of, valid_limits, versus

__all__ = ["cuts_figures", "endpoint_figure", "energy_figures", "with_ratio"]

BAND = (
    "Shaded: 95 % interval of a bootstrap of whole showers. Below: {word} to {reference}, paired,"
    " as both saw the same showers; bins without enough events are hollow above and left out below."
)
STEPS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100)
ALONE = (
    "Shaded: 95 % interval of a bootstrap of whole showers; bins without enough events are hollow."
)
# (table, title, label of the axis, logarithmic, explanation)
PLAIN = {
    "theta68": (
        "Angular resolution", "θ68 / deg", True,
        "Angle around the true direction within which 68 % of the gammas are reconstructed; lower"
        " is sharper. Events that all reconstructors have, before any cut.",
    ),
    "eres": (
        "Energy resolution", "resolution of E/E_true", True,
        "Half of the width of E/E_true that holds the central 68 % of the gammas; lower is"
        " sharper. Events that all reconstructors have, before any cut.",
    ),
    "bias": (
        "Energy bias", "median of E/E_true − 1", False,
        "Median error of the energy; 0 is best. At the lowest energies only showers that"
        " fluctuate upwards trigger, which makes it positive for everyone. Events that all have.",
    ),
    "aeff": (
        "Effective area after cuts", "effective area / m²", True,
        "Selected over thrown gammas times the area they were thrown on: higher sees more. After"
        " the cuts in gammaness and θ, each reconstructor's own events.",
    ),
    "background_rate": (
        "Background rate", "background / (1/s/deg²)", True,
        "Protons (and electrons, if given) per bin of energy, second and square degree that pass"
        " the cut in gammaness; lower is cleaner, for the same gammas kept.",
    ),
    "auc": (
        "Separation by energy", "AUC", False,
        "Probability that a gamma has a higher gammaness than a background event of the same"
        " reconstructed energy: 0.5 is a coin, 1 is perfect. Events that all reconstructors have.",
    ),
}  # fmt: skip


def energy_figures(tables, look, overlays=()):
    """Figures of the benchmarks by energy.

    Parameters
    ----------
    tables : dict of str to Table
        From `irf.curves.benchmark_tables`.
    look : paint.Look
    overlays : sequence of Overlay
        Curves of other instruments.

    Returns
    -------
    list of Figure
    """
    figures = [
        _sensitivity(tables["sensitivity"], look, overlays),
        _percent(tables["sensitivity"], look),
    ]
    for key, (title, label, log, text) in PLAIN.items():
        table = tables[key]

        def paint(axes, table=table, label=label, log=log, key=key):
            for name in look.order:
                rows = rows_of(table, reconstructor=name)
                curve(axes, rows, look.style(name), look.labels[name])
            overlay(axes, overlays, key)
            energy_axis(axes, table.meta["energy"], label, log)
            if not log:
                valid_limits(axes, table)
            if key == "bias":
                axes.axhline(0, color=INK, linewidth=0.8)

        figures.append(with_ratio(key, title, text, table, paint, look))
    figures.append(_two_lines(tables, look, "efficiency", "efficiency_theta"))
    figures.append(_two_lines(tables, look, "containment68", "containment95"))
    return figures


def with_ratio(key, title, text, table, paint, look, file=None):
    """Draw a figure with the panel of ratios, if there is something to compare.

    Parameters
    ----------
    key, title, text : str
        Of the figure; what is said of all of them is added.
    table : Table
        Of `irf.curves.by_bin`.
    paint : callable
        Draws the upper panel.
    look : paint.Look
    file : str, optional
        Name of the table, if it is not that of its metric.

    Returns
    -------
    Figure
    """
    name = file or table.meta["metric"]
    if len(look.order) == 1:
        return drawn(key, title, f"{text} {ALONE}", f"benchmarks/{name}.ecsv", paint)
    word = "ratio" if table.meta["versus"] == "ratio" else "difference"
    text = f"{text} {BAND.format(word=word, reference=look.labels[look.reference])}"

    def below(axes):
        versus(axes, table, look)

    return drawn(key, title, text, f"benchmarks/{name}.ecsv", paint, below)


def _sensitivity(table, look, overlays):
    """Flux limit in absolute units."""

    def paint(axes):
        columns = "energy_flux", "energy_flux_lo", "energy_flux_hi"
        for name in look.order:
            rows = rows_of(table, reconstructor=name)
            curve(axes, rows, look.style(name), look.labels[name], columns)
        overlay(axes, overlays, "sensitivity")
        energy_axis(axes, "reco", "E² × flux limit / (erg/cm²/s)", log=True)

    text = (
        f"Faintest source seen in {look.obs_time_h:g} h in each bin of energy (five standard"
        " deviations, ten events, 5 % of the background); lower is better. Spectrum of the source:"
        f" {look.spectrum}. {_left_out(table, look)}"
    )
    return with_ratio("sensitivity", "Sensitivity", text, table, paint, look)


def _percent(table, look):
    """Flux limit in percent of the target spectrum."""

    def paint(axes):
        for name in look.order:
            rows = rows_of(table, reconstructor=name)
            curve(axes, rows, look.style(name), look.labels[name], scale=100)
        energy_axis(axes, "reco", f"flux limit / %\nof {look.spectrum}", log=True)

    text = (
        f"The same in percent of {look.spectrum}. This number depends on which spectrum is called"
        f" the Crab's, by factors at low energies. {_left_out(table, look)}"
    )
    return with_ratio("sensitivity_percent", "Sensitivity in percent", text, table, paint, look)


def _left_out(table, look):
    """How many bins have no sensitivity, in words."""
    known = [int(np.isfinite(rows_of(table, reconstructor=n)["value"]).sum()) for n in look.order]
    total = len(table) // len(look.order)
    parts = [f"{look.labels[n]} {k} of {total}" for n, k in zip(look.order, known, strict=True)]
    return (
        f"Bins with a sensitivity: {', '.join(parts)}; in the others too little simulated"
        " background is left to choose a cut or to count, and nothing is drawn."
    )


def _two_lines(tables, look, first, second):
    """Draw two related quantities; the second faint."""
    title, label, text, log = {
        "efficiency": (
            "Gammas kept by the cuts", "part of the gammas",
            "Part of the reconstructed gammas that pass the cut in gammaness (with markers), and"
            " that in θ, too (faint). Each reconstructor's own events.", False,
        ),
        "containment68": (
            "Point spread after cuts", "containment radius / deg",
            "Radii that contain 68 % (with markers) and 95 % (faint) of the gammas that pass the"
            " cut in gammaness: what a source looks like in the sky map. A 95 % radius much more"
            " than 1.6 times the other one means long tails. Each reconstructor's own events.",
            True,
        ),
    }[first]  # fmt: skip

    def paint(axes):
        for name in look.order:
            style = look.style(name)
            curve(axes, rows_of(tables[first], reconstructor=name), style, look.labels[name])
            curve(axes, rows_of(tables[second], reconstructor=name), style, faint=True)
        energy_axis(axes, tables[first].meta["energy"], label, log)

    return with_ratio(first, title, text, tables[first], paint, look)


def cuts_figures(table, look, min_bkg_mc):
    """Figures of the cuts, and of what they leave.

    Parameters
    ----------
    table : Table
        From `irf.curves.cuts_table`.
    look : paint.Look
    min_bkg_mc : int
        Simulated background that optimised cuts must leave.

    Returns
    -------
    list of Figure
    """

    def painted(column, label, log=False, line=None):
        def paint(axes):
            for name in look.order:
                rows = _halves(rows_of(table, reconstructor=name), column)
                curve(axes, rows, look.style(name), look.labels[name])
            energy_axis(axes, "reco", label, log)
            if line:
                axes.axhline(line, color=INK, linewidth=0.8, linestyle="--")

        return paint

    halves = (
        "The line is the mean of two cuts, shaded between them: each was chosen on one half of the"
        " showers and used on the other. Hollow: too few events to choose as asked."
    )
    return [
        drawn(
            "cuts", "Cuts chosen",
            f"Events pass at or above this gammaness and, below, within this θ. {halves}",
            "benchmarks/cuts.ecsv", painted("gammaness", "gammaness"), painted("theta", "θ / deg"),
        ),
        drawn(
            "cuts_left", "What the cuts leave",
            "Part of the gammas at or above the cut in gammaness and, below, simulated protons that"
            f" passed when the cut was chosen; dashed: the {min_bkg_mc} that optimised cuts must"
            f" leave. {halves}",
            "benchmarks/cuts.ecsv", painted("gamma_efficiency", "gamma efficiency"),
            painted("n_bkg_mc", "protons left", True, min_bkg_mc),
        ),
    ]  # fmt: skip


def _halves(rows, column):
    """Mean and range of the cuts of both halves."""
    pair = [rows_of(rows, half=i) for i in (0, 1)]
    values = np.stack([np.asarray(p[column], dtype=float) for p in pair])
    out = Table({k: pair[0][k] for k in ("e_min", "e_max", "e_center_log")})
    out["value"], out["lo"], out["hi"] = values.mean(axis=0), values.min(axis=0), values.max(axis=0)
    out["valid"] = np.logical_and(*(np.asarray(p["valid"]) for p in pair))
    return out


def endpoint_figure(rows, name, look):
    """All endpoints of a candidate in units of the margin.

    Parameters
    ----------
    rows : Table
        Of the verdict: ``label``, ``gain``, ``effect``, ``lo``, ``hi`` and ``margin``.
    name : str
        Candidate.
    look : paint.Look

    Returns
    -------
    Figure
    """

    def paint(axes):
        place = -np.arange(len(rows), dtype=float)
        # to the right is better, whatever the endpoint
        scale = np.asarray(rows["gain"] / rows["margin"], dtype=float)
        middle = np.asarray(rows["effect"]) * scale
        ends = np.sort(np.stack([np.asarray(rows[c]) * scale for c in ("lo", "hi")]), axis=0)
        style = look.style(name)
        axes.axvspan(-1, 1, color=INK, alpha=0.08, linewidth=0)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.hlines(place, *ends, color=style["color"], linewidth=2)
        axes.plot(middle, place, linestyle="", color=style["color"], marker=style["marker"])
        axes.set_yticks(place, list(rows["label"]))
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.set_xlabel("effect / margin (to the right is better)")
        axes.set_xscale("symlog", linthresh=1)
        reach = max(2.0, 1.3 * np.nanmax(np.abs(ends), initial=0))
        axes.set_xlim(-reach, reach)
        axes.set_xticks([t for t in STEPS if abs(t) < reach], minor=False)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.xaxis.set_minor_locator(NullLocator())

    return drawn(
        f"endpoints_{name}", f"{look.labels[name]} against {look.labels[look.reference]}",
        "Each endpoint with its 95 % interval, in units of the margin that was fixed beforehand as"
        " what matters in practice (shaded), so that the right is better for all. An interval"
        " beyond the shade is a difference that matters; one inside it, none; one across its edge"
        " cannot tell.",
        "benchmarks/endpoints.ecsv", paint, size=(4.8, 0.8 + 0.34 * len(rows)),
    )  # fmt: skip
