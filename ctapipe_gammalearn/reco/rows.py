"""Rows of a telescope table, read like the containers of an event."""

import ast
import contextlib
import functools

import astropy.units as u
import numpy as np
from ctapipe.core.expression_engine import ALLOWED_GLOBALS, ExpressionError

from ..exceptions import ModelMismatch

__all__ = ["TableRow", "passing_rows", "pointing", "telescopes"]

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
#: What an expression may consist of to be evaluated for all rows of a table at once.
ON_ROWS = (ast.Expression, ast.Compare, ast.BinOp, ast.UnaryOp, ast.Call, ast.Attribute, ast.Name)
ON_ROWS += (ast.Constant, ast.expr_context, ast.operator, ast.unaryop, ast.cmpop)


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


class Names(dict):
    """Names in the expressions of a quality query that stand for many rows."""

    def __init__(self, n, **names):
        super().__init__(**names)
        self.n = n

    def __len__(self):
        return self.n


@functools.cache
def acts_on_rows(expression):
    """Whether an expression on columns is that on each row: nothing in it sees other rows."""
    nodes = list(ast.walk(ast.parse(expression, mode="eval")))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    return all(map(_is_ufunc, called)) and all(isinstance(node, ON_ROWS) for node in nodes)


def _is_ufunc(function):
    """Whether a node is a function of numpy that works element by element, as ``log10``."""
    if isinstance(function, ast.Name):
        return isinstance(ALLOWED_GLOBALS.get(function.id), np.ufunc)
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.value.id == "np" and isinstance(getattr(np, function.attr, None), np.ufunc)
    return False


def passing_rows(table, rows, query):
    """Whether rows pass a quality query, which counts them.

    Parameters
    ----------
    table : astropy.table.Table
        Of image parameters.
    rows : list of int
    query : ctapipe.core.QualityQuery
        Evaluated for all rows at once where its expressions allow that.

    Returns
    -------
    list of bool
    """
    if all(map(acts_on_rows, query.expressions)):
        names = Names(len(rows), parameters=RowParameters(table, rows))
        with contextlib.suppress(ExpressionError):  # such as "and", for single values only
            if all(np.shape(result) == (len(rows),) for result in query.engine(names)):
                return query.get_table_mask(names).tolist()
    return [bool(all(query(parameters=RowParameters(table, row)))) for row in rows]


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
