"""Real-data section of the report: what was seen at a source and around it."""

import numpy as np
from matplotlib.ticker import FuncFormatter

from .figure import INK, STYLES, drawn
from .page import Key, Section, Table

__all__ = ["observation_section"]

ON_OFF = (
    "Off regions are as large as the region of the source and as far from the pointing, where a"
    " source would be seen as well."
)
CURVE = (
    "A curve, no choice: the cut that is best in these data by chance is not the cut of the"
    " numbers above."
)


def observation_section(tables, observation):
    """Section of the report.

    Parameters
    ----------
    tables : dict of str to dict of str to ndarray, or to Table
        Of `tools.irf_observation.observe`.
    observation : dict
        Section ``observation`` of the summary.

    Returns
    -------
    Section
    """
    labels, reference = observation["labels"], observation["reference"]
    order = [reference, *(n for n in labels if n != reference)]
    look = {n: (labels[n], STYLES[i % len(STYLES)]) for i, n in enumerate(order)}
    where = {key: f"benchmarks/{key}.ecsv" for key in tables}
    figures = [_theta2(tables, n, look, where) for n in order]
    figures += [_scan(tables, look, where), _significance(tables, look, where)]
    figures += [_bins(tables, c, look, where) for c in ("energy", "intensity")]
    figures.append(_zenith(tables, look, where))
    equal = "observation_equal_background"
    if equal in tables and len(tables[equal]) > 1:
        figures += [_equal(tables[equal], n, reference, look, where) for n in order[1:]]
    if "observation_simulation" in tables:
        figures += [_simulation(tables, n, look, where) for n in order]
    return Section(
        f"Observation of {observation['source']['name']}", _text(observation),
        [figure for figure in figures if figure], _tables(observation, order),
    )  # fmt: skip


def _text(o):
    """Paragraph of what was done."""
    n = "–".join(str(k) for k in sorted({o["off_regions_min"], o["off_regions_max"]}))
    zenith = "–".join(f"{k:.0f}" for k in sorted({o["zenith_min_deg"], o["zenith_max_deg"]}))
    return (
        f"{o['n_runs']} runs, {o['live_h']:.3g} h without dead time, zenith angles {zenith} deg;"
        f" regions of {o['radius_deg']:.3g} deg, {n} of them off the source in a run; cuts"
        f" {o['cuts']}. Significances by Li & Ma (1983), equation 17; statistical uncertainties"
        " only."
    )


def _tables(o, order):
    """Small tables: numbers, paired comparison, data against simulation."""
    at = ("observation", "reconstructors")
    columns = {
        "on": ("n_on", ".0f"), "off": ("n_off", ".0f"), "α": ("alpha", ".4f"),
        "background": ("background", ".1f"), "excess": ("excess", ".1f"), "±": ("error", ".1f"),
        "σ": ("significance", ".2f"), "σ/√h": ("significance_per_sqrt_h", ".2f"),
        "gammas/min": ("excess_per_min", ".3f"), "background/min": ("background_per_min", ".3f"),
    }  # fmt: skip
    rows = [
        [o["labels"][n], *(Key((*at, n, key), f) for key, f in columns.values())] for n in order
    ]
    found = [Table("At the source and around it", ["", *columns], rows)]
    found += [_compared(o, name) for name in o["comparison"]]
    found += [_agreement(o, name) for name in o["agreement"]]
    return found


def _compared(o, name):
    """Paired comparison of one reconstructor with the reference."""
    at = "observation", "comparison", name
    labels = [o["labels"][n] for n in (name, o["reference"])]
    head = ["at", *(f"{w}: {label}" for label in labels for w in ("excess", "background"))]
    rows = []
    for i in range(len(o["comparison"][name])):
        both = (Key((*at, i, who, k), ".1f") for who in ("candidate", "reference")
                for k in ("excess", "background"))  # fmt: skip
        tested = (Key((*at, i, k), f) for k, f in (("difference", "+.1f"), ("error", ".1f"),
                  ("p", ".2g")))  # fmt: skip
        rows.append([Key((*at, i, "policy")), *both, *tested])
    title = f"{labels[0]} against {labels[1]}, on the same triggers"
    return Table(title, [*head, "difference", "±", "p"], rows)


def _agreement(o, name):
    """Data against simulation of one reconstructor."""
    words = {"gammaness": "kept by the cut in gammaness", "theta": "within the cut in θ",
             "rate": "gammas/min"}  # fmt: skip
    at, rows = ("observation", "agreement", name), []
    for i, row in enumerate(o["agreement"][name]):
        keys = (Key((*at, i, k), ".3g") for k in ("data", "error", "simulation", "ratio"))
        rows.append([words[row["check"]], *keys, Key((*at, i, "outcome"))])
    head = ["", "data", "±", "simulation", "ratio", "outcome"]
    return Table(f"{o['labels'][name]}: data and simulation", head, rows)


def _of(table, name):
    """Columns of one reconstructor."""
    keep = np.asarray(table["reconstructor"]) == name
    names = table.colnames if hasattr(table, "colnames") else table
    return {c: np.asarray(table[c])[keep] for c in names}


def _theta2(tables, name, look, where):
    """Events by squared angle."""
    key, (label, style) = "observation_theta2", look[name]
    rows = _of(tables[key], name)

    def paint(axes):
        edges = np.append(rows["theta2_min"], rows["theta2_max"][-1:])
        axes.stairs(rows["off"], edges, fill=True, color=INK, alpha=0.25, label="mean of off")
        middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        axes.errorbar(middle, rows["on"], rows["on_error"], half, label="source",
                      linestyle="", color=style["color"], marker=style["marker"])  # fmt: skip
        axes.set_xlabel("θ² / deg²")
        axes.set_ylabel("events")
        axes.set_ylim(0)

    text = (
        "Events by the squared angle to the source, where each bin is an equal area: background is"
        f" flat, a point source a peak at 0. Grey: the mean of the off regions. {ON_OFF} After the"
        " cut in gammaness; a quarter of the region is one bin."
    )
    return drawn(f"{key}_{name}", f"θ² of {label}", text, where[key], paint)


def _scan(tables, look, where):
    """Excess and background against the cut."""
    key = "observation_gammaness"

    def paint(axes):
        for name, (label, style) in look.items():
            rows = _of(tables[key], name)
            x, excess = rows["gammaness"], rows["excess_per_min"]
            _band(axes, x, excess, rows["error_per_min"], style)
            axes.plot(x, _positive(excess), label=f"{label}, excess", markevery=5, **style)
            axes.plot(x, _positive(rows["background_per_min"]), color=style["color"], alpha=0.6,
                      linestyle=style["linestyle"], label=f"{label}, background")  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlabel("cut in gammaness")
        axes.set_ylabel("events / minute")

    text = (
        "Gammas (excess, shaded: one standard error) and background in the region of the source"
        f" above each cut; thin lines are background. A good classifier loses background long"
        f" before gammas. {CURVE}"
    )
    return drawn(key, "Excess and background by cut", text, where[key], paint)


def _significance(tables, look, where):
    """Significance per root hour against the cut."""
    key = "observation_gammaness"

    def paint(axes):
        for name, (label, style) in look.items():
            rows = _of(tables[key], name)
            y = rows["significance_per_sqrt_h"]
            axes.plot(rows["gammaness"], y, label=label, markevery=5, **style)
        axes.set_xlabel("cut in gammaness")
        axes.set_ylabel("significance / √h")

    text = (
        "Significance grows with the root of the time: per √h, observations of different lengths"
        f" compare, and the highest curve finds this source first. {CURVE}"
    )
    return drawn("observation_significance", "Significance by cut", text, where[key], paint)


def _bins(tables, column, look, where):
    """Excess and background in bins of energy or intensity."""
    key = f"observation_{column}"
    if not np.any(tables[key]["n_on"]):
        return None
    words = {"energy": "reconstructed energy / TeV", "intensity": "intensity / p.e."}

    def paint(axes):
        for name, (label, style) in look.items():
            rows = _of(tables[key], name)
            low, high = rows[f"{column}_min"], rows[f"{column}_max"]
            seen = rows["n_on"] + rows["n_off"] > 0
            y, error = (np.where(seen, rows[k], np.nan) for k in ("excess", "error"))
            axes.errorbar(np.sqrt(low * high), y, error, label=f"{label}, excess",
                          **style)  # fmt: skip
            edges = np.append(low, high[-1:])
            axes.stairs(rows["background"], edges, color=style["color"], alpha=0.6,
                        linestyle=style["linestyle"], label=f"{label}, background")  # fmt: skip
        seen = np.flatnonzero(np.asarray(tables[key]["n_on"]) + np.asarray(tables[key]["n_off"]))
        axes.set_xlim(np.min(np.asarray(tables[key][f"{column}_min"])[seen]),
                      np.max(np.asarray(tables[key][f"{column}_max"])[seen]))  # fmt: skip
        axes.set_yscale("symlog", linthresh=10)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xlabel(words[column])
        axes.set_ylabel("events")

    text = (
        f"Gammas (points with one standard error) and background (steps) by {column} after all"
        " cuts; the axis is linear up to 10 events. Where only background is left, nothing is"
        " gained by keeping the events."
    )
    return drawn(key, f"Excess by {column}", text, where[key], paint)


def _zenith(tables, look, where):
    """Rates of each run by zenith angle."""
    key = "observation_runs"

    def paint(axes):
        for name, (label, style) in look.items():
            rows = _of(tables[key], name)
            dots = style | {"linestyle": ""}
            axes.errorbar(rows["zenith"], rows["excess_per_min"], rows["error_per_min"],
                          label=f"{label}, excess", **dots)  # fmt: skip
            axes.plot(rows["zenith"], rows["background_per_min"], markerfacecolor="none",
                      label=f"{label}, background", alpha=0.6, **dots)  # fmt: skip
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xlabel("zenith angle / deg")
        axes.set_ylabel("events / minute")

    text = (
        "Rates of each run after all cuts, gammas with one standard error, background hollow. A"
        " steady source gives one smooth curve; a run off it had clouds or a fault."
    )
    return drawn(key, "Rates by zenith angle", text, where[key], paint)


def _equal(table, name, reference, look, where):
    """Excess of two reconstructors at equal background."""
    rows, key = _of(table, name), "observation_equal_background"
    if not len(rows["ratio"]):
        return None
    x = rows["background_per_min"]
    both = (("candidate", name), ("reference", reference))

    def paint(axes):
        for who, n in both:
            label, style = look[n]
            y = rows[f"{who}_excess_per_min"]
            _band(axes, x, y, rows[f"{who}_error_per_min"], style)
            axes.plot(x, y, label=label, markevery=5, **style)
        axes.set_xscale("log")
        axes.set_xlabel("background / (1/minute)")
        axes.set_ylabel("gammas / minute")

    def ratio(axes):
        axes.axhline(1, color=INK, linewidth=0.8)
        _band(axes, x, rows["ratio"], rows["ratio_error"], look[name][1])
        axes.plot(x, rows["ratio"], markevery=5, **look[name][1])
        axes.set_ylabel("ratio")

    text = (
        "Scores are not calibrated alike, so cuts of equal gammaness compare nothing: here both"
        " keep the same background, and the higher curve keeps more gammas. Shaded: one standard"
        " error; that of the ratio is of events that only one of the two keeps. Neighbouring"
        " points share their events."
    )
    title = f"{look[name][0]} against {look[reference][0]}"
    return drawn(f"{key}_{name}", f"{title} at equal background", text, where[key], paint, ratio)


def _simulation(tables, name, look, where):
    """Gammaness of the excess and of simulated gammas."""
    key, (label, style) = "observation_simulation", look[name]
    rows = _of(tables[key], name)

    def paint(axes):
        edges = np.append(rows["gammaness_min"], rows["gammaness_max"][-1:])
        axes.stairs(rows["simulation"], edges, fill=True, color=INK, alpha=0.25, label="simulation")
        axes.errorbar((edges[1:] + edges[:-1]) / 2, rows["excess"], rows["error"], label="excess",
                      linestyle="", color=style["color"], marker=style["marker"])  # fmt: skip
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_xlabel("gammaness")
        axes.set_ylabel("part of all gammas")

    text = (
        "Gammaness of the gammas in the data (on minus off, within the cut in θ, one standard"
        " error) and in the simulation. If they differ, efficiencies from simulations are wrong"
        " for these data: night sky, mirrors, calibration."
    )
    return drawn(f"{key}_{name}", f"Gammaness of gammas: {label}", text, where[key], paint)


def _band(axes, x, y, error, style):
    """Shade one standard error."""
    low, high = y - error, y + error
    if axes.get_yscale() == "log":
        low = _positive(low)
    axes.fill_between(x, low, high, color=style["color"], alpha=0.22, linewidth=0)


def _positive(values):
    """NaN where a logarithmic axis has no place."""
    return np.where(values > 0, values, np.nan)
