"""Tables of ``ctapipe-gammalearn-irf``: all that is behind a figure, as text and in one file."""

import errno
import warnings
from contextlib import contextmanager

import numpy as np
import tables as hdf5
from astropy.table import Table
from astropy.units import UnitsWarning
from ctapipe.io import write_table

from ..files import whole_file
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
    for name, table in tables.items():
        table.meta = meta | table.meta
        with whole_file(folder / "benchmarks" / f"{name}.ecsv") as partial:
            table.write(partial, format="ascii.ecsv")
    with _hdf5_file(folder / "benchmarks.h5") as partial, warnings.catch_warnings():
        # units in HDF5 follow VOUnit, which would have g cm2 s-2 for erg
        warnings.simplefilter("ignore", UnitsWarning)
        for name, table in tables.items():
            write_table(table, partial, f"/{name}")


def write_replicas(path, found):
    """Write values of the data and of all replicas, ``/RECONSTRUCTOR/METRIC``.

    Parameters
    ----------
    path : Path
    found : dict of (str, str) to Benchmark
        Values of shape (1 + n_replicas, n_bins).
    """
    filters = hdf5.Filters(complevel=5)
    with _hdf5_file(path) as partial, hdf5.open_file(partial, "w", filters=filters) as file:
        for (name, metric), benchmark in found.items():
            file.create_carray(
                f"/{name}", metric, obj=np.asarray(benchmark.values, dtype=np.float64),
                createparents=True, track_times=False,
            )  # fmt: skip


@contextmanager
def _hdf5_file(path):
    """`whole_file`, where HDF5's own errors are OSErrors, too."""
    try:
        with whole_file(path) as partial:
            yield partial
    except hdf5.HDF5ExtError:
        # what it tells is a trace of C functions
        raise OSError(errno.EIO, "HDF5 cannot write: is the disk full?", str(path)) from None
