"""Start and end of a Dask cluster, on this machine or as jobs of a batch system."""

import logging
import os
import shutil
import signal
import sys
from contextlib import contextmanager, suppress

from ..exceptions import ClusterError
from .cluster_settings import SYSTEMS

__all__ = ["awaited", "batch_cluster", "running"]

LOOPBACK = "127.0.0.1"
LOGGERS = ("distributed", "tornado", "asyncio", "dask_jobqueue")
CLOSE_SECONDS = 10


@contextmanager
def running(settings, gpus=()):
    """A cluster that is gone afterwards, with all its processes or jobs.

    Parameters
    ----------
    settings : ClusterSettings
    gpus : list of str
        Names of the GPUs of this machine; each worker on this machine sees one of them only.

    Yields
    ------
    cluster : distributed.SpecCluster
    client : distributed.Client

    Raises
    ------
    ClusterError
        If it cannot be started.
    """
    import dask
    from distributed import Client

    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(_dask_options(settings)):
        cluster = _started(settings, gpus)
        try:
            with Client(cluster, set_as_default=False) as client:
                if settings.system == "local":
                    client.register_plugin(_deaf())
                yield cluster, client
        except BaseException:
            _kill_workers(cluster)
            raise
        finally:
            with suppress(TimeoutError, OSError, RuntimeError):
                cluster.close(timeout=CLOSE_SECONDS)


def _kill_workers(cluster):
    """End the processes on this machine in the middle of their work; `close` ends batch jobs."""
    for worker in cluster.workers.values():
        if pid := getattr(worker, "pid", None):
            worker.auto_restart = False
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _deaf():
    """Plugin of workers of this machine, that ignore the Ctrl-C of the command's terminal.

    The command ends them; they would only add tracebacks.
    """
    from distributed import WorkerPlugin

    class Deaf(WorkerPlugin):
        """Of a process whose main thread is Dask's."""

        def setup(self, worker):
            """Called in each worker, those that replace a dead one, too."""
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return Deaf()


def _dask_options(settings):
    """Options of Dask that differ from its defaults."""
    return {
        "distributed.scheduler.allowed-failures": settings.retries,
        # a worker holds no second file, which its death would make suspicious, too
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.scheduler.work-stealing": False,
        # files take minutes, in code that does not return to Python
        "distributed.scheduler.worker-ttl": None,
        "distributed.admin.tick.limit": "1h",
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.nanny.http.routes": [],
        "logging": dict.fromkeys(LOGGERS, "critical"),
    }


def _started(settings, gpus):
    """A cluster whose workers are there, or whose jobs are queued."""
    if settings.system == "local":
        return _local_cluster(settings.workers, gpus)
    cluster = batch_cluster(settings)
    command = cluster.job_cls.submit_command.split()[0]
    if shutil.which(command) is None:
        cluster.close()
        raise ClusterError(f"{command}: no such command; start where jobs can be submitted")
    while len(cluster.worker_spec) < settings.workers:
        cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        cluster.sync(awaited, cluster)
    except (RuntimeError, ValueError, OSError) as error:
        cluster.close()
        words = " ".join(str(error).split("stderr:")[-1].split())
        raise ClusterError(f"{command}: jobs cannot be submitted ({words[:200]})") from None
    return cluster


async def awaited(cluster):
    """Submit the jobs that are missing; an error if the batch system refuses them."""
    from distributed import Status

    try:
        await cluster
    finally:
        for name, job in list(cluster.workers.items()):
            if job.status is Status.created:  # refused; tried again by the next call
                job.status = Status.failed
                del cluster.workers[name]


def _local_cluster(workers, gpus):
    """Processes of this machine, that only this machine can reach."""
    from distributed import Nanny, Scheduler, SpecCluster

    def options(i):
        environment = {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {}
        return {
            "host": LOOPBACK,
            "dashboard_address": f"{LOOPBACK}:0",
            "nthreads": 1,
            "memory_limit": 0,
            "env": environment,
            "silence_logs": logging.CRITICAL,
        }

    workers = workers or len(gpus) or len(os.sched_getaffinity(0))
    return SpecCluster(
        workers={i: {"cls": Nanny, "options": options(i)} for i in range(workers)},
        scheduler={
            "cls": Scheduler,
            "options": {"host": LOOPBACK, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0"},
        },
        silence_logs=logging.CRITICAL,
    )


def batch_cluster(settings):
    """Scheduler on this machine for jobs of a batch system, none of which is submitted yet.

    Parameters
    ----------
    settings : ClusterSettings

    Returns
    -------
    dask_jobqueue.JobQueueCluster

    Raises
    ------
    ClusterError
        If dask-jobqueue does not take the options.
    """
    import dask_jobqueue

    kind = getattr(dask_jobqueue, SYSTEMS[settings.system])
    # one worker per job, so that a job with a GPU has it for itself
    options = {"cores": 1, "processes": 1, "python": sys.executable} | settings.options
    scheduler = {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
    options["scheduler_options"] = scheduler | options.get("scheduler_options", {})
    if options["processes"] != 1:
        raise ClusterError("options: processes: must be 1; ask for more workers")
    try:
        return kind(**options, silence_logs=logging.CRITICAL)
    except (TypeError, ValueError, ImportError, OSError, RuntimeError) as error:
        words = " ".join(str(error).split())
        raise ClusterError(f"{settings.system}: options not usable ({words[:300]})") from None
