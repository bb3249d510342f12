"""Rows of a telescope table, read like the containers of an event."""

import astropy.units as u
import numpy as np

from ..exceptions import ModelMismatch

__all__ = ["TableRow", "pointing", "telescopes"]

#: Prefixes of the columns of each container of ``event.dl1.tel[tel_id].parameters``.
PREFIXES = {
    "hillas": ("hillas", "camera_frame_hillas"),
    "timing": ("timing", "camera_frame_timing"),
    "leakage": ("leakage",),
    "concentration": ("concentration",),
    "morphology": ("morphology",),
    "intensity_statistics": ("intensity",),
    "peak_time_statistics": ("peak_time",),
}


class TableRow:
    """Stands for ``event.dl1.tel[tel_id]``: image, peak_time and parameters of one row."""

    def __init__(self, table, row):
        self._table, self._row = table, row
        self.image = _column(table, "image", "dl1_images=True")[row]

    @property
    def peak_time(self):
        """Peak times (ns), None if the table has none."""
        return self._table["peak_time"][self._row] if "peak_time" in self._table.colnames else None

    @property
    def parameters(self):
        """The row's `RowParameters`."""
        return RowParameters(self._table, self._row)


class RowParameters:
    """Stands for ``dl1.parameters``, as in ``parameters.hillas.intensity``."""

    def __init__(self, table, row, prefixes=None):
        self._table, self._row, self._prefixes = table, row, prefixes

    def __getattr__(self, name):
        if self._prefixes is None:
            if name not in PREFIXES:
                raise AttributeError(f"no image parameters called {name!r}")
            return RowParameters(self._table, self._row, PREFIXES[name])
        for column in (f"{prefix}_{name}" for prefix in self._prefixes):
            if column in self._table.colnames:
                value, unit = self._table[column][self._row], self._table[column].unit
                return value if unit is None else u.Quantity(value, unit)
        raise AttributeError(f"the table has no column {self._prefixes[0]}_{name}")


def pointing(table):
    """Telescope pointing, shape (n_rows, 2): altitude and azimuth in rad."""
    names = ("telescope_pointing_altitude", "telescope_pointing_azimuth")
    columns = [u.Quantity(_column(table, name, "pointing=True")) for name in names]
    return np.column_stack([column.to_value(u.rad) for column in columns]).astype(np.float64)


def telescopes(key, table, subarray):
    """Telescope of each row: column ``tel_id``, without it the first of the kind ``key``.

    Parameters
    ----------
    key : ctapipe.instrument.TelescopeDescription or int
        Kind of telescope, or a tel_id.
    table : astropy.table.Table
    subarray : ctapipe.instrument.SubarrayDescription

    Returns
    -------
    list of int, length n_rows
    """
    if "tel_id" in table.colnames:
        return [int(tel_id) for tel_id in table["tel_id"]]
    if isinstance(key, int | np.integer):
        found = [key] if key in subarray.tel else []
    else:
        found = [tel_id for tel_id, telescope in subarray.tel.items() if telescope == key]
    if not found:
        raise ModelMismatch(f"no telescope {key} in the subarray {subarray.name}")
    return [int(found[0])] * len(table)


def _column(table, name, option):
    """Column of a table, or how to get it."""
    if name not in table.colnames:
        raise ModelMismatch(f"the table has no column {name}; read it with TableLoader({option})")
    return table[name]
