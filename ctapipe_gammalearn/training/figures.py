"""Figures of a comparison: each function draws one set of axes, and needs no display."""

from pathlib import Path

import numpy as np

__all__ = ["coverage", "energy_curve", "gammaness", "roc", "save"]

COVERAGE = 0.68


CURVES = {
    "psi68": "68 % containment radius (deg)",
    "energy_bias": "energy bias",
    "energy_resolution": "energy resolution (68 %)",
}


def _axes(**settings):
    """A figure with one set of axes, apart from pyplot and its global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.2), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set(**settings)
    axes.grid(alpha=0.3)
    return figure, axes


def save(figure, path):
    """Write a figure as PNG; complete or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    FigureCanvasAgg(figure).print_png(str(part))
    part.replace(path)


def roc(methods):
    """Background left against efficiency for gammas.

    Parameters
    ----------
    methods : dict of str to Results
        By name; those without gammaness are left out.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _axes(
        xlabel="fraction of gammas kept",
        ylabel="fraction of background left",
        xlim=(0, 1),
        ylim=(1e-3, 1),
        yscale="log",
    )
    for name, results in _with(methods, "gammaness"):
        score = np.asarray(results.gammaness)
        signal, background = (np.sort(score[results.is_gamma == kind]) for kind in (True, False))
        if not len(signal) or not len(background):
            continue
        kept = np.linspace(0.02, 1, 99)
        cuts = np.quantile(signal, 1 - kept)
        left = 1 - np.searchsorted(background, cuts, "right") / len(background)
        axes.plot(kept, np.where(left > 0, left, np.nan), label=name)
    return _finish(figure, axes)


def gammaness(methods):
    """Distributions of gammaness of both classes; arguments as for `roc`."""
    figure, axes = _axes(xlabel="gammaness", ylabel="density", xlim=(0, 1))
    edges = np.linspace(0, 1, 41)
    for number, (name, results) in enumerate(_with(methods, "gammaness")):
        for kind, style, label in ((True, "-", "gammas"), (False, "--", "background")):
            score = results.gammaness[results.is_gamma == kind]
            counts = np.histogram(score, edges)[0] / max(len(score), 1) / np.diff(edges)
            axes.stairs(counts, edges, color=f"C{number}", ls=style, label=f"{name}, {label}")
    return _finish(figure, axes)


def energy_curve(rows, metric, label, *, energy="true energy"):
    """A figure of merit against energy.

    Parameters
    ----------
    rows : list of dict
        With ``method``, ``low``, ``high`` (TeV) and the figures of merit.
    metric : str
        Key of the rows, such as psi68.
    label : str
        Of the y axis, with the unit.
    energy : str
        What the bins are in.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _axes(xlabel=f"{energy} (TeV)", ylabel=label, xscale="log")
    for name in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == name and metric in row]
        low, high, value = (np.array([row[key] for row in own]) for key in ("low", "high", metric))
        if len(own):
            centre = np.sqrt(low * high)
            widths = {"xerr": (centre - low, high - centre), "yerr": _errors(own, metric)}
            axes.errorbar(centre, value, **widths, fmt="o", ms=4, label=name)
    if metric == "energy_bias":
        axes.axhline(0, color="0.4", lw=1)
    else:
        axes.set_ylim(bottom=0)
    return _finish(figure, axes)


def coverage(rows):
    """Fraction of gammas inside their 68 % regions against reconstructed energy.

    Parameters
    ----------
    rows : list of dict
        With ``method``, ``low``, ``high`` (TeV); ``energy_coverage`` and
        ``direction_coverage`` of the methods that state uncertainties.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _axes(
        xlabel="reconstructed energy (TeV)", ylabel="coverage", xscale="log", ylim=(0, 1)
    )
    for number, name in enumerate(dict.fromkeys(row["method"] for row in rows)):
        for metric, marker in (("energy_coverage", "o"), ("direction_coverage", "s")):
            own = [row for row in rows if row["method"] == name and metric in row]
            if own:
                centre = [np.sqrt(row["low"] * row["high"]) for row in own]
                label = f"{name}, {metric.split('_')[0]}"
                value = [row[metric] for row in own]
                style = {"fmt": marker + "-", "color": f"C{number}", "ms": 4}
                axes.errorbar(centre, value, _errors(own, metric), **style, label=label)
    axes.axhline(COVERAGE, color="0.4", lw=1)
    return _finish(figure, axes)


def draw_all(folder, methods, tables):
    """Write all figures that the predictions allow.

    Parameters
    ----------
    folder : path-like
    methods : dict of str to Results
    tables : dict of str to list of dict
        Of `ctapipe_gammalearn.training.comparison.compare`.
    """
    drawn = {}
    if any(results.gammaness is not None for results in methods.values()):
        drawn["roc"] = roc(methods)
        drawn["gammaness"] = gammaness(methods)
    for metric, label in CURVES.items():
        if any(metric in row for row in tables["true_energy"]):
            drawn[metric] = energy_curve(tables["true_energy"], metric, label)
    rows = tables.get("reco_energy", ())
    if any(key.endswith("_coverage") for row in rows for key in row):
        drawn["coverage"] = coverage(rows)
    for name, figure in drawn.items():
        save(figure, Path(folder) / f"{name}.png")


def _errors(rows, metric):
    """Standard errors; nothing to draw where there are none."""
    return [row.get(f"{metric}_error", np.nan) for row in rows]


def _with(methods, column):
    """Methods that have a column."""
    return [(n, r) for n, r in methods.items() if getattr(r, column) is not None]


def _finish(figure, axes):
    """Legend, if there is something to explain."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
    return figure
