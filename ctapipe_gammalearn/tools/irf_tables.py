"""Tables of ``ctapipe-gammalearn-irf``: all that is behind a figure, as text and in one file."""

import os
import warnings

import numpy as np
import tables as hdf5
from astropy.table import Table
from astropy.units import UnitsWarning
from ctapipe.io import write_table

from ..irf.curves import angular_table, benchmark_tables, cuts_table
from ..irf.distributions import distribution_tables
from ..irf.verdict import ENDPOINTS

__all__ = ["all_tables", "write_replicas", "write_tables"]


def all_tables(events, found, verdicts, flux):
    """Tables by name; see `irf.curves`, `irf.score_curves` and `irf.distributions`.

    Parameters
    ----------
    events : Events
    found : dict of (str, str) to Benchmark
    verdicts : dict of str to (list of dict, str)
    flux : callable

    Returns
    -------
    dict of str to Table
    """
    tables = benchmark_tables(found, events, flux) | distribution_tables(events)
    tables |= {"containment": angular_table(events), "cuts": cuts_table(events)}
    if verdicts:
        tables["endpoints"] = _endpoints(verdicts)
    return tables


def _endpoints(verdicts):
    """Effects that the verdict is about; those that cannot be evaluated are NaN."""
    rows = []
    for name, (endpoints, _) in verdicts.items():
        for row in endpoints:
            kind, known = ENDPOINTS[row["name"]], row["effect"] is not None
            lo, hi = row["ci95"] if known else (np.nan, np.nan)
            rows.append({
                "candidate": name, "name": row["name"], "label": kind.label, "gain": kind.gain,
                "effect": row["effect"] if known else np.nan, "lo": lo, "hi": hi,
                "margin": row["margin"], "p_holm": row["p_holm"] if known else np.nan,
                "outcome": row["outcome"],
            })  # fmt: skip
    return Table(rows)


def write_tables(folder, tables, meta):
    """Write ``benchmarks/NAME.ecsv`` and ``benchmarks.h5``.

    Parameters
    ----------
    folder : Path
    tables : dict of str to Table
    meta : dict
        Kept in the header of each file.
    """
    (folder / "benchmarks").mkdir(exist_ok=True)
    whole = folder / f".{os.getpid()}.benchmarks.h5"
    for name, table in tables.items():
        table.meta = meta | table.meta
        path = folder / "benchmarks" / f"{name}.ecsv"
        partial = path.with_name(f".{os.getpid()}.{path.name}")
        table.write(partial, format="ascii.ecsv")
        partial.replace(path)
        with warnings.catch_warnings():
            # units in HDF5 follow VOUnit, which would have g cm2 s-2 for erg
            warnings.simplefilter("ignore", UnitsWarning)
            write_table(table, whole, f"/{name}")
    whole.replace(folder / "benchmarks.h5")


def write_replicas(path, found):
    """Write values of the data and of all replicas, ``/RECONSTRUCTOR/METRIC``.

    Parameters
    ----------
    path : Path
    found : dict of (str, str) to Benchmark
        Values of shape (1 + n_replicas, n_bins).
    """
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    with hdf5.open_file(partial, "w", filters=hdf5.Filters(complevel=5)) as file:
        for (name, metric), benchmark in found.items():
            file.create_carray(
                f"/{name}", metric, obj=np.asarray(benchmark.values, dtype=np.float64),
                createparents=True, track_times=False,
            )  # fmt: skip
    partial.replace(path)
