"""Processes that work for one command: spawned, counted, and gone when the command goes."""

import multiprocessing
import signal
import sys
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial

from ..io.simulated_files import verify
from .worker import EX_IOERR, Failure, connect

__all__ = ["Farm", "judge", "signals_as_exit"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS = 0.5
RETRY_SECONDS = 0.05


@contextmanager
def signals_as_exit():
    """Turn SIGTERM and SIGHUP into `SystemExit` with the code that a shell would see.

    Libraries lose exceptions of a moment in which they do not expect any (in ``__del__``, or
    while compiled code looks for an attribute): it is raised until it is on its way, and so is the
    `KeyboardInterrupt` of SIGINT.  What is ignored, as SIGHUP after ``nohup``, stays so.
    """

    def leave(signum, *_):
        # files that were being opened just now complain when they are thrown away
        sys.unraisablehook = lambda unraisable: None
        signal.signal(signal.SIGALRM, partial(leave, signum))
        signal.setitimer(signal.ITIMER_REAL, RETRY_SECONDS)
        if not _is_leaving(sys.exc_info()[1]):
            raise KeyboardInterrupt if signum == signal.SIGINT else SystemExit(128 + signum)

    old = {s: signal.getsignal(s) for s in (signal.SIGALRM, *SIGNALS)}
    for signum in SIGNALS:
        if old[signum] != signal.SIG_IGN:
            signal.signal(signum, partial(leave, signum))
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGALRM) is not old[signal.SIGALRM]:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for signum, handler in old.items():
            signal.signal(signum, handler)


def _is_leaving(error):
    """Whether the way out has begun: nothing may interrupt what cleans up."""
    while error is not None and not isinstance(error, SystemExit | KeyboardInterrupt):
        error = error.__context__
    return error is not None


def judge(path, fault):
    """Delete a file that is not sound, and raise `Failure`.

    Parameters
    ----------
    path : Path
    fault : str
        What is wrong with it; empty if it is sound.
    """
    if fault:
        path.unlink(missing_ok=True)
        raise Failure(f"{path}: not written completely ({fault}); is the disk full?", EX_IOERR)


class Farm:
    """A pool of workers and one process that reads what they wrote.

    Parameters
    ----------
    jobs : int
        Number of workers.
    on_progress : callable
        Gets the number of simulated showers, twice a second.
    """

    def __init__(self, jobs, on_progress):
        context = multiprocessing.get_context("spawn")
        self.counter = context.Value("q", 0)
        self.on_progress = on_progress
        self.pool = ProcessPoolExecutor(jobs, context, connect, (self.counter,))
        self.reader = ProcessPoolExecutor(1, context, connect, (self.counter,))
        self.pending = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        """Wait for the processes after success, kill them after anything else."""
        if kind is not None:
            for process in multiprocessing.active_children():
                process.kill()
        for pool in (self.pool, self.reader):
            pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, then, function, path, *args):
        """Run ``function(path, *args)`` in a worker, afterwards ``then(result)`` here."""
        self.pending[self.pool.submit(function, path, *args)] = then

    def check(self, then, path):
        """Read a file completely in the other process, afterwards ``then()`` here.

        A file that is not sound is deleted and raises `Failure`.
        """

        def verified(fault):
            judge(path, fault)
            then()

        self.pending[self.reader.submit(verify, path)] = verified

    def run(self):
        """Work until no job is left; jobs may submit further ones."""
        try:
            while self.pending:
                done, _ = wait(self.pending, POLL_SECONDS, FIRST_COMPLETED)
                for future in done:
                    self.pending.pop(future)(future.result())
                self.on_progress(self.counter.value)
        except BrokenProcessPool:
            raise Failure(
                "a process died (killed, or out of memory); run the same command again to go on"
            ) from None
