"""Several processes that share the batches of a training: one for each device.

The first one is the process that was started by the user; it alone writes files. It starts the
others as ``python -m ctapipe_gammalearn.training.processes`` and tells them on their standard
input what to do, which works alike for commands, notebooks and tests. When that input ends,
because the first process has, they end too.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import distributed

from ..exceptions import GammaLearnError, TrainingError

__all__ = ["Place", "main", "others"]

#: seconds that a broken connection leaves the other process to end
GRACE = 5.0
READY = "ready"
#: what Lightning and torch leave in the environment
VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "WORLD_SIZE")


class Place(LightningEnvironment):
    """Which of the processes this one is, in Lightning's terms.

    Parameters
    ----------
    rank : int
        Its number, from 0.
    n : int
        Number of processes.
    port : int
        Where they find each other on this machine.
    """

    creates_processes_externally = True
    main_address = "127.0.0.1"

    def __init__(self, rank, n, port):
        super().__init__()
        self.rank, self.n, self._main_port = rank, n, port

    def local_rank(self):
        """Its number, which is that of its GPU."""
        return self.rank

    def node_rank(self):
        """All are on one machine."""
        return 0


@contextlib.contextmanager
def others(n, job):
    """Start the processes 1 to n - 1; they end with the block.

    Parameters
    ----------
    n : int
    job : dict
        Keyword arguments, as JSON values, of `fit.assist`.

    Yields
    ------
    Place or None
        Of this process; None if there are no others.

    Raises
    ------
    TrainingError
        If another process fails; with its last words.
    """
    if n == 1:
        yield None
        return
    place = Place(0, n, _free_port())
    with contextlib.ExitStack() as stack:
        stack.enter_context(_environment(job["recipe"]["run"]["threads"]))
        helpers = [
            stack.enter_context(_Helper({**job, "place": [rank, n, place.main_port]}))
            for rank in range(1, n)
        ]
        try:
            for helper in helpers:
                helper.wait_until_ready()
            yield place
        except RuntimeError:  # of torch: a connection has broken
            for helper in helpers:
                helper.check()
            raise
        finally:
            if distributed.is_initialized():
                distributed.destroy_process_group()


@contextlib.contextmanager
def _environment(threads):
    """Environment variables that a group of processes needs; restored afterwards."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    # without it Lightning chooses the number of threads
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _free_port():
    """A port that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class _Helper:
    """Another process, seen from the first one."""

    def __init__(self, job):
        self.rank, self.n, _ = job["place"]
        self.job = job

    def __enter__(self):
        """Start it in a session of its own, where no Ctrl-C reaches it."""
        self.words = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.words,
            text=True, start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(BrokenPipeError):  # found out when it is waited for
            self.process.stdin.write(json.dumps(self.job) + "\n")
            self.process.stdin.flush()
        return self

    def __exit__(self, *error):
        """End it; it has nothing to write."""
        self.process.kill()
        self.process.communicate()
        self.words.close()

    def wait_until_ready(self):
        """Wait until it has loaded the images."""
        if not any(line.strip() == READY for line in self.process.stdout):
            self.check()

    def check(self):
        """Raise if it has ended, or does soon."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(GRACE)
            self.words.seek(0)
            last = f"exit code {code}"
            if code > 0:  # killed by nobody: it has told why
                last = [last, *self.words.read().splitlines()][-1]
            raise TrainingError(
                f"run.devices: process {self.rank + 1} of {self.n} has ended ({last}); the same"
                " command goes on"
            )


def main():
    """Do what the first process says, until it ends."""
    from .fit import assist

    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    place = Place(*job.pop("place"))
    try:
        assist(place=place, ready=_tell, **job)
    except GammaLearnError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    # the first process may still need the connection
    threading.Event().wait()
    return 0


def _tell():
    """Tell the first process that all is loaded."""
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()


def _end_with_the_first():
    """Wait for the end of the standard input, then for nothing."""
    sys.stdin.read()
    signal.raise_signal(signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
