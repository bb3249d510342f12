"""Selections of events by expressions on DL2 columns, as ctapipe's tools make them."""

import ast

import numpy as np
from astropy.table import Column, Table
from ctapipe.core import QualityQuery
from ctapipe.io import read_table

from ..exceptions import IRFError
from .dl2_tables import CHUNK, PARTS, match_rows, parsed

__all__ = ["criteria_mask"]

KEYS = {"subarray": ("obs_id", "event_id"), "telescope": ("obs_id", "event_id", "tel_id")}


def criteria_mask(path, h5, rows, level, criteria, multiplicity):
    """Events that pass ctapipe's quality criteria of a file of cuts.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    h5 : tables.File
    rows : dict of str to ndarray, shape (n,)
        ``obs_id``, ``event_id`` and, of images, ``tel_id``.
    level : str
        "subarray" or "telescope".
    criteria : sequence of (str, str)
        Names and expressions of columns of any reconstruction of that level, which are as in the
        file: ``PREFIX_telescopes`` has a flag for each telescope.
    multiplicity : ndarray, shape (n,)
        The column of that name, which no table has: of the reconstructor.

    Returns
    -------
    ndarray, shape (n,), bool
        Events that lack one of the reconstructions fail.

    Raises
    ------
    IRFError
        An expression that cannot be evaluated.
    """
    names = {
        n.id for _, text in criteria for n in ast.walk(parsed(text)) if isinstance(n, ast.Name)
    }
    columns = {"multiplicity": np.asarray(multiplicity)} if "multiplicity" in names else {}
    known = np.ones(len(rows["obs_id"]), bool)
    for tables in _tables(h5, level):
        here = sorted((names - set(columns)) & set(h5.get_node(tables[0]).colnames))
        if here:
            found, there = _columns(h5, rows, KEYS[level], tables, here)
            columns |= found
            known &= there
    columns["row number"] = np.arange(len(known))  # a criterion may need no column
    try:
        passing = QualityQuery(quality_criteria=list(criteria)).get_table_mask(Table(columns))
    except Exception as error:  # of an expression from a file: whatever numpy makes of it
        text = " ".join(str(error).split())
        raise IRFError(
            f"{path}: a criterion of the cuts cannot be applied: {text}; its columns have to be"
            f" in the tables of /dl2/event/{level}"
        ) from None
    return known & np.asarray(passing, bool)


def _tables(h5, level):
    """Paths of the tables of each reconstruction: one, or one of each telescope."""
    for kind in {kind: None for kinds in PARTS.values() for kind in kinds}:
        group = f"/dl2/event/{level}/{kind}"
        for node in h5.get_node(group)._v_children.values() if group in h5 else ():
            if level == "subarray":
                yield [node._v_pathname]
            elif node._v_nchildren:
                yield [child._v_pathname for child in node._v_children.values()]


def _columns(h5, rows, keys, tables, names):
    """Columns (n, ...) of a reconstruction for each of ``rows``, and which of them it has."""
    n = len(rows["obs_id"])
    columns, there = {}, np.zeros(n, bool)
    for node in tables:
        for start in range(0, h5.get_node(node).nrows, CHUNK):
            table = read_table(h5, node, start=start, stop=start + CHUNK)
            part = {key: np.asarray(table[key], np.int64) for key in keys}
            index = match_rows(rows, part, keys)
            mine = index >= 0
            there |= mine
            for name in names:
                if name not in columns:
                    values = np.zeros((n, *table[name].shape[1:]), table[name].dtype)
                    columns[name] = Column(values, unit=table[name].unit)
                columns[name][mine] = table[name][index[mine]]
    return columns, there
