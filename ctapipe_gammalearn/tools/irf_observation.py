"""Real-data part of ``ctapipe-gammalearn-irf``: options, input, analysis."""

import numpy as np
from astropy.table import Table
from ctapipe.core.traits import Float, Int, List, Tuple, Unicode

from ..exceptions import IRFError
from .base import InputPath, ModelTool

__all__ = ["ObservationOptions", "observe", "simulated_beside", "source_position"]

#: right ascension and declination (J2000, deg) of sources to test a telescope on
SOURCES = {
    "Crab": (83.6331, 22.0145), "Mrk 421": (166.1138, 38.2088), "Mrk 501": (253.4676, 39.7602),
    "1ES 1959+650": (299.9994, 65.1485), "BL Lac": (330.6804, 42.2778),
}  # fmt: skip

UNITS = {
    "theta2_min": "deg2", "theta2_max": "deg2", "energy_min": "TeV", "energy_max": "TeV",
    "zenith": "deg", "live_time": "s", "significance_per_sqrt_h": "h-0.5",
}  # fmt: skip


class ObservationOptions(ModelTool):
    """Options of the real-data part."""

    observation = List(
        InputPath(), help="DL2 file of an observation, of ctapipe or lstchain; repeat for more."
    ).tag(config=True)
    source = Unicode(
        "", help=f"Observed source: {', '.join(SOURCES)}, or 'ra dec' in deg (J2000)."
    ).tag(config=True)
    off_regions = Int(
        0, min=0, help="At most so many off regions in a run; 0 for as many as fit."
    ).tag(config=True)
    excluded = List(
        Tuple(Float(), Float(), Float()),
        help="Right ascension, declination and radius (deg) of what off regions must not touch.",
    ).tag(config=True)

    def check_observation(self, alone):
        """Refuse what cannot be analysed; ``alone``: without simulations."""
        if not self.source:
            raise IRFError(f"{self.name}: no source of the observation; give --source")
        source_position(self.source)
        if alone and self.cuts_mode not in ("fixed", "optimised"):
            raise IRFError(
                f"cuts_mode {self.cuts_mode} needs simulated gammas: give --gamma and --proton, or"
                " --cuts-mode fixed"
            )


def source_position(text):
    """Name, right ascension and declination (rad) of a source.

    Raises
    ------
    IRFError
        An unknown name, or no position on the sky.
    """
    plain = {name.lower().replace(" ", ""): name for name in SOURCES}
    name = plain.get(text.lower().replace(" ", ""))
    try:
        ra, dec = SOURCES[name] if name else (float(word) for word in text.split())
    except ValueError:
        raise IRFError(
            f"source {text!r}: no coordinates, and none of {', '.join(SOURCES)}; give --source"
            " 'ra dec' in deg"
        ) from None
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        raise IRFError(f"source {text!r}: not on the sky; give --source 'ra dec' in deg")
    return name or text, (float(np.deg2rad(ra)), float(np.deg2rad(dec)))


def observe(tool, simulated=None):
    """Read and analyse observations.

    Parameters
    ----------
    tool : IrfTool
        Its options.
    simulated : irf.observation.Simulated, optional

    Returns
    -------
    tables : dict of str to Table
        With a column ``reconstructor``.
    summary : dict
        Section ``observation`` of the summary.

    Raises
    ------
    IRFError
        See `io.observations.read_observation` and `irf.on_off.off_regions`.
    """
    from ..io.observations import read_observation
    from ..irf.observation import Analysis

    events = read_observation(tool.observation, tool.reconstructors, tool.level, tool.quality)
    name, source = source_position(tool.source)
    analysis = Analysis(
        events, source, tool.gammaness_cut, tool.theta_cut, tool.cuts_mode == "fixed", simulated,
        tool.off_regions, tool.excluded,
    )  # fmt: skip
    reference = tool.reference if tool.reference in analysis.names else analysis.names[0]
    others = [n for n in analysis.names if n != reference]
    tables = analysis.tables()
    equal = {n: analysis.equal_background(n, reference) for n in others}
    tables |= {"equal_background": equal} if others else {}
    labels = {n: tool.reconstructors.get(n, {}).get("label", n) for n in analysis.names}
    summary = _described(analysis, name) | {
        "reference": reference,
        "labels": labels,
        "reconstructors": analysis.numbers(),
        "comparison": {n: analysis.compared(n, reference) for n in others},
        "agreement": analysis.agreement(labels),
    }
    # agreement adds to them
    summary["notes"] = analysis.notes
    return {f"observation_{k}": _stacked(k, v) for k, v in tables.items()}, summary


def _described(analysis, name):
    """What was observed and how it was cut."""
    runs, field = analysis.observation.runs, analysis.field
    zenith = [run.zenith_deg for run in runs]
    n_off = [len(centres) for centres in field.regions]
    return {
        "source": {
            "name": name, "ra_deg": float(np.rad2deg(field.source[0])),
            "dec_deg": float(np.rad2deg(field.source[1])),
        },
        "n_runs": len(runs), "n_triggers": sum(run.n_triggers for run in runs),
        "n_events": len(analysis.observation.run),
        "elapsed_h": sum(run.elapsed_s for run in runs) / 3600,
        "live_h": sum(run.live_s for run in runs) / 3600,
        "zenith_min_deg": min(zenith), "zenith_max_deg": max(zenith),
        "off_regions_min": min(n_off), "off_regions_max": max(n_off),
        "radius_deg": field.radius_deg, "cuts": analysis.how,
    }  # fmt: skip


def _stacked(metric, by_name):
    """One table of those of all reconstructors."""
    parts = [
        {"reconstructor": np.full(len(next(iter(t.values()), ())), name)} | t
        for name, t in by_name.items()
    ]
    parts = [p for p in parts if len(p) > 1] or parts[:1]
    table = Table({column: np.concatenate([p[column] for p in parts]) for column in parts[0]})
    for column in table.colnames:
        table[column].unit = "1/min" if column.endswith("_per_min") else UNITS.get(column)
    table.meta = {"metric": metric}
    return table


def simulated_beside(tool, data):
    """Simulated gammas and cuts as an observation needs them.

    Parameters
    ----------
    tool : IrfTool
    data : IrfData
    """
    from ..irf.observation import Simulated

    cuts = {n: tool.choose(n)(data.samples, data.weights) for n in tool.reconstructors}
    # the rate of no other source is known
    crab = source_position(tool.source)[0] == "Crab" and tool.spectra["gamma"].startswith("CRAB_")
    return Simulated(data.samples, data.weights, cuts, tool.obs_time if crab else None)
