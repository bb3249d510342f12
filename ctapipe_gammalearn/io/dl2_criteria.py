"""Selections of events by expressions on columns, as ctapipe's tools make them."""

import ast

import numpy as np
from astropy.table import Column, Table
from ctapipe.core import QualityQuery
from ctapipe.io import read_table

from ..exceptions import IRFError
from .dl2_tables import CHUNK, PARTS, image_parameters, match_rows, read_columns

__all__ = ["criteria_mask", "names_in", "passing", "quality_mask"]

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
    names = names_in(criteria)
    columns = {"multiplicity": np.asarray(multiplicity)} if "multiplicity" in names else {}
    known = np.ones(len(rows["obs_id"]), bool)
    for tables in _tables(h5, level):
        here = sorted((names - set(columns)) & set(h5.get_node(tables[0]).colnames))
        if here:
            found, there = _columns(h5, rows, KEYS[level], tables, here)
            columns |= found
            known &= there
    return known & passing(path, criteria, columns, len(known), f"/dl2/event/{level}")


def quality_mask(path, h5, rows, events, level, quality):
    """Events of the selection that all reconstructors share.

    Parameters
    ----------
    path, h5, rows, level
        As of `criteria_mask`.
    events : dict of str to ndarray, shape (n,)
        True ``energy``, ``alt`` and ``az``.
    quality : sequence of (str, str)
        Name and expression: see `dl2_events.read_sample`.

    Returns
    -------
    ndarray, shape (n,), bool

    Raises
    ------
    IRFError
        An expression that cannot be evaluated.
    """
    n = len(rows["obs_id"])
    if not quality:
        return np.ones(n, bool)
    names = names_in(quality)
    columns = {f"true_{k}": events[k] for k in ("energy", "alt", "az")}
    columns = {name: columns[name] for name in names & set(columns)}
    if "multiplicity" in names:
        wanted = {"obs_id": "", "event_id": ""}
        triggers = read_columns(path, h5, "/dl1/event/telescope/trigger", wanted)
        mine = match_rows(triggers, rows, ("obs_id", "event_id"))
        columns["multiplicity"] = np.bincount(mine[mine >= 0], minlength=n)
    group = "/dl1/event/telescope/parameters"
    images = h5.get_node(group)._v_children if group in h5 else {}
    known = set(h5.get_node(f"{group}/{next(iter(images))}").colnames) if images else set()
    columns |= image_parameters(path, h5, rows, level, sorted(names & known), group)
    return passing(path, quality, columns, n, group)


def names_in(criteria):
    """All names in the expressions of criteria; `IRFError` if one is none."""
    names = set()
    for _, text in criteria:
        try:
            tree = ast.parse(text, mode="eval")
        except SyntaxError:
            raise IRFError(f"selection {text!r}: no expression; give one in Python") from None
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names


def passing(path, criteria, columns, n, group):
    """Which rows pass quality criteria.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    criteria : sequence of (str, str)
    columns : dict of str to array, shape (n, ...)
        What the expressions ask for.
    n : int
    group : str
        Where in the file the columns are, for messages.

    Returns
    -------
    ndarray, shape (n,), bool

    Raises
    ------
    IRFError
        An expression that cannot be evaluated.
    """
    rows = Table(columns | {"row number": np.arange(n)})  # a criterion may need no column
    try:
        with np.errstate(invalid="ignore"):
            mask = QualityQuery(quality_criteria=list(criteria)).get_table_mask(rows)
    except Exception as error:  # of an expression from a file: whatever numpy makes of it
        text = " ".join(str(error).split())
        raise IRFError(
            f"{path}: a criterion cannot be applied: {text}; its columns have to be in the tables"
            f" of {group}"
        ) from None
    return np.asarray(mask, bool)


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
