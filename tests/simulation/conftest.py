"""Compiled code of a function is cached even if a function that it calls has changed since."""

import contextlib
from pathlib import Path

from ctapipe_gammalearn import simulation

FOLDER = Path(simulation.__file__).parent


def drop_stale_code():
    """Remove what was compiled before the newest source of the simulation."""
    newest = max(source.stat().st_mtime for source in FOLDER.glob("*.py"))
    for index in (FOLDER / "__pycache__").glob("*.nbi"):
        with contextlib.suppress(FileNotFoundError):  # another worker was faster
            if index.stat().st_mtime < newest:
                index.unlink()


drop_stale_code()
