"""Jobs of one command on a Dask cluster: begun again where that helps, and all reported."""

import queue
import time
from collections import namedtuple
from contextlib import ExitStack, suppress

import tables

from ..exceptions import GammaLearnError
from ..io.simulated_files import verify
from .cluster_start import awaited, running
from .farm import judge
from .worker import Failure

__all__ = ["ClusterFarm"]

POLL_SECONDS = 0.5
REPLACE_SECONDS = 30

_Job = namedtuple("_Job", "then, function, path, args, again")


class ClusterFarm:
    """Workers of a cluster; with the methods of `ctapipe_gammalearn.tools.farm.Farm`.

    A job whose worker dies is begun again as often as the settings say, one that ends with an
    `OSError` once.  Any other error fails the job, and the other jobs go on.

    Parameters
    ----------
    settings : ClusterSettings
    on_progress : callable
        Gets the number of finished jobs.
    gpus : list of str
        See `ctapipe_gammalearn.tools.cluster_start.running`.
    """

    def __init__(self, settings, on_progress, gpus=()):
        self.settings, self.on_progress, self.gpus = settings, on_progress, gpus
        self.pending, self.done, self.failures = {}, queue.SimpleQueue(), []
        self.n_done, self._replaced = 0, time.monotonic()
        self._open = ExitStack()

    def __enter__(self):
        self.cluster, self.client = self._open.enter_context(running(self.settings, self.gpus))
        return self

    def __exit__(self, kind, error, trace):
        self._open.close()

    def submit(self, then, function, path, *args):
        """Run ``function(path, *args)`` in a worker, afterwards ``then(result)`` here."""
        self._send(_Job(then, function, path, args, again=True))

    def _send(self, job):
        """Hand a job to the scheduler, which gives each worker one at a time."""
        future = self.client.submit(_work, job.function, job.path, *job.args, pure=False)
        self.pending[future.key] = job
        future.add_done_callback(self.done.put)

    def check(self, then, path):
        """Read a file completely here, where it was not written, afterwards ``then()``.

        A file that is not sound is deleted and raises `Failure`.
        """
        judge(path, verify(path))
        then()

    def run(self):
        """Work until no job is left; jobs may submit further ones.

        Raises
        ------
        Failure
            If jobs failed: one line for each.
        """
        while self.pending:
            try:
                self._finish(self.done.get(timeout=POLL_SECONDS))
            except queue.Empty:
                self._replace_lost()
            self.on_progress(self.n_done)
        failures, self.failures = self.failures, []
        if failures:
            raise Failure("\n".join(failures))

    def _finish(self, future):
        """Result, error, or a new start of a job."""
        job, error = self.pending.pop(future.key), future.exception()
        if isinstance(error, OSError) and job.again:
            self._send(job._replace(again=False))
            return
        self.n_done += 1
        try:
            if error is not None:
                raise error
            job.then(future.result())
        except Exception as reason:  # whatever it is, the other files go on
            self.failures.append(one_line(job.path, reason))

    def _replace_lost(self):
        """New jobs of the batch system in place of those that ended, as at their time limit."""
        now = time.monotonic()
        if self.settings.system != "local" and now > self._replaced + REPLACE_SECONDS:
            self._replaced = now
            with suppress(RuntimeError, ValueError, OSError):  # tried again later
                self.cluster.sync(awaited, self.cluster)


def _work(function, path, *args):
    """Run a job in a worker, whose thread would print every error of HDF5."""
    tables.silence_hdf5_messages()
    return function(path, *args)


def one_line(path, error):
    """Reason of a failure, with the file it belongs to.

    Parameters
    ----------
    path : path-like
    error : Exception

    Returns
    -------
    str
    """
    from distributed import KilledWorker

    text = " ".join(str(error).split())
    if isinstance(error, KilledWorker):
        text = "its workers died again and again (killed, or out of memory)"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or path}: {error.strerror}"
    elif not isinstance(error, GammaLearnError):
        text = f"{type(error).__name__}: {text}"
    return text if str(path) in text else f"{path}: {text}"
