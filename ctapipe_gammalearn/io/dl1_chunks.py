"""DL1 images of ctapipe's HDF5 files in the order of events, a bounded number at a time."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import tables
from ctapipe.containers import EventIndexContainer
from ctapipe.io import read_table
from ctapipe.io.hdf5tableio import get_node_meta

from ..exceptions import ApplyError

__all__ = ["HDF5_LOCK", "Dl1Reader", "Events", "TelescopeImage", "ahead", "opened"]

#: PyTables gives the interpreter free while HDF5, which is not made for threads, is at work:
#: whoever reads or writes beside another thread holds this lock.
HDF5_LOCK = threading.RLock()

TRIGGER = "/dl1/event/subarray/trigger"
TELESCOPE = "/dl1/event/telescope"
POINTING = "/configuration/telescope/pointing"
BLOCK = 4096  # events looked at together to choose how many are read


@dataclass(slots=True)
class TelescopeImage:
    """What the file has of a telescope with a trigger.

    Attributes
    ----------
    event : int
        Number of the event among the `Events` that hold this image.
    tel_id : int
    image, peak_time : ndarray, shape (n_pixels,), or None
        In p.e. and ns.
    parameters : tuple of (astropy.table.Table, int) or None
        Table of image parameters, and the row in it.
    pointing : tuple of float
        Altitude and azimuth, rad; NaN if unknown.
    """

    event: int
    tel_id: int
    image: Any
    peak_time: Any
    parameters: Any
    pointing: tuple


@dataclass
class Events:
    """Consecutive events.

    Attributes
    ----------
    obs_id, event_id : ndarray, shape (n_events,)
        As stored in the table of triggers.
    images : list of TelescopeImage
        Of all telescopes with a trigger: by event, then in the order of the subarray.
    """

    obs_id: np.ndarray
    event_id: np.ndarray
    images: list

    def __len__(self):
        return len(self.event_id)


class Dl1Reader:
    """Reads the events of a file in turn.

    Parameters
    ----------
    file : tables.File
    tel_ids : sequence of int
        All telescopes of the file, in the order of its subarray.
    allowed : collection of int, optional
        Events without one of these telescopes, and other telescopes, are left out.
    chunk_size : int
        Images read at once; at least one event.

    Raises
    ------
    ApplyError
        If the file's pointing is of a kind that is not supported.
    """

    def __init__(self, file, tel_ids, allowed=None, chunk_size=512):
        self.file, self.chunk_size = file, chunk_size
        self.tel_ids = np.asarray(tel_ids)
        self.selected = np.isin(self.tel_ids, list(allowed or tel_ids))
        self.trigger = file.get_node(TRIGGER) if TRIGGER in file else None
        self.pointing = _pointings(file)
        self._images = self._cursors("images")
        self._parameters = self._cursors("parameters")

    def _cursors(self, kind):
        """`Cursor` of each telescope that has a table of this kind."""
        paths = {int(t): f"{TELESCOPE}/{kind}/tel_{t:03d}" for t in self.tel_ids[self.selected]}
        return {tel_id: Cursor(self.file, path) for tel_id, path in paths.items()
                if path in self.file}  # fmt: skip

    @property
    def has_parameters(self):
        """Whether the file has image parameters of any telescope."""
        return bool(self._parameters)

    @property
    def n_events(self):
        """Number of events of the file."""
        return 0 if self.trigger is None else int(self.trigger.nrows)

    @property
    def example(self):
        """Index of the first event as `ctapipe.io.HDF5EventSource` gives it: types, and notes."""
        row = self.trigger.read(0, 1)
        index = EventIndexContainer(obs_id=row["obs_id"][0], event_id=row["event_id"][0])
        index.meta = get_node_meta(self.trigger)  # ctapipe writes them to tables of events
        return index

    def __iter__(self):
        """Yield `Events` until all are read.

        Raises
        ------
        ApplyError
            If tables are not in the order of events.
        """
        for start in range(0, self.n_events, BLOCK):
            with HDF5_LOCK:
                rows = self.trigger.read(start, min(start + BLOCK, self.n_events))
            triggered = rows["tels_with_trigger"][:, self.selected]
            rows, triggered = rows[triggered.any(axis=1)], triggered[triggered.any(axis=1)]
            for part in _portions(triggered.sum(axis=1), self.chunk_size):
                with HDF5_LOCK:
                    events = self._read(rows[part], triggered[part])
                yield events
        for cursor in (*self._images.values(), *self._parameters.values()):
            cursor.check_end()

    def _read(self, rows, triggered):
        """Images and parameters of some events."""
        events, columns = np.nonzero(triggered)
        tel_ids = self.tel_ids[self.selected][columns]
        found = [None] * len(events)
        for tel_id in np.unique(tel_ids):
            places = np.flatnonzero(tel_ids == tel_id)
            mine = rows[events[places]]
            images = self._read_table(self._images, tel_id, mine)
            parameters = self._read_table(self._parameters, tel_id, mine)
            pixels = [_column(images, name) for name in ("image", "peak_time")]
            for i, place in enumerate(places):
                found[place] = TelescopeImage(
                    int(events[place]),
                    int(tel_id),
                    *(None if x is None or images[1][i] < 0 else x[images[1][i]] for x in pixels),
                    None if parameters is None or parameters[1][i] < 0
                    else (parameters[0], parameters[1][i]),
                    self.pointing.get((int(tel_id), int(mine["obs_id"][i])), (np.nan, np.nan)),
                )  # fmt: skip
        return Events(rows["obs_id"], rows["event_id"], found)

    @staticmethod
    def _read_table(cursors, tel_id, events):
        """Table and rows in it, None without table."""
        cursor = cursors.get(int(tel_id))
        return None if cursor is None else cursor.read(events)


class Cursor:
    """Place in the table of a telescope, whose rows are in the order of events.

    Parameters
    ----------
    file : tables.File
    path : str
    """

    def __init__(self, file, path):
        self.file, self.path = file, path
        self.table, self.position = file.get_node(path), 0

    def read(self, events):
        """Rows of the next events of this telescope.

        Parameters
        ----------
        events : ndarray with fields obs_id and event_id

        Returns
        -------
        table : astropy.table.Table
            Decoded.
        rows : ndarray, shape (n_events,)
            Row of each event; -1 where the table has none.
        """
        stop = min(self.position + len(events), self.table.nrows)
        table = read_table(self.file, self.path, self.position, stop)
        keys = [np.asarray(table[name]) for name in ("obs_id", "event_id")]
        wanted = [events[name] for name in ("obs_id", "event_id")]
        if all(np.array_equal(a, b) for a, b in zip(keys, wanted, strict=True)):
            rows = np.arange(len(events))
        else:
            known = {key: i for i, key in enumerate(zip(*(k.tolist() for k in keys), strict=True))}
            rows = np.array([known.get(k, -1) for k in zip(*(w.tolist() for w in wanted),
                                                           strict=True)])  # fmt: skip
        there = rows[rows >= 0]
        if not np.array_equal(there, np.arange(len(there))):
            raise ApplyError(f"{self.file.filename}: {self.path} is not in the order of events")
        self.position += len(there)
        return table, rows

    def check_end(self):
        """Raise `ApplyError` if rows are left over."""
        if left := self.table.nrows - self.position:
            raise ApplyError(
                f"{self.file.filename}: {left} rows of {self.path} are of no event or not in the"
                " order of events"
            )


def ahead(pool, iterable, n):
    """Yield the items of an iterable, which another thread makes in advance.

    Parameters
    ----------
    pool : concurrent.futures.ThreadPoolExecutor
        Of one thread.
    iterable : iterable
    n : int
        Items that may wait.
    """
    iterator, end = iter(iterable), object()
    waiting = deque(pool.submit(next, iterator, end) for _ in range(n))
    while (item := waiting.popleft().result()) is not end:
        waiting.append(pool.submit(next, iterator, end))
        yield item


def _column(found, name):
    """Column of a table that may not be there."""
    if found is None or name not in found[0].colnames:
        return None
    return np.asarray(found[0][name])


def _portions(counts, size):
    """Slices of consecutive events with up to ``size`` images, or of a single event."""
    start = total = 0
    for i, count in enumerate(counts.tolist()):
        if i > start and total + count > size:
            yield slice(start, i)
            start, total = i, 0
        total += count
    if start < len(counts):
        yield slice(start, len(counts))


def _pointings(file):
    """Altitude and azimuth (rad) of each telescope and observation, (tel_id, obs_id)."""
    varying = ("/dl0/monitoring/telescope/pointing", "/dl1/monitoring/telescope/pointing")
    if POINTING not in file and any(path in file for path in varying):
        raise ApplyError(
            f"{file.filename}: the pointing changes with time; use ctapipe-process for this file"
        )
    found = {}
    for node in file.iter_nodes(POINTING, "Table") if POINTING in file else ():
        tel_id = int(node._v_name.removeprefix("tel_"))
        table = read_table(file, node._v_pathname)
        columns = [table[f"telescope_pointing_{axis}"] for axis in ("altitude", "azimuth")]
        angles = [column.quantity.to_value("rad").tolist() for column in columns]
        for obs_id, *angle in zip(table["obs_id"].tolist(), *angles, strict=True):
            found[tel_id, obs_id] = tuple(angle)
    return found


def opened(path):
    """Open a file for reading; `ApplyError` if it is no HDF5 file."""
    try:
        return tables.open_file(path, "r")
    except (OSError, tables.HDF5ExtError):
        raise ApplyError(f"{path}: no complete HDF5 file; write it again") from None
