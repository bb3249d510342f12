"""Tables and figures of ``ctapipe-gammalearn-evaluate``."""

import numpy as np
from astropy.table import Table

from .base import say

__all__ = ["print_summary", "write_tables"]

UNITS = {
    "intensity": {"low": "", "high": "", "psi68": "deg", "psi68_error": "deg"},
    "true_energy": {"low": "TeV", "high": "TeV", "psi68": "deg", "psi68_error": "deg"},
    "reco_energy": {"low": "TeV", "high": "TeV", "psi68": "deg", "psi68_error": "deg"},
    "differences": {},
    "energy_differences": {"low": "TeV", "high": "TeV"},
}


def write_tables(folder, tables, meta):
    """Write each table as ECSV.

    Parameters
    ----------
    folder : Path
    tables : dict of str to list of dict
        Rows may lack keys: NaN in the file.
    meta : dict
        Kept in the header of each file.
    """
    for name, rows in tables.items():
        if not rows:
            continue
        keys = list(dict.fromkeys(key for row in rows for key in row))
        table = Table({key: [row.get(key, np.nan) for row in rows] for key in keys}, meta=meta)
        for key in keys:
            if table[key].dtype.kind == "f":
                table[key].info.format = ".5g"
            if unit := UNITS[name].get(key):
                table[key].unit = unit
        table.write(folder / f"{name}.ecsv", format="ascii.ecsv", overwrite=True)


def print_summary(rows, columns):
    """Print figures of merit with their errors, one line per method and range of intensity."""
    columns = [column for column in columns if any(column in row for row in rows)]
    lines = [["p.e.", "method", *columns]]
    ranges = list(dict.fromkeys(_range(row) for row in rows))
    for row in sorted(rows, key=lambda row: ranges.index(_range(row))):
        lines.append([_range(row), row["method"], *(_text(row, column) for column in columns)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip())


def _range(row):
    """Range of intensity as text."""
    high = row["high"]
    return f"> {row['low']:g}" if np.isinf(high) else f"{row['low']:g}-{high:g}"


def _text(row, column):
    """A value with its error."""
    value, error = row.get(column, np.nan), row.get(f"{column}_error")
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if error is None else f"{value:.3f}±{error:.3f}"
