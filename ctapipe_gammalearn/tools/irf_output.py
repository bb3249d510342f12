"""Tables, response functions and summary of ``ctapipe-gammalearn-irf``."""

import hashlib
import importlib.metadata
import json
import os
from pathlib import Path

import numpy as np
from astropy.table import Table

from .. import __version__
from ..irf.bootstrap import interval
from ..irf.comparison import METRICS
from ..irf.samples import RECO_EDGES
from ..irf.sensitivity import energy_flux
from .base import say
from .irf_responses import write_responses

__all__ = ["print_verdict", "write_all"]

SCHEMA = 1
MIN_GAMMA = 10  # of a value that the tables call valid


def write_all(folder, data, found, verdicts, settings, files, choose, flux, more=None):
    """Write everything but what is printed.

    Parameters
    ----------
    folder : Path
    data : IrfData
    found : dict
        From `irf.comparison.benchmarks`.
    verdicts : dict of str to (list of dict, str)
        Rows and headline by reconstructor.
    settings : dict
        Options, for the record.
    files : dict of str to list of Path
    choose : dict of str to callable
        From samples and weights to cuts, by reconstructor.
    flux : callable
        Target spectrum of gammas.
    more : dict, optional
        Further sections of the summary.
    """
    meta = {key: str(settings[key]) for key in ("cuts_mode", "obs_time", "spectra", "seed")}
    write_benchmarks(folder / "benchmarks", found, flux, meta)
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
    samples = {
        kind: {"events_read": data.n_read.get(kind), **bookkeeping(sample)}
        for kind, sample in data.samples.items()
    }
    verdict = {
        n: {"headline": headline, "endpoints": rows} for n, (rows, headline) in verdicts.items()
    }
    inputs = {kind: [file_record(path) for path in paths] for kind, paths in files.items() if paths}
    write_summary(
        folder / "summary.json",
        {"inputs": inputs, "settings": settings, "samples": samples, "verdict": verdict}
        | (more or {}),
    )


def write_benchmarks(folder, found, flux, meta):
    """Write one table for each figure of merit, with 95 % intervals of the bootstrap.

    Parameters
    ----------
    folder : Path
    found : dict
        From `irf.comparison.benchmarks`.
    flux : callable
        Target spectrum of gammas, by which the flux limit becomes absolute.
    meta : dict
        Kept in the header of each file.
    """
    folder.mkdir(exist_ok=True)
    for metric, (unit, axis) in METRICS.items():
        rows = [r for (name, m), b in found.items() if m == metric for r in _rows(name, b, flux)]
        columns = list(rows[0])
        if metric != "sensitivity":
            columns = [c for c in columns if c not in ("limited_by", "energy_flux")]
        table = Table({c: [row[c] for row in rows] for c in columns})
        table.meta = meta | {"metric": metric, "energy": axis}
        for name in ("value", "lo", "hi"):
            table[name].unit = unit or None
        for name in ("e_min", "e_max", "e_center_log", "e_center_arith"):
            table[name].unit = "TeV"
        if metric == "sensitivity":
            table["energy_flux"].unit = "erg / (cm2 s)"
        path = folder / f"{metric}.ecsv"
        partial = path.with_name(f".{os.getpid()}.{path.name}")
        table.write(partial, format="ascii.ecsv")
        partial.replace(path)


def _rows(name, benchmark, flux):
    """Rows of a table for one reconstructor."""
    low, high = interval(benchmark.values[1:])
    edges, value = RECO_EDGES, benchmark.values[0]
    centre = np.sqrt(edges[1:] * edges[:-1])
    none = np.full(len(value), np.nan)
    n_background, n_eff = (
        none if n is None else n for n in (benchmark.n_background, benchmark.n_eff)
    )
    limited = [""] * len(value) if benchmark.limited_by is None else benchmark.limited_by
    valid = np.isfinite(value) & (benchmark.n >= MIN_GAMMA)
    absolute = value * energy_flux(flux, centre)
    for i in range(len(value)):
        yield {
            "reconstructor": name, "e_min": edges[i], "e_max": edges[i + 1],
            "e_center_log": centre[i], "e_center_arith": (edges[i] + edges[i + 1]) / 2,
            "value": value[i], "lo": low[i], "hi": high[i], "energy_flux": absolute[i],
            "n": int(benchmark.n[i]), "n_eff": float(n_eff[i]), "n_bkg_mc": n_background[i],
            "limited_by": str(limited[i]), "valid": bool(valid[i]),
        }  # fmt: skip


def file_record(path):
    """Name and content of an input file."""
    with Path(path).open("rb") as file:
        return {"name": Path(path).name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def bookkeeping(sample):
    """How many events of a sample each reconstructor has."""
    valid = {name: r.valid for name, r in sample.reconstructions.items()}
    counts = {name: int(v.sum()) for name, v in valid.items()}
    stack = np.stack(list(valid.values()))
    return {
        "events": len(sample), "valid": counts, "valid_for_all": int(stack.all(axis=0).sum()),
        "valid_for_none": int((~stack.any(axis=0)).sum()),
        "scores_above_0.99": {
            name: len(np.unique(r.gammaness[r.valid & (r.gammaness > 0.99)]))
            for name, r in sample.reconstructions.items()
        },
    }  # fmt: skip


def write_summary(path, content):
    """Write ``summary.json``; the same content gives the same bytes."""
    packages = ("ctapipe", "pyirf", "numpy", "astropy")
    versions = {p: importlib.metadata.version(p) for p in packages}
    whole = {"schema": SCHEMA, "versions": {"ctapipe_gammalearn": __version__, **versions}}
    text = json.dumps(_plain(whole | content), indent=1, ensure_ascii=False, allow_nan=False)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def _plain(value):
    """Content as JSON has it: no arrays, None for what is not finite."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


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
