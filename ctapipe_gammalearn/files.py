"""Files that are there entirely or not at all."""

import os
from contextlib import contextmanager
from pathlib import Path

__all__ = ["whole_file"]


@contextmanager
def whole_file(path):
    """Write a file under another name beside it, and give it its own at the end.

    Parameters
    ----------
    path : path-like
        Replaced only if all went well.

    Yields
    ------
    Path
        What to write to; its name ends like that of ``path``.

    Raises
    ------
    OSError
        With the name of the file, also where HDF5 or a compressor gives none.
    """
    path = Path(path)
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error).strip(), str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
