"""Read the finished output back: ctapipe-process ends with exit code 0 on a full disk.

PyTables reports no error from ``append``, ``flush`` or ``close`` when the disk is full, and
rows that never reached it read back as zeros (PyTables issues 636 and 695).  Only another
process sees what is really there, because this one keeps the lost pieces in its cache.
"""

import os
import struct
import subprocess
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path

__all__ = ["EventLog", "verified"]

EX_IOERR = 74

#: run by a fresh interpreter: file, number of events, CRC-32 of their (obs_id, event_id)
CHECK = """
import sys, zlib, numpy, tables

def events(rows):
    return numpy.column_stack([rows["obs_id"], rows["event_id"]]).astype("<i8")

with tables.open_file(sys.argv[1]) as file:
    trigger = file.root.dl1.event.subarray.trigger.read() if int(sys.argv[2]) else None
    if trigger is not None:
        if len(trigger) != int(sys.argv[2]):
            sys.exit(f"{len(trigger)} of {sys.argv[2]} events")
        if zlib.crc32(events(trigger).tobytes()) != int(sys.argv[3]):
            sys.exit("lost rows in the list of events")
        known = set(map(tuple, events(trigger)))
    for table in file.walk_nodes("/", "Table"):
        by_event = {"obs_id", "event_id"} <= set(table.colnames)
        for start in range(0, table.nrows, 1000):
            rows = table.read(start, start + 1000)
            if by_event and not known.issuperset(map(tuple, events(rows))):
                sys.exit(f"{table._v_pathname}: lost rows")
        if table._v_pathname.startswith("/dl2/event/subarray/") and table.nrows != len(trigger):
            sys.exit(f"{table._v_pathname}: {table.nrows} of {len(trigger)} events")
"""


class EventLog:
    """Number of the events seen, and a checksum of their ids and order."""

    def __init__(self):
        self.n_events = self.crc = 0

    def add(self, index):
        """Count an event by its ``EventIndexContainer``."""
        self.n_events += 1
        ids = (int(i) % 2**64 for i in (index.obs_id, index.event_id))
        self.crc = zlib.crc32(struct.pack("<QQ", *ids), self.crc)


@contextmanager
def verified(tool, seen, log):
    """Check a tool's output at the end of the block, unless an error ends it.

    Parameters
    ----------
    tool : ctapipe.core.Tool
        Its writer ``write`` has closed the file ``output_path`` by then.
    seen : EventLog
        Events that the file must hold.
    log : logging.Logger

    Raises
    ------
    SystemExit
        With code 74; the file is renamed to ``*.incomplete``.
    """
    # the tool swallows errors before contexts are left: only the end of `finish` tells
    finish, finished = tool.finish, []

    def remembered():
        finish()
        finished.append(True)

    tool.finish = remembered
    try:
        yield
    finally:
        tool.finish = finish
    if not finished:
        return
    path = Path(getattr(getattr(tool, "write", None), "output_path", None) or os.devnull)
    if not path.is_file():
        return
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(path), str(seen.n_events), str(seen.crc)],
        env={**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["unreadable"])[-1]
        incomplete = path.with_name(f"{path.name}.incomplete")
        path.replace(incomplete)
        log.critical(
            "%s was not written completely (%s), is the disk full? Renamed to %s",
            path,
            reason,
            incomplete.name,
        )
        raise SystemExit(EX_IOERR)
