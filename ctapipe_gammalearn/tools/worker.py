"""Worker processes of a command: they count what they do, and end when the command ends."""

import os
import signal
import threading
from multiprocessing import parent_process

from tqdm import tqdm

from ..exceptions import GammaLearnError

__all__ = ["EX_IOERR", "Failure", "connect", "count"]

EX_IOERR = 74
_counter = None


class Failure(GammaLearnError):
    """A file could not be made; the text names it."""

    def __init__(self, text, exit_code=1):
        super().__init__(text, exit_code)
        self.exit_code = exit_code

    def __str__(self):
        return self.args[0]


def connect(counter):
    """Prepare a process: count in ``counter``, and end when the parent ends."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    tqdm.set_lock(threading.RLock())  # tqdm's own semaphore would outlive a killed process
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """Wait for the parent, which may be killed at any time."""
    parent_process().join()
    os.kill(os.getpid(), signal.SIGKILL)


def count():
    """One more shower; nothing outside a worker."""
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += 1
