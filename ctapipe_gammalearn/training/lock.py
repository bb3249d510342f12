"""One training at a time in a folder."""

import contextlib
import fcntl
import logging

from ..exceptions import TrainingError

__all__ = ["LOCK", "locked"]

log = logging.getLogger(__name__)

LOCK = ".lock"


@contextlib.contextmanager
def locked(run_dir):
    """Keep the folder of a run to this process.

    The operating system holds the lock and ends it with the process, however that dies. The
    empty file ``.lock`` stays: deleting it would let a third process in.

    Parameters
    ----------
    run_dir : Path
        Must exist.

    Raises
    ------
    TrainingError
        If another process has it.
    """
    with (run_dir / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"{run_dir}: is being trained by another process; wait for it, or choose another"
                " folder"
            ) from None
        except OSError as error:  # some network file systems have no locks
            log.warning("%s: cannot be locked (%s); start one training only", run_dir, error)
        yield
