"""Figures of distributions: scores, angles, energies, and events that only one has."""

import numpy as np

from ..irf.distributions import MIGRATION_EDGES
from .figure import INK, drawn
from .paint import band, curve, density_map, energy_axis, log_axis, rows_of

__all__ = ["angle_figures", "kept_figures", "migration_figures", "scatter_figures", "score_figures"]

GRID = MIGRATION_EDGES, MIGRATION_EDGES
SHADED = "Shaded: 95 % interval of a bootstrap of whole showers."


def score_figures(tables, look):
    """ROC curve, distributions of gammaness, purity against completeness.

    Parameters
    ----------
    tables : dict of str to Table
        ``roc``, ``gammaness`` and ``purity`` of `irf.score_curves`.
    look : paint.Look

    Returns
    -------
    list of Figure
    """
    return [
        drawn(
            "roc", "Background that passes",
            "Move the cut in gammaness: the part of the gammas that pass against the part of the"
            " background. The lower curve is better; which one is lower may depend on how many"
            f" gammas one wants to keep. Events that all reconstructors have, weighted. {SHADED}",
            "benchmarks/roc.ecsv", lambda axes: _roc(axes, tables["roc"], look),
        ),
        drawn(
            "gammaness", "Gammaness",
            "Distributions of gammaness of gammas (bold) and background (faint), each with"
            " area one. Scores of two reconstructors are not calibrated alike: the same value does"
            f" not mean the same. Events that all reconstructors have, weighted. {SHADED}",
            "benchmarks/gammaness.ecsv", lambda axes: _gammaness(axes, tables["gammaness"], look),
        ),
        drawn(
            "purity", "Purity and completeness",
            "Of the events in the circle of the source that pass a cut in gammaness, the part that"
            f" are gammas, against the part of the gammas kept, for a source of {look.spectrum}:"
            f" higher is better, and a fainter source has less purity. {SHADED}",
            "benchmarks/purity.ecsv", lambda axes: _purity(axes, tables["purity"], look),
        ),
    ]  # fmt: skip


def _roc(axes, table, look):
    """Background acceptance against gamma efficiency."""
    for name in look.order:
        rows, style = rows_of(table, reconstructor=name), look.style(name) | {"marker": ""}
        some = np.asarray(rows["value"]) > 0
        x, value = np.asarray(rows["efficiency"]), np.asarray(rows["value"])
        axes.plot(x[some], value[some], label=look.labels[name], **style)
        axes.fill_between(
            x[some], np.maximum(rows["lo"][some], value[some] / 100), rows["hi"][some],
            color=style["color"], alpha=0.22, linewidth=0,
        )  # fmt: skip
    log_axis(axes)
    axes.set_xlim(0, 1)
    axes.set_xlabel("part of the gammas that pass")
    axes.set_ylabel("part of the background that passes")


def _gammaness(axes, table, look):
    """Distributions of both kinds."""
    for name in look.order:
        style = look.style(name) | {"marker": ""}
        for kind in ("gamma", "background"):
            rows = rows_of(table, reconstructor=name, kind=kind)
            edges = np.append(rows["low"], rows["high"][-1])
            value = np.asarray(rows["value"])
            value = np.where(value > 0, value, np.nan)
            label, faint = look.labels[name], kind == "background"
            axes.stairs(
                value, edges, color=style["color"], linestyle=style["linestyle"],
                label=f"{label}: {kind}", alpha=0.55 if faint else 1.0,
                linewidth=1 if faint else 1.6, baseline=None,
            )  # fmt: skip
            low = np.where(np.isfinite(value), np.maximum(rows["lo"], value / 100), np.nan)
            band(axes, rows["low"], rows["high"], low, rows["hi"], style)
    log_axis(axes)
    axes.set_xlim(0, 1)
    axes.set_xlabel("gammaness")
    axes.set_ylabel("density")


def _purity(axes, table, look):
    """Purity against completeness."""
    for name in look.order:
        rows, style = rows_of(table, reconstructor=name), look.style(name) | {"marker": ""}
        axes.plot(rows["completeness"], rows["value"], label=look.labels[name], **style)
        axes.fill_between(
            rows["completeness"], rows["lo"], rows["hi"], color=style["color"], alpha=0.22,
            linewidth=0,
        )  # fmt: skip
    axes.set_xlim(0, 1)
    axes.set_xlabel("completeness")
    axes.set_ylabel("purity")


def angle_figures(table, look):
    """Distributions of theta² in bands of energy.

    Parameters
    ----------
    table : Table
        ``theta2`` of `irf.distributions`.
    look : paint.Look

    Returns
    -------
    list of Figure
    """
    figures = []
    for band_number in np.unique(table["band"]):
        rows = rows_of(table, band=band_number)
        low, high = rows["e_min"][0], rows["e_max"][0]

        def paint(axes, rows=rows):
            for name in look.order:
                own, style = rows_of(rows, reconstructor=name), look.style(name)
                edges = np.append(own["low"], own["high"][-1])
                axes.stairs(
                    own["value"], edges, color=style["color"], linestyle=style["linestyle"],
                    linewidth=1.4, label=look.labels[name], baseline=None,
                )  # fmt: skip
                band(axes, own["low"], own["high"], own["lo"], own["hi"], style)
                axes.hlines(
                    own["background"][0], 0, edges[-1], color=style["color"], alpha=0.6,
                    linestyle=":", label=f"background, {look.labels[name]}",
                )  # fmt: skip
            log_axis(axes)
            axes.set_xlabel("θ² / deg²")
            axes.set_ylabel(f"events in {look.obs_time_h:g} h")

        figures.append(
            drawn(
                f"theta2_{band_number}", f"θ², {low:g} to {high:g} TeV",
                "Gammas after the cut in gammaness by the square of the angle to the source, where"
                " a flat background makes a flat line (dotted): the steeper the gammas fall, the"
                f" smaller the circle that is needed. Source of {look.spectrum}, each"
                f" reconstructor's own events. {SHADED}",
                "benchmarks/theta2.ecsv", paint,
            )
        )  # fmt: skip
    return figures


def migration_figures(table, look):
    """Migration matrix of each reconstructor.

    Parameters
    ----------
    table : Table
        ``migration`` of `irf.distributions`.
    look : paint.Look

    Returns
    -------
    list of Figure
    """
    figures = []
    for name in look.order:
        rows = rows_of(table, reconstructor=name)

        def paint(axes, rows=rows):
            density_map(axes, *GRID, _grid(rows), "probability", log=False)
            energy_axis(axes, "true", "reconstructed energy / TeV", log=True)
            axes.plot(*(e[[0, -1]] for e in GRID), color=INK, linewidth=0.7, alpha=0.7)

        figures.append(
            drawn(
                f"migration_{name}", f"Migration of energy, {look.labels[name]}",
                "Each column: where gammas of that true energy end up, after all cuts. A narrow"
                " band on the diagonal is best; empty cells had no event. No interval is drawn: the"
                " table gives the number of gammas of each column.",
                "benchmarks/migration.ecsv", paint,
            )
        )  # fmt: skip
    return figures


def _grid(rows):
    """Probabilities on the grid, shape (n_true, n_reco)."""
    out = np.zeros([len(edges) - 1 for edges in GRID])
    # edges read from a file may differ in the last digit
    i, j = (
        np.searchsorted(edges, np.asarray(rows[c]) * (1 + 1e-9), "right") - 1
        for edges, c in zip(GRID, ("true_e_min", "e_min"), strict=True)
    )
    out[i, j] = rows["value"]
    return out


def scatter_figures(table, look):
    """What a candidate and the reference say of the same events.

    Parameters
    ----------
    table : Table
        ``scatter`` of `irf.distributions`.
    look : paint.Look

    Returns
    -------
    list of Figure
    """
    figures = []
    words = {
        ("gammaness", "gamma"): "Gammaness of gammas",
        ("gammaness", "background"): "Gammaness of background",
        ("log10_energy", "gamma"): "Energy of gammas",
    }
    for candidate in look.order[1:]:
        for (quantity, kind), title in words.items():
            rows = rows_of(table, candidate=candidate, quantity=quantity, kind=kind)

            def paint(axes, rows=rows, candidate=candidate, quantity=quantity):
                _scatter(axes, rows, look, candidate, quantity)

            figures.append(
                drawn(
                    f"scatter_{candidate}_{quantity}_{kind}", f"{title}, event by event",
                    "Events that both have, in cells of what each says of them: on the diagonal"
                    " they agree. Clusters far from it are showers that one of them misjudges. No"
                    " interval: these are the events themselves.",
                    "benchmarks/scatter.ecsv", paint,
                )
            )  # fmt: skip
    return figures


def _scatter(axes, rows, look, candidate, quantity):
    """Map of events."""
    names = look.labels[look.reference], look.labels[candidate]
    unit = "gammaness" if quantity == "gammaness" else "log10(E / TeV)"
    axes.set_xlabel(f"{unit}, {names[0]}")
    axes.set_ylabel(f"{unit}, {names[1]}")
    if not len(rows):
        return
    width = rows["width"][0]
    low = [np.asarray(rows[c]) for c in ("reference_low", "candidate_low")]
    start = min(v.min() for v in low)
    x, y = (np.rint((v - start) / width).astype(int) for v in low)
    size = max(x.max(), y.max()) + 1
    n = np.zeros((size, size))
    n[x, y] = rows["n"]
    edges = start + width * np.arange(size + 1)
    density_map(axes, edges, edges, n, "events")
    axes.plot(edges[[0, -1]], edges[[0, -1]], color=INK, linewidth=0.7, alpha=0.7)


def kept_figures(table, look):
    """Gammas that both have, or one only.

    Parameters
    ----------
    table : Table
        ``kept`` of `irf.distributions`.
    look : paint.Look

    Returns
    -------
    list of Figure
        Those before cuts only if not all events are both's.
    """
    figures = []
    words = {
        "valid": ("Gammas that only one reconstructs", "that have a valid reconstruction"),
        "above": ("Gammas that only one keeps", "that pass each one's cut in gammaness"),
    }
    for candidate in look.order[1:]:
        for selection, (title, which) in words.items():
            rows = rows_of(table, candidate=candidate, selection=selection)
            if selection == "valid" and not rows["n"][np.asarray(rows["group"]) != "both"].any():
                continue
            figures.append(_kept(rows, look, candidate, selection, title, which))
    return figures


def _kept(rows, look, candidate, selection, title, which):
    """Parts above, theta68 of each group below."""
    plain = {"color": "#808080", "linestyle": "-", "marker": "x"}
    styles = {
        "both": (plain, "both"),
        "only_candidate": (look.style(candidate), f"only {look.labels[candidate]}"),
        "only_reference": (look.style(look.reference), f"only {look.labels[look.reference]}"),
    }

    def painted(columns, labels):
        def paint(axes):
            for group, (style, label) in styles.items():
                own = rows_of(rows, group=group)
                own["e_center_log"] = np.sqrt(own["e_min"] * own["e_max"])
                own["valid"] = np.isfinite(own[columns[0]]) & (
                    (columns[0] == "value") | (np.asarray(own["n"]) >= 10)
                )
                curve(axes, own, style, label if labels else None, columns)

        return paint

    def above(axes):
        painted(("value", "lo", "hi"), True)(axes)
        energy_axis(axes, "true", "part of the gammas")

    def below(axes):
        painted(("theta68", "theta68_lo", "theta68_hi"), False)(axes)
        log_axis(axes)
        axes.set_ylabel("θ68 / deg")

    return drawn(
        f"kept_{candidate}_{selection}", title,
        f"Parts of the gammas {which}: of both, or of one only. Below, θ68 of these groups by the"
        f" reconstructor that has them (of both: {look.labels[candidate]}): who keeps more hard"
        f" events looks blurred only if they are counted. {SHADED}",
        "benchmarks/kept.ecsv", above, below,
    )  # fmt: skip
