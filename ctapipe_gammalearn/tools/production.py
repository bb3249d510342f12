"""From the plan of a data set to its files: what is there, what is missing, in which order."""

import os
import shutil
import sys

from tqdm import tqdm

from ..exceptions import SimulationError
from ..files import publish, remove_strays
from ..io.simulated_files import read_mark
from .cluster_farm import ClusterFarm
from .farm import Farm, signals_as_exit
from .simulation_jobs import mark_settings, merge_files, simulate_run, write_run
from .worker import EX_IOERR, Failure

__all__ = ["Production"]

PARTS = ".parts"
# on disk per shower of reuse 10 and telescope, with parameters; twice while files are merged
BYTES_PER_SHOWER = {"gamma": 6000, "electron": 5000, "proton": 1500, "helium": 1500, "muon": 5000}


class Production:
    """Simulates what is missing of a data set.

    Parameters
    ----------
    plan : list of Sample
    folder : Path
        Made if its parent exists.
    images_only, overwrite : bool

    Raises
    ------
    SimulationError
        If the folder cannot be written, or holds files of other settings.
    """

    def __init__(self, plan, folder, images_only=False, overwrite=False):
        self.plan, self.folder, self.parts = plan, folder, folder / PARTS
        self.images_only, self.overwrite = images_only, overwrite
        self._make_folder()
        self.todo = [sample for sample in plan if not self._is_done(sample)]
        self._missing = {}

    def _make_folder(self):
        """Make the folders of the data set, and try to write there."""
        try:
            self.folder.mkdir(exist_ok=True)
            self.parts.mkdir(exist_ok=True)
            probe = self.parts / f".probe.{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            reason = "its parent does not exist" if error.errno == 2 else error.strerror
            raise SimulationError(
                f"{self.folder}: cannot be written ({reason}); choose another folder"
            ) from None
        remove_strays(self.parts)
        remove_strays(self.folder)

    def _settings(self, run):
        """What the mark of a file of a run must say."""
        return mark_settings(run, self.images_only)

    def _is_done(self, sample):
        """Whether a sample is there; an error if its name is taken."""
        path = self._path(sample)
        if not path.exists():
            return False
        if read_mark(path) == self._settings(sample.run):
            return True
        if not self.overwrite:
            raise SimulationError(
                f"{path}: made with other settings or versions; choose another folder, or"
                " --overwrite to replace it"
            )
        return False

    def _path(self, sample):
        """Final name of a sample."""
        return self.folder / f"{sample.name}.dl1.h5"

    def _chunk_path(self, sample, i):
        """Name of a part of a sample."""
        return self.parts / f"{sample.name}.{i:04d}.dl1.h5"

    def run(self, jobs, cluster=None):
        """Simulate with ``jobs`` processes, or on a cluster.

        Parameters
        ----------
        jobs : int
        cluster : ClusterSettings, optional

        Raises
        ------
        Failure
            With the exit code of the command.
        """
        self._check_space()
        chunks = [
            (sample, i) for sample in self.todo for i, run in enumerate(sample.chunks)
            if read_mark(self._chunk_path(sample, i)) != self._settings(run)
        ]  # fmt: skip
        self._missing = {s.name: sum(t is s for t, _ in chunks) for s in self.todo}
        showers = sum(sample.chunks[i].n_showers for sample, i in chunks)
        total, unit = (showers, " showers")
        if cluster is not None:
            total, unit = (len(chunks) + len(self.todo), " files")
        bar = tqdm(total=total, unit=unit, disable=not sys.stderr.isatty())

        def advance(n):
            bar.update(n - bar.n)

        try:
            farm = Farm(jobs, advance) if cluster is None else ClusterFarm(cluster, advance)
            with signals_as_exit(), bar, farm:
                for sample in self.todo:
                    if not self._missing[sample.name]:
                        self._merge(farm, sample)
                # the slowest first
                for sample, i in sorted(chunks, key=lambda c: -c[0].run.primary_id):
                    self._simulate(farm, sample, i)
                farm.run()
        finally:
            remove_strays(self.parts)
            remove_strays(self.folder)
        if not any(self.parts.iterdir()):  # another command may use it
            self.parts.rmdir()

    def _check_space(self):
        """Refuse to start on a disk that is too small."""
        need = sum(BYTES_PER_SHOWER[s.run.primary] * s.run.n_thrown / 10 for s in self.todo) * 2
        free = shutil.disk_usage(self.folder).free
        if free < need:
            raise Failure(
                f"{self.folder}: {free / 1e9:.3g} GB free, about {need / 1e9:.3g} GB needed",
                EX_IOERR,
            )

    def _simulate(self, farm, sample, i):
        """One run: simulate, read back, give it its name."""
        run, path = sample.chunks[i], self._chunk_path(sample, i)

        def written(part):
            farm.check(lambda: named(part), part)

        def named(part):
            publish(part, path, overwrite=True)
            self._missing[sample.name] -= 1
            if not self._missing[sample.name]:
                self._merge(farm, sample)

        farm.submit(written, simulate_run, path, run, self._settings(run), self.images_only)

    def _merge(self, farm, sample):
        """All runs of a sample into its file."""
        paths = [self._chunk_path(sample, i) for i in range(len(sample.chunks))]

        def written(part):
            farm.check(lambda: named(part), part)

        def named(part):
            publish(part, self._path(sample), self.overwrite)
            write_run(self.folder / f"{sample.name}.shower.yaml", sample.run)
            for path in paths:
                path.unlink(missing_ok=True)

        settings = self._settings(sample.run)
        farm.submit(written, merge_files, self._path(sample), paths, settings)
