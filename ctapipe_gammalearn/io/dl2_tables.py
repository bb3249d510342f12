"""Tables of ctapipe's DL2 files: columns in plain units, joined by event and not by position."""

from difflib import get_close_matches

import numpy as np
from ctapipe.io import read_table

from ..exceptions import IRFError

__all__ = [
    "PARTS",
    "image_parameters",
    "match_rows",
    "prefix_of",
    "read_columns",
    "read_reconstruction",
    "result_nodes",
]

CHUNK = 200_000  # rows: all columns of a table in memory at once only of so many
#: what makes a reconstructor, and the groups of DL2 that may hold it: up to ctapipe 0.28 process
#: writes "classification", apply-models "particle_type"; a file may have both
PARTS = {
    "energy": ("energy",),
    "geometry": ("geometry",),
    "gammaness": ("particle_type", "classification"),
}
COLUMNS = {"energy": {"energy": "TeV"}, "geometry": {"alt": "rad", "az": "rad"}}
COLUMNS["gammaness"] = {"prediction": ""}


def prefix_of(name, prefixes, part):
    """Prefix of a part of a reconstructor.

    Parameters
    ----------
    name : str
        Of the reconstructor, for messages.
    prefixes : dict of str to str
    part : str
        Of `PARTS`.

    Raises
    ------
    IRFError
        The reconstructor lacks it.
    """
    if part not in prefixes:
        raise IRFError(f"reconstructor {name}: no prefix of {part}; give {', '.join(PARTS)}")
    return prefixes[part]


def result_nodes(path, h5, level, part, prefix):
    """Tables of a prefix: a list, mostly of one, of dicts from telescope (or None) to path.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    h5 : tables.File
    level : str
        "subarray" or "telescope".
    part : str
        Of `PARTS`.
    prefix : str

    Returns
    -------
    list of dict of int or None to str

    Raises
    ------
    IRFError
        No such table; close names are suggested.
    """
    groups = [f"/dl2/event/{level}/{kind}" for kind in PARTS[part]]
    found = [f"{group}/{prefix}" for group in groups if f"{group}/{prefix}" in h5]
    if not found:
        known = sorted(
            {n for group in groups if group in h5 for n in h5.get_node(group)._v_children}
        )
        close = get_close_matches(prefix, known, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        raise IRFError(
            f"{path}: no reconstruction {prefix} in {' or '.join(groups)};"
            f" {hint if known else 'the file has none'}"
        )
    if level == "subarray":
        return [{None: node} for node in found]
    return [
        {int(name.removeprefix("tel_")): f"{node}/{name}" for name in h5.get_node(node)._v_children}
        for node in found
    ]


def read_reconstruction(path, h5, rows, level, nodes):
    """Columns of a reconstructor in the order of ``rows``.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    h5 : tables.File
    rows : dict of str to ndarray, shape (n,)
        ``obs_id``, ``event_id`` and, of images, ``tel_id``.
    level : str
    nodes : dict of str to list of dict
        Of each part, from `result_nodes`.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``energy`` (TeV), ``alt``, ``az`` (rad), ``gammaness``, ``valid`` and ``multiplicity``;
        NaN and not valid where the reconstructor has no row.

    Raises
    ------
    IRFError
        Columns are missing, or differ between two groups of the same prefix.
    """
    suffix = "_tel" if level == "telescope" else ""
    n = len(rows["obs_id"])
    out = {"valid": np.ones(n, bool), "multiplicity": np.full(n, np.iinfo(np.int16).max, np.int16)}
    for part, found in nodes.items():
        prefix = next(iter(found[0].values())).split("/")[5] + suffix
        wanted = {f"{prefix}_{name}": unit for name, unit in COLUMNS[part].items()}
        wanted[f"{prefix}_is_valid"] = ""
        all_nodes = [node for tables in found for node in tables.values()]
        if all(f"{prefix}_telescopes" in h5.get_node(node).colnames for node in all_nodes):
            wanted[f"{prefix}_telescopes"] = ""
        answers = [_joined(path, h5, rows, tables, wanted) for tables in found]
        for name in answers[0]:
            if any(not np.array_equal(a[name], answers[0][name], equal_nan=True) for a in answers):
                raise IRFError(
                    f"{path}: {name} differs between the groups {' and '.join(PARTS[part])};"
                    " leave one of them out"
                )
        answer = answers[0]
        out["valid"] &= answer.pop(f"{prefix}_is_valid") == 1  # NaN where there is no row
        n_tels = np.nan_to_num(answer.pop(f"{prefix}_telescopes", 0.0)).astype(np.int16)
        # as in ctapipe: of the part with the fewest
        out["multiplicity"] = np.minimum(out["multiplicity"], n_tels)
        out |= {k.removeprefix(f"{prefix}_"): v for k, v in answer.items()}
    out["gammaness"] = out.pop("prediction")
    return out


def _joined(path, h5, rows, tables, wanted):
    """Columns of one table for each telescope, in the order of ``rows``; NaN without a row."""
    out = {name: np.full(len(rows["obs_id"]), np.nan) for name in wanted}
    for tel_id, node in tables.items():
        keys = ("obs_id", "event_id") if tel_id is None else ("obs_id", "event_id", "tel_id")
        table = read_columns(path, h5, node, dict.fromkeys(keys, "") | wanted)
        if len(tables) == 1 and _same_rows(rows, table, keys):
            return {name: table[name] for name in wanted}
        index = match_rows(rows, table, keys)
        there = index >= 0
        for name in wanted:
            out[name][there] = table[name][index[there]]
    return out


def image_parameters(path, h5, rows, level, names, group):
    """Image parameters: of the image, or of the brightest one of the event.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    h5 : tables.File
    rows : dict of str to ndarray, shape (n,)
        ``obs_id``, ``event_id`` and, of images, ``tel_id``.
    level : str
    names : list of str
    group : str
        Of the tables of the telescopes.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        NaN where there is no image.
    """
    if not names:
        return {}
    nodes = {int(n.removeprefix("tel_")): f"{group}/{n}" for n in h5.get_node(group)._v_children}
    wanted = dict.fromkeys({*names, "hillas_intensity"}, "")
    if level == "telescope":
        answer = _joined(path, h5, rows, nodes, wanted)
        return {name: answer[name] for name in names}
    out = {name: np.full(len(rows["obs_id"]), np.nan) for name in wanted}
    for node in nodes.values():
        answer = _joined(path, h5, rows, {None: node}, wanted)
        brighter = ~(answer["hillas_intensity"] <= out["hillas_intensity"])
        brighter &= np.isfinite(answer["hillas_intensity"])
        for name in wanted:
            out[name][brighter] = answer[name][brighter]
    return {name: out[name] for name in names}


def read_columns(path, h5, node, wanted):
    """Columns of a table in units (numbers with "" as they are), read in chunks.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    h5 : tables.File
    node : str
    wanted : dict of str to str
        Column and unit.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    IRFError
        A column is missing.
    """
    table = h5.get_node(node)
    missing = [name for name in wanted if name not in table.colnames]
    if missing:
        raise IRFError(f"{path}: no column {', '.join(missing)} in {node}; is it of ctapipe?")
    columns = {}
    for start in range(0, max(table.nrows, 1), CHUNK):
        part = read_table(h5, node, start=start, stop=start + CHUNK)
        for name, unit in wanted.items():
            values = _values(part[name], unit)
            if name not in columns:
                columns[name] = np.empty(table.nrows, values.dtype)
            columns[name][start : start + len(values)] = values
    return columns


def _values(column, unit):
    """Plain array; masked values are NaN, and of flags of telescopes there is the number."""
    if column.ndim == 2:
        return np.count_nonzero(np.ma.filled(column, False), axis=1)
    if unit:
        column, factor = np.ma.asarray(column, float), column.unit.to(unit)
        return np.ma.filled(column, np.nan) * factor
    if column.dtype.kind in "iu":
        return np.asarray(column, np.int64)
    return np.ma.filled(np.ma.asarray(column, float), np.nan)


def _same_rows(rows, table, keys):
    """Whether two tables have the same keys in the same order."""
    return all(np.array_equal(rows[key], table[key]) for key in keys)


def match_rows(rows, table, keys):
    """Row of ``table`` for each of ``rows`` by equal keys, -1 without one; joined by value.

    Parameters
    ----------
    rows, table : dict of str to ndarray, shape (n,) and (m,)
    keys : sequence of str

    Returns
    -------
    ndarray, shape (n,), int
    """
    if _same_rows(rows, table, keys):
        return np.arange(len(rows[keys[0]]))
    ours, theirs = (np.zeros(len(t[keys[0]]), np.int64) for t in (rows, table))
    for key in keys:
        # numbers so small that three of them fit into 64 bits
        known = np.unique(table[key])
        place = np.searchsorted(known, rows[key]).clip(max=max(len(known) - 1, 0))
        hit = known[place] == rows[key] if len(known) else np.zeros(len(place), bool)
        ours = np.where(hit & (ours >= 0), ours * len(known) + place, -1)
        theirs = theirs * len(known) + np.searchsorted(known, table[key])
    order = np.argsort(theirs, kind="stable")
    if not len(order):
        return np.full(len(ours), -1)
    place = np.searchsorted(theirs[order], ours).clip(max=len(order) - 1)
    return np.where((ours >= 0) & (theirs[order[place]] == ours), order[place], -1)
