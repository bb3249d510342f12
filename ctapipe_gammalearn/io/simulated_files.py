"""Marks of complete files, and what a file must hold to be one.

HDF5 files written to a full disk may look sound to the process that wrote them, or to
anybody who only counts rows.  So a file gets a mark with its row numbers, and is read in
full by another process before it gets its name.
"""

import json

import numpy as np
import tables

__all__ = [
    "append_runs",
    "has_events",
    "read_mark",
    "set_mark",
    "verify",
]

MARK = "CTAPIPE_GAMMALEARN_COMPLETE"
# one row per run
RUN_TABLES = (
    "/configuration/observation/",
    "/configuration/simulation/",
    "/simulation/service/shower_distribution",
)


def _leaves(file):
    """All tables and arrays of an open file by path."""
    return {node._v_pathname: node for node in file.walk_nodes("/", "Leaf")}


def set_mark(path, settings):
    """Note in a finished file what it holds: its settings and the rows of every table."""
    with tables.open_file(path, "a") as file:
        rows = {name: int(node.nrows) for name, node in _leaves(file).items()}
        file.root._v_attrs[MARK] = json.dumps({"settings": settings, "rows": rows})


def read_mark(path):
    """Settings of a complete file, or None for any other file."""
    try:
        with tables.open_file(path, "r") as file:
            return json.loads(file.root._v_attrs[MARK])["settings"]
    except (OSError, KeyError, ValueError, tables.HDF5ExtError):
        return None


def verify(path):
    """Read a file completely.  To be called in a process that did not write it.

    Returns
    -------
    str
        Empty if the file is sound, else what is wrong with it.
    """
    try:
        with tables.open_file(path, "r") as file:
            rows = json.loads(file.root._v_attrs[MARK])["rows"]
            leaves = _leaves(file)
            if {name: int(node.nrows) for name, node in leaves.items()} != rows:
                return "tables or rows are missing"
            for name, node in leaves.items():
                if not _readable(node):
                    return f"rows of {name} are empty"
    except tables.HDF5ExtError:
        return "not a complete HDF5 file"
    except (OSError, KeyError, ValueError) as error:
        return " ".join(str(error).split())[:150] or type(error).__name__
    return ""


def _readable(node, n=2000):
    """Read all rows in slices; rows of events that never reached the disk have obs_id 0."""
    for start in range(0, node.nrows, n):
        rows = node.read(start, min(start + n, node.nrows))
        names = rows.dtype.names or ()
        if "obs_id" in names and not np.all(rows["obs_id"] > 0):
            return False
    return True


def has_events(path):
    """Whether a DL1 file has an event table; without events ctapipe writes none."""
    with tables.open_file(path, "r") as file:
        return "/dl1/event/subarray/trigger" in file


def append_runs(path, empty):
    """Add runs without events, which ctapipe-merge refuses, to a file: they were thrown, too.

    Parameters
    ----------
    path : Path
    empty : list of Path
    """
    with tables.open_file(path, "a") as file:
        for name in empty:
            with tables.open_file(name, "r") as other:
                for node in other.walk_nodes("/", "Table"):
                    if node._v_pathname.startswith(RUN_TABLES):
                        file.get_node(node._v_pathname).append(node.read())
