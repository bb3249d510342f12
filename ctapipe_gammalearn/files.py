"""Files that are there entirely or not at all: written aside, brought to the disk, renamed."""

import contextlib
import os
import platform
import secrets
from pathlib import Path

from .exceptions import OutputError

__all__ = ["part_name", "publish", "remove_strays", "whole_file"]


@contextlib.contextmanager
def whole_file(path, overwrite=True):
    """Write a file under another name beside it, and give it its own at the end.

    Parameters
    ----------
    path : path-like
        Replaced only if all went well.
    overwrite : bool
        See `publish`.

    Yields
    ------
    Path
        What to write to; its suffix is that of ``path``.

    Raises
    ------
    OutputError
        If the file exists and must not be replaced.
    OSError
        With the name of the file, also where HDF5 or a compressor gives none.
    """
    path = Path(path)
    part = part_name(path)
    try:
        yield part
        publish(part, path, overwrite)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error).strip(), str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def part_name(path):
    """Temporary name beside a file, unique to this process of this machine."""
    owner = f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"
    return path.with_name(f".{path.stem}.{owner}.part{path.suffix}")


def publish(part, path, overwrite=False):
    """Give a finished file its name, completely or not at all.

    Parameters
    ----------
    part, path : Path
        In the same folder.
    overwrite : bool
        Without it an existing file is never touched, not even if it appears meanwhile.

    Raises
    ------
    OutputError
        If the file exists.
    """
    with part.open("rb") as file:
        os.fsync(file.fileno())
    try:
        if overwrite:
            part.replace(path)
        else:
            path.hardlink_to(part)
    except FileExistsError:
        raise OutputError(
            f"{path}: exists; choose another name, or --overwrite to replace it"
        ) from None
    finally:
        part.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not every file system can sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def remove_strays(folder):
    """Delete unfinished files whose process, on this machine, has gone.

    Machines of a farm write into one folder, and know only their own processes.
    """
    for path in folder.glob(".*.part.*"):
        machine, pid, *_ = path.name.split(".")[-5:]
        if machine == _machine() and pid.isdigit() and not _alive(int(pid)):
            path.unlink(missing_ok=True)


def _machine():
    """Name of this machine, without dots."""
    return platform.node().replace(".", "-") or "unknown"


def _alive(pid):
    """Whether a process of this machine exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
