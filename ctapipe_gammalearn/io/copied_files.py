"""Copies of ctapipe's HDF5 files without some of their parts, with checksums."""

import json
import subprocess
import sys
import zlib

import numpy as np
import tables
from ctapipe.io.hdf5tableio import get_column_attrs, get_node_meta

__all__ = ["PARTS", "Selection", "copy_file", "missing_rows", "summed"]

#: Parts that can be left out: option, and where they are.
PARTS = {
    "dl1_images": "/dl1/event/telescope/images",
    "dl1_parameters": "/dl1/event/telescope/parameters",
    "true_images": "/simulation/event/telescope/images",
    "true_parameters": "/simulation/event/telescope/parameters",
}
#: Never copied: large, and of no use once there are images.
WAVEFORMS = ("/r0", "/r1")
SUBARRAY = "/configuration/instrument"
EVENTS = "/dl1/event/subarray/trigger"
BYTES = 8_000_000  # read at once

#: run by a fresh interpreter, which sees what is really on the disk: file; rows and CRC-32
#: of each table on the standard input
CHECK = """
import json, sys, zlib, numpy, tables

expected = json.load(sys.stdin)
with tables.open_file(sys.argv[1]) as file:
    found = {node._v_pathname: node for node in file.walk_nodes("/", "Leaf")}
    if missing := set(expected) - set(found):
        sys.exit(f"no table {min(missing)}")
    for path, (n_rows, crc) in expected.items():
        node = found[path]
        if node.nrows != n_rows:
            sys.exit(f"{path}: {node.nrows} of {n_rows} rows")
        step, new = max(1, 8_000_000 // max(node.rowsize, 1)), 0
        for start in range(0, n_rows, step):
            new = zlib.crc32(node.read(start, min(start + step, n_rows)).tobytes(), new)
        if new != crc:
            sys.exit(f"{path}: lost rows")
"""


class Selection:
    """Some telescopes of a file.

    Parameters
    ----------
    file : tables.File
    tel_ids : sequence of int
        All telescopes, in the order of the subarray.
    allowed : collection of int
    subarray : ctapipe.instrument.SubarrayDescription
        Of the allowed telescopes.
    """

    def __init__(self, file, tel_ids, allowed, subarray):
        self.allowed, self.subarray = list(allowed), subarray
        self.columns = np.isin(tel_ids, self.allowed)
        self.events = np.zeros(0, dtype=bool)
        if EVENTS in file:
            self.events = file.get_node(EVENTS).col("tels_with_trigger")[:, self.columns].any(1)

    def leaves_out(self, path):
        """Whether a table is of another telescope, or describes the whole subarray."""
        name = path.rpartition("/")[2]
        other = name.startswith("tel_") and name[4:].isdigit() and int(name[4:]) not in self.allowed
        return other or path.startswith(f"{SUBARRAY}/")

    def narrow(self, path, rows, start):
        """What is left of rows ``start`` and following of a table."""
        names = rows.dtype.names or ()
        if path == "/dl1/event/telescope/trigger":
            return rows[np.isin(rows["tel_id"], self.allowed)]
        if "/event/subarray/" in path and "event_id" in names:
            rows = rows[self.events[start : start + len(rows)]]
        dtype = self.narrow_dtype(rows.dtype)
        if dtype == rows.dtype:
            return rows
        out = np.empty(len(rows), dtype)
        for name in names:
            out[name] = rows[name][:, self.columns] if _is_mask(name) else rows[name]
        return out

    def narrow_dtype(self, dtype):
        """Type of rows with masks of the allowed telescopes only."""
        masks = [name for name in dtype.names or () if _is_mask(name)]
        if not masks:
            return dtype
        shape = (int(self.columns.sum()),)
        return np.dtype([(n, dtype[n].base, shape if n in masks else dtype[n].shape)
                         for n in dtype.names])  # fmt: skip


def _is_mask(name):
    """Whether a column is a mask over the subarray."""
    return name == "tels_with_trigger" or name.endswith("_telescopes")


def copy_file(source, target, left_out, selection=None):
    """Copy groups, tables and attributes.

    Parameters
    ----------
    source, target : tables.File
    left_out : collection of str
        Paths of groups or tables; the column ``true_image`` for that of true images.
    selection : Selection, optional
        Only some telescopes.

    Returns
    -------
    dict of str to [int, int]
        Number of rows and CRC-32 of all rows of each table.
    """
    no_true_images = PARTS["true_images"] in left_out
    left_out = set(left_out) - {PARTS["true_images"]} | set(WAVEFORMS)
    written = {}
    source.root._v_attrs._f_copy(target.root)
    if selection is not None:
        selection.subarray.to_hdf(target)
        written |= {n._v_pathname: summed(n) for n in target.walk_nodes("/", "Leaf")}
    for node in source.walk_nodes("/"):
        path = node._v_pathname
        if any(f"{path}/".startswith(f"{out}/") for out in left_out) or path == "/":
            continue
        if selection is not None and selection.leaves_out(path):
            continue
        parent = target.get_node(node._v_parent._v_pathname)
        if isinstance(node, tables.Group):
            if path not in target:
                node._v_attrs._f_copy(target.create_group(parent, node._v_name, node._v_title))
        elif isinstance(node, tables.Table):
            images = no_true_images and path.startswith(f"{PARTS['true_images']}/")
            drop = {"true_image"} if images else set()
            written[path] = _copy_table(node, parent, drop, selection)
        else:
            written[path] = summed(node.copy(parent))
    return written


def _copy_table(table, parent, drop, selection):
    """Copy a table in portions; returns rows and checksum."""
    keep = [name for name in table.colnames if name not in drop]
    dtype = np.dtype([(name, table.dtype[name]) for name in keep])
    if selection is not None:
        dtype = selection.narrow_dtype(dtype)
    same = dtype == table.dtype
    new = parent._v_file.create_table(
        parent, table._v_name, table.description if same else dtype, table.title,
        filters=table.filters, chunkshape=table.chunkshape if same else None,
    )  # fmt: skip
    _copy_attributes(table, new, drop)
    step, crc = max(1, BYTES // table.rowsize), 0
    for start in range(0, table.nrows, step):
        rows = table.read(start, min(start + step, table.nrows))
        if drop:
            rows = _fields(rows, keep)
        if selection is not None:
            rows = selection.narrow(table._v_pathname, rows, start)
        if len(rows):
            new.append(rows)
            crc = zlib.crc32(rows.tobytes(), crc)
    new.flush()
    return [int(new.nrows), crc]


def _fields(rows, names):
    """Copy of some fields, without gaps between them."""
    out = np.empty(len(rows), [(name, rows.dtype[name]) for name in names])
    for name in names:
        out[name] = rows[name]
    return out


def _copy_attributes(table, new, drop):
    """Attributes of a table; those of columns are numbered and move up where some are dropped."""
    if not drop & set(table.colnames):
        table.attrs._f_copy(new)
        return
    for key, value in get_node_meta(table).items():
        new.attrs[key] = value
    columns = get_column_attrs(table)
    for position, name in enumerate(new.colnames):
        for key, value in columns[name].items():
            if key not in ("POS", "DTYPE", "PREFIX"):
                new.attrs[f"CTAFIELD_{position}_{key}"] = value


def summed(node):
    """Number of rows and CRC-32 of a small table or array."""
    return [int(node.nrows), zlib.crc32(node.read().tobytes())]


def missing_rows(path, written):
    """Read a file completely in another process; PyTables reports no full disk.

    Parameters
    ----------
    path : path-like
        Closed.
    written : dict
        Rows and CRC-32 by path.

    Returns
    -------
    str
        Empty if all is there, else what is missing.
    """
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(path)],
        input=json.dumps(written),
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.returncode:
        return ""
    return (done.stderr.strip().splitlines() or ["unreadable"])[-1]
