"""Tables, response functions, summary and report of ``ctapipe-gammalearn-irf``."""

from dataclasses import dataclass

import numpy as np

from ..irf.offset_separation import separation_tables
from ..irf.offsets import offset_tables
from ..irf.overlays import overlay_table
from ..irf.verdict import probability
from ..irf.weights import spectrum_named
from .base import say
from .irf_cuts import dl2_prefixes
from .irf_report import write_report
from .irf_responses import write_cuts, write_responses
from .irf_summary import (
    background_left,
    bookkeeping,
    by_offset,
    described,
    file_record,
    warnings,
    write_summary,
)
from .irf_tables import all_tables, write_replicas, write_tables

__all__ = ["Outcome", "print_verdict", "write_all"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Everything that the tool has found out.

    Attributes
    ----------
    data : IrfData
    events : irf.curves.Events
    found : dict
        From `irf.comparison.benchmarks` and `irf.curves.own_benchmarks`.
    verdicts : dict of str to (list of dict, str)
        Rows and headline by reconstructor.
    settings : dict
        Options, for the record.
    files : dict of str to list of Path
    choose : dict of str to callable
        From samples and weights to cuts, by reconstructor.
    labels : dict of str to str
        Names to print.
    leakage : dict of str to dict
        From `irf.leakage.compared`, by reconstructor.
    timing : dict or None
        From `irf_timing.read_timing`.
    overlays : list of irf.overlays.Overlay
    observation_tables : dict of str to Table
        From `irf_observation.observe`, as the next.
    observation : dict or None
    """

    data: object
    events: object
    found: dict
    verdicts: dict
    settings: dict
    files: dict
    choose: dict
    labels: dict
    leakage: dict
    timing: dict | None
    overlays: list
    observation_tables: dict
    observation: dict | None


def write_all(folder, outcome, html):
    """Write everything but what is printed.

    Parameters
    ----------
    folder : Path
    outcome : Outcome
    html : bool
        Draw the figures and write the page.
    """
    settings = outcome.settings
    # a page of earlier results would contradict these
    (folder / "report.html").unlink(missing_ok=True)
    meta = {key: str(settings[key]) for key in ("cuts_mode", "obs_time", "spectra", "seed")}
    flux = spectrum_named(settings["spectra"]["gamma"])
    tables = all_tables(outcome.events, outcome.found, outcome.verdicts, flux)
    data, events, energies = outcome.data, outcome.events, settings["energy_range"]
    if data.diffuse is not None:
        tables |= offset_tables(events, data.diffuse, data.rings, energies)
    tables |= separation_tables(events, data.diffuse, data.rings, energies)
    tables |= outcome.observation_tables
    if outcome.overlays:
        tables["overlays"] = overlay_table(outcome.overlays)
    write_tables(folder, tables, meta)
    write_replicas(folder / "bootstrap.h5", outcome.found)
    _write_responses(folder, outcome.data, settings, outcome.choose)
    summary = write_summary(folder / "summary.json", _summary(outcome, tables))
    if html:
        write_report(folder, summary, tables, outcome.overlays)


def _summary(outcome, tables):
    """Content of ``summary.json``."""
    settings, data = outcome.settings, outcome.data
    samples = {
        kind: {
            "events_read": data.n_read.get(kind),
            **bookkeeping(sample, settings["reference"]),
        }
        for kind, sample in data.samples.items()
    }
    verdict = {
        n: {"headline": headline, "endpoints": [described(row) for row in rows]}
        for n, (rows, headline) in outcome.verdicts.items()
    }
    inputs = {k: [file_record(path) for path in v] for k, v in outcome.files.items() if v}
    left = background_left(outcome.found, outcome.choose, settings["energy_range"])
    notes = warnings(data.samples, samples, outcome.verdicts, outcome.labels)
    content = {
        "inputs": inputs, "settings": settings, "leakage": outcome.leakage, "samples": samples,
        "verdict": verdict, "timing": outcome.timing, "background_mc": left, "warnings": notes,
        "by_offset": by_offset(tables),
    }  # fmt: skip
    if outcome.observation:
        content["observation"] = outcome.observation
        content["warnings"] = notes + outcome.observation["notes"]
    return content


def _write_responses(folder, data, settings, choose):
    """Response functions of all reconstructors."""
    background = [(s, data.weights[k]) for k, s in data.samples.items() if k != "gamma"]
    rings = {True: np.array(data.source_ring), False: data.whole_rings}
    rings[None] = np.array(settings["background_ring"])
    sources = {True: data.samples["gamma"], False: data.whole}
    header = {"ORIGIN": "ctapipe_gammalearn"}
    for name, cuts_from in choose.items():
        # of all showers: for a response the best known cuts, no independent ones
        cuts = cuts_from(data.samples, data.weights)
        write_responses(
            folder, name, sources, background, cuts, rings, settings["obs_time"], header
        )
        prefixes = dl2_prefixes(settings["reconstructors"][name], settings["level"])
        criteria = settings["criteria"].get(name, [])
        write_cuts(folder, name, cuts, prefixes, data.source_ring, criteria)


def print_verdict(rows, headline, candidate, reference):
    """Print the table of endpoints and what follows from it."""
    lines = [["endpoint", reference, candidate, "bins", "events", "p (Holm)", "outcome"]]
    for row in rows:
        values = ["-" if row[k] is None else f"{row[k]:.4g}" for k in ("reference", "candidate")]
        p = "-" if row["p_holm"] is None else probability(row["p_holm"])
        lines.append([row["name"], *values, str(row["n_bins"]), str(row["n"]), p, row["outcome"]])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
    for row in rows:
        say(f"- {row['sentence']}")
    say(headline)
    say("Statistical uncertainties only.")
