"""``summary.json`` of ``ctapipe-gammalearn-irf``: everything that the page says in numbers."""

import hashlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np

from .. import __version__
from ..files import whole_file
from ..irf.comparison import METRICS
from ..irf.metrics import ONE_SIGMA
from ..irf.offset_separation import METRICS as SEPARATION
from ..irf.samples import RECO_EDGES
from ..irf.verdict import ENDPOINTS, qualified_bins

__all__ = [
    "background_left",
    "bookkeeping",
    "by_offset",
    "described",
    "file_record",
    "warnings",
    "write_summary",
]

SCHEMA = 2
UNITS = {"deg": "°", "m2": "m²"}
#: fewer different scores near 1 than this part of the events there are ties
TIES = 0.5


def file_record(path):
    """Name and content of an input file."""
    with Path(path).open("rb") as file:
        return {"name": Path(path).name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def bookkeeping(sample, reference):
    """How many events of a sample each reconstructor has, and each with the reference."""
    valid = {name: r.valid for name, r in sample.reconstructions.items()}
    stack = np.stack(list(valid.values()))
    return {
        "events": len(sample), "valid": {name: int(v.sum()) for name, v in valid.items()},
        "valid_for_all": int(stack.all(axis=0).sum()),
        "valid_for_none": int((~stack.any(axis=0)).sum()),
        "scores_above_0.99": {
            name: len(np.unique(r.gammaness[r.valid & (r.gammaness > 0.99)]))
            for name, r in sample.reconstructions.items()
        },
        "pairs": {n: _pair(sample, n, reference) for n in valid if n != reference},
    }  # fmt: skip


def _pair(sample, candidate, reference):
    """Numbers of events that both have, or one only; of gammas with θ68 (deg)."""
    ours, theirs = (sample.reconstructions[name] for name in (candidate, reference))
    groups = {
        "both": ours.valid & theirs.valid,
        "only_candidate": ours.valid & ~theirs.valid,
        "only_reference": ~ours.valid & theirs.valid,
        "neither": ~ours.valid & ~theirs.valid,
    }
    out = {name: int(mask.sum()) for name, mask in groups.items()}
    if sample.kind.startswith("gamma"):
        out["theta68_candidate_both"] = _theta68(ours, groups["both"])
        out["theta68_reference_both"] = _theta68(theirs, groups["both"])
        out["theta68_only_candidate"] = _theta68(ours, groups["only_candidate"])
        out["theta68_only_reference"] = _theta68(theirs, groups["only_reference"])
    return out


def _theta68(reconstruction, mask):
    """Angle that contains 68 % of the chosen events, deg; None without any."""
    return float(np.quantile(reconstruction.theta[mask], ONE_SIGMA)) if mask.any() else None


def described(row):
    """Row of a verdict with what the page prints: names, unit, difference in percent."""
    kind, (unit, _) = ENDPOINTS[row["name"]], METRICS[row["name"]]
    unit = UNITS.get(unit, unit)
    if row["name"] == "sensitivity":
        unit = "× target"
    effect, limits = row["effect"], row["ci95"]
    if kind.is_ratio and effect is not None:
        # adding 0 makes a negative zero positive
        effect, *limits = (100 * float(np.expm1(v)) + 0.0 for v in (effect, *limits))
    own = row["name"] in ("aeff", "sensitivity")
    return row | {
        "label": kind.label, "unit": unit, "is_ratio": kind.is_ratio,
        "events": "own" if own else "common", "difference": effect, "difference_ci95": limits,
    }  # fmt: skip


def background_left(found, names, energy_range):
    """Simulated background after cuts: least and median over the bins of the verdict."""
    out = {}
    for name in names:
        benchmark = found[name, "sensitivity"]
        n = benchmark.n_background[qualified_bins(RECO_EDGES, energy_range, benchmark.n).mask]
        out[name] = {"min": int(n.min()), "median": float(np.median(n))} if len(n) else {
            "min": None, "median": None,
        }  # fmt: skip
    return out


def by_offset(tables):
    """Separation by offset in plain values: table, reconstructor, list of rings."""
    keys = ("offset_min", "offset_max", "value", "lo", "hi", "n", "n_bkg_mc", "valid")
    out = {}
    for metric in SEPARATION:
        for row in tables.get(f"offset_{metric}", ()):
            rings = out.setdefault(metric, {}).setdefault(str(row["reconstructor"]), [])
            rings.append({key: row[key] for key in keys})
    return out


def warnings(samples, summaries, verdicts, labels):
    """What a reader has to know before the verdict.

    Parameters
    ----------
    samples : dict of str to Sample
    summaries : dict of str to dict
        From `bookkeeping`, by kind of sample.
    verdicts : dict of str to (list of dict, str)
    labels : dict of str to str

    Returns
    -------
    list of str
    """
    out = []
    if "electron" not in samples:
        out.append(
            "No electrons: above about 0.1 TeV hard cuts leave more of them than of protons."
        )
    for name, (rows, _) in verdicts.items():
        out += [
            f"{labels[name]}, {ENDPOINTS[row['name']].label}: not evaluable, {row['shortage']}."
            for row in rows
            if row["outcome"] == "not evaluable"
        ]
    gamma = summaries["gamma"]
    if gamma["valid_for_all"] < 0.9 * gamma["events"]:
        part = 100 * gamma["valid_for_all"] / gamma["events"]
        out.append(f"Only {part:.0f} % of the gammas are valid for all reconstructors.")
    for name, reconstruction in samples["gamma"].reconstructions.items():
        high = int((reconstruction.valid & (reconstruction.gammaness > 0.99)).sum())
        different = gamma["scores_above_0.99"][name]
        if different < TIES * high:
            out.append(
                f"{labels[name]}: the {high} gammas of gammaness above 0.99 share {different}"
                " values; hard cuts cannot tell them apart."
            )
    return out


def write_summary(path, content):
    """Write ``summary.json``; the same content gives the same bytes.

    Returns
    -------
    dict
        What was written.
    """
    packages = ("ctapipe", "pyirf", "numpy", "astropy")
    versions = {p: importlib.metadata.version(p) for p in packages}
    whole = {"schema": SCHEMA, "versions": {"ctapipe_gammalearn": __version__, **versions}}
    whole = _plain(whole | content)
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return whole


def _plain(value):
    """Content as JSON has it: no arrays, None for what is not finite."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
