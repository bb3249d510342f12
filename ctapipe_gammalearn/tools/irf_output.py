"""Tables, response functions, summary and report of ``ctapipe-gammalearn-irf``."""

import numpy as np

from .base import say
from .irf_report import write_report
from .irf_responses import write_responses
from .irf_summary import (
    background_left,
    bookkeeping,
    described,
    file_record,
    warnings,
    write_summary,
)
from .irf_tables import all_tables, write_replicas, write_tables

__all__ = ["print_verdict", "write_all"]


def write_all(
    folder, data, events, found, verdicts, settings, files, choose, flux, labels, html,
    observed=None,
):  # fmt: skip
    """Write everything but what is printed.

    Parameters
    ----------
    folder : Path
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
    flux : callable
        Target spectrum of gammas.
    labels : dict of str to str
        Names to print.
    html : bool
        Draw the figures and write the page.
    observed : (dict of str to Table, dict), optional
        From `irf_observation.observe`.
    """
    # a page of earlier results would contradict these
    (folder / "report.html").unlink(missing_ok=True)
    meta = {key: str(settings[key]) for key in ("cuts_mode", "obs_time", "spectra", "seed")}
    more_tables, observation = observed or ({}, None)
    tables = all_tables(events, found, verdicts, flux) | more_tables
    write_tables(folder, tables, meta)
    write_replicas(folder / "bootstrap.h5", found)
    _write_responses(folder, data, settings, choose)
    reference = settings["reference"]
    samples = {
        kind: {"events_read": data.n_read.get(kind), **bookkeeping(sample, reference)}
        for kind, sample in data.samples.items()
    }
    verdict = {
        n: {"headline": headline, "endpoints": [described(row) for row in rows]}
        for n, (rows, headline) in verdicts.items()
    }
    inputs = {kind: [file_record(path) for path in paths] for kind, paths in files.items() if paths}
    summary = write_summary(
        folder / "summary.json",
        {
            "inputs": inputs, "settings": settings, "samples": samples, "verdict": verdict,
            "background_mc": background_left(found, choose, settings["energy_range"]),
            "warnings": warnings(data.samples, samples, verdicts, labels)
            + (observation["notes"] if observed else []),
        } | ({"observation": observation} if observed else {}),
    )  # fmt: skip
    if html:
        from ..report.observation_figures import observation_section

        more = [observation_section(tables, summary["observation"])] if observed else []
        write_report(folder, summary, tables, more=more)


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


def print_verdict(rows, headline, candidate, reference):
    """Print the table of endpoints and what follows from it."""
    lines = [["endpoint", reference, candidate, "bins", "events", "p (Holm)", "outcome"]]
    for row in rows:
        values = ["-" if row[k] is None else f"{row[k]:.4g}" for k in ("reference", "candidate")]
        p = "-" if row["p_holm"] is None else f"{row['p_holm']:.2g}"
        lines.append([row["name"], *values, str(row["n_bins"]), str(row["n"]), p, row["outcome"]])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())
    for row in rows:
        say(f"- {row['sentence']}")
    say(headline)
    say("Statistical uncertainties only.")
