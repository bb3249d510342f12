"""Signals: hold them back while an event is written, and stop in order on SIGTERM."""

import signal
import threading
from contextlib import contextmanager

__all__ = ["signals_held", "sigterm_as_interrupt"]

HELD = (signal.SIGINT, signal.SIGTERM)


def _in_main_thread():
    """Python delivers signals to, and lets them be configured from, the main thread only."""
    return threading.current_thread() is threading.main_thread()


@contextmanager
def signals_held():
    """Run the block to its end before Ctrl-C or SIGTERM reach their handlers.

    The writer fills many tables for one event; a signal in between would leave
    them with different numbers of rows. Signals without a Python handler (ignored,
    or with the system's default action) and other threads are left alone.
    """
    if not _in_main_thread():
        yield
        return
    pending = []
    handlers = {s: h for s in HELD if callable(h := signal.getsignal(s))}
    for signum in handlers:
        signal.signal(signum, lambda *args: pending.append(args))
    try:
        yield
    finally:
        for signum, handler in handlers.items():
            signal.signal(signum, handler)
    for signum, frame in pending[:1]:
        handlers[signum](signum, frame)


@contextmanager
def sigterm_as_interrupt():
    """Treat SIGTERM like Ctrl-C inside the block, so that files are closed.

    Only in the main thread and only where SIGTERM still has its default action;
    a second SIGTERM kills at once.
    """
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(signum, frame):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
