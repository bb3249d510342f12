"""DL2 tables as ctapipe's `DataWriter` makes them, written many rows at a time."""

import zlib
from itertools import count

import numpy as np
import tables
from ctapipe.containers import TelEventIndexContainer
from ctapipe.io import HDF5TableWriter
from ctapipe.io.tableio import TelListToMaskTransform

from .dl1_chunks import HDF5_LOCK

__all__ = ["Dl2Writer", "EventRows"]

NUMBER = count()


class EventRows:
    """Turns events into rows of tables, in memory, with ctapipe's own writer.

    Parameters
    ----------
    subarray : ctapipe.instrument.SubarrayDescription
        For the masks of telescopes.
    """

    def __init__(self, subarray):
        self.writer = HDF5TableWriter(
            f"rows-{next(NUMBER)}.h5",  # only a name, nothing is written
            add_prefix=True,
            filters=tables.Filters(complevel=5, complib="blosc:zstd", fletcher32=True),
            driver="H5FD_CORE",
            driver_core_backing_store=0,
        )
        self.writer.exclude("dl2/event/telescope/.*", ".*telescopes")
        self.writer.add_column_transform_regexp(
            table_regexp="dl2/event/subarray/.*",
            col_regexp=".*telescopes",
            transform=TelListToMaskTransform(subarray),
        )

    def add(self, event, algorithms):
        """Write the DL2 of an event.

        Parameters
        ----------
        event : ArrayEventContainer
        algorithms : collection of str
            Prefixes; others are left out.
        """
        with HDF5_LOCK:
            self._add(event, algorithms)

    def _add(self, event, algorithms):
        index = event.index
        for tel_id, dl2 in event.dl2.tel.items():
            key = TelEventIndexContainer(
                obs_id=index.obs_id, event_id=index.event_id, tel_id=np.int16(tel_id)
            )
            for path, container in _containers(dl2, algorithms):
                name = f"dl2/event/telescope/{path}/tel_{tel_id:03d}"
                self.writer.write(name, [key, container])
        for path, container in _containers(event.dl2.stereo, algorithms):
            self.writer.write(f"dl2/event/subarray/{path}", [index, container])

    @property
    def tables(self):
        """Tables by path."""
        return {t._v_pathname: t for t in self.writer.h5file.walk_nodes("/", "Table")}

    def read(self):
        """Rows of all tables by path."""
        with HDF5_LOCK:
            self.writer.h5file.flush()
            return {path: table.read() for path, table in self.tables.items()}

    def close(self):
        """Free the memory."""
        with HDF5_LOCK:
            self.writer.close()


def _containers(dl2, algorithms):
    """Yield (kind/algorithm, container)."""
    for kind, containers in dl2.items():
        for algorithm, container in containers.items():
            if algorithm in algorithms:
                yield f"{kind}/{algorithm}", container


class Dl2Writer:
    """Appends rows to the tables of a file.

    Parameters
    ----------
    file : tables.File
    model : EventRows
        With one event that has every table: names, types, attributes, and the row that
        stands for no result.

    Attributes
    ----------
    written : dict of str to [int, int]
        Number of rows and CRC-32 of all rows of each table, as given to `append`.
    """

    def __init__(self, file, model):
        self.file, self.model, self.default = file, model.tables, model.read()
        self.tables, self.written = {}, {}

    def rows(self, path, n, columns):
        """Rows of a table.

        Parameters
        ----------
        path : str
        n : int
        columns : dict of str to array_like
            Values; other columns keep those of the model.

        Returns
        -------
        ndarray, shape (n,)
        """
        rows = np.repeat(self.default[path], n)
        for name, column in columns.items():
            rows[name] = column
        return rows

    def append(self, rows):
        """Append rows to tables, which are made with their first rows.

        Parameters
        ----------
        rows : dict of str to ndarray
            By path.
        """
        for path, table in rows.items():
            if len(table):
                with HDF5_LOCK:
                    self._append(path, table)

    def _append(self, path, rows):
        if path not in self.tables:
            group, _, name = path.rpartition("/")
            parent = self.file.create_group(
                *_split(group), createparents=True
            ) if group not in self.file else self.file.get_node(group)  # fmt: skip
            self.tables[path] = self.model[path].copy(parent, name, start=0, stop=0)
            self.written[path] = [0, 0]
        self.tables[path].append(rows)
        n_rows, crc = self.written[path]
        self.written[path] = [n_rows + len(rows), zlib.crc32(rows.tobytes(), crc)]


def _split(path):
    """Parent and name of a group."""
    parent, _, name = path.rpartition("/")
    return parent or "/", name
