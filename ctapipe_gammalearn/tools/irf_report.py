"""Figures and page of ``ctapipe-gammalearn-irf``."""

from ..files import whole_file

__all__ = ["write_report"]


def write_report(folder, summary, tables, overlays=()):
    """Write ``figures/*.svg`` and ``report.html``.

    Parameters
    ----------
    folder : Path
    summary : dict
        Content of ``summary.json``.
    tables : dict of str to Table
        From `irf_tables.all_tables` and `irf_observation.observe`.
    overlays : sequence of irf.overlays.Overlay
        Curves of other instruments.
    """
    from ..report.observation_figures import observation_section
    from ..report.page import page
    from ..report.time_figure import timing_section

    parts = _simulated(summary["settings"], tables, overlays) if summary["samples"] else []
    if "observation" in summary:
        parts.append(observation_section(tables, summary["observation"]))
    if summary["timing"]:
        settings = summary["settings"]
        parts.append(timing_section(summary["timing"], _labels(settings), settings["reference"]))
    (folder / "figures").mkdir(exist_ok=True)
    for figure in (f for part in parts for f in part.figures):
        _write(folder / "figures" / f"{figure.key}.svg", figure.svg)
    _write(folder / "report.html", page(summary, parts))


def _simulated(settings, tables, overlays):
    """Sections on simulated events."""
    from ..report.contents import sections
    from ..report.paint import Look

    look = Look(
        _labels(settings), settings["reference"], settings["spectra"]["gamma"], settings["obs_time"]
    )
    return sections(tables, look, settings["min_bkg_mc"], overlays)


def _labels(settings):
    """Names to print."""
    return {name: p.get("label", name) for name, p in settings["reconstructors"].items()}


def _write(path, text):
    """Write a text file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
