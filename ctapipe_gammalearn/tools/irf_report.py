"""Figures and page of ``ctapipe-gammalearn-irf``."""

import os

__all__ = ["write_page", "write_report"]


def write_report(folder, summary, tables, overlays=(), more=()):
    """Write ``figures/*.svg`` and ``report.html``.

    Parameters
    ----------
    folder : Path
    summary : dict
        Content of ``summary.json``.
    tables : dict of str to Table
        From `irf_tables.all_tables`.
    overlays : sequence of report.overlays.Overlay
        Curves of other instruments.
    more : sequence of report.page.Section
        After ours.
    """
    from ..report.contents import sections
    from ..report.paint import Look

    settings = summary["settings"]
    labels = {n: p.get("label", n) for n, p in settings["reconstructors"].items()}
    spectrum = settings["spectra"]["gamma"]
    look = Look(labels, settings["reference"], spectrum, settings["obs_time"])
    write_page(folder, summary, [*sections(tables, look, settings["min_bkg_mc"], overlays), *more])


def write_page(folder, summary, parts):
    """Write the figures of sections and the page."""
    from ..report.page import page

    (folder / "figures").mkdir(exist_ok=True)
    for figure in (f for part in parts for f in part.figures):
        _write(folder / "figures" / f"{figure.key}.svg", figure.svg)
    _write(folder / "report.html", page(summary, parts))


def _write(path, text):
    """Write a text file whole or not at all."""
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
