"""Which figures the report has, in which order."""

from .energy_figures import cuts_figures, endpoint_figure, energy_figures
from .event_figures import (
    angle_figures,
    kept_figures,
    migration_figures,
    scatter_figures,
    score_figures,
)
from .offset_figures import offset_section
from .page import Section

__all__ = ["sections"]


def sections(tables, look, min_bkg_mc, overlays=()):
    """Draw all figures.

    Parameters
    ----------
    tables : dict of str to Table
        All of `irf.curves`, `irf.distributions` and `irf.offsets`, and ``endpoints``.
    look : paint.Look
    min_bkg_mc : int
    overlays : sequence of Overlay

    Returns
    -------
    list of Section
    """
    parts = [
        Section(
            "By energy",
            "Descriptive: what single bins say is no verdict. Energies are logarithmic, in TeV.",
            energy_figures(tables, look, overlays) + cuts_figures(tables["cuts"], look, min_bkg_mc),
        ),
        offset_section(tables, look),
        Section("Separation", "", score_figures(tables, look)),
        Section(
            "Directions and energies",
            "",
            angle_figures(tables["theta2"], look) + migration_figures(tables["migration"], look),
        ),
    ]
    if len(look.order) == 1:
        return parts
    rows = tables["endpoints"]
    glance = [
        endpoint_figure(rows[rows["candidate"] == name], name, look)
        for name in look.order[1:]
        if (rows["candidate"] == name).any()
    ]
    both = kept_figures(tables["kept"], look) + scatter_figures(tables["scatter"], look)
    return [Section("Endpoints", "", glance), *parts, Section("Event by event", "", both)]
