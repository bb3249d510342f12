"""Many files of ``ctapipe-gammalearn-apply``: on a cluster, and merged into one."""

from functools import partial

from ..exceptions import ApplyError
from ..files import publish, remove_strays
from ..io.simulated_files import read_mark
from .apply_job import apply_file
from .base import progress_bar
from .cluster_farm import ClusterFarm
from .cluster_settings import visible_gpus
from .farm import Farm, signals_as_exit
from .simulation_jobs import merge_files

__all__ = ["apply_on_cluster", "merge_outputs"]


def apply_on_cluster(jobs, settings, cluster, report, quiet=False):
    """Apply to every file, each in a worker.

    Parameters
    ----------
    jobs : dict
        Input by output, paths.
    settings : dict
        For `ctapipe_gammalearn.tools.apply_job.apply_file`.
    cluster : ClusterSettings
    report : callable
        Called with output and summary of each finished file.
    quiet : bool
        No progress bar.

    Raises
    ------
    Failure
        If files failed, after all others are done: one line for each.
    """
    gpus = visible_gpus() if cluster.system == "local" else []
    bar = progress_bar(len(jobs), " files", quiet)
    farm = ClusterFarm(cluster, lambda n: bar.update(n - bar.n), gpus)
    try:
        with signals_as_exit(), bar, farm:
            for output, path in jobs.items():
                farm.submit(partial(report, output), apply_file, str(path), str(output), settings)
            farm.run()
    finally:  # of workers that were killed
        for folder in {output.parent for output in jobs}:
            remove_strays(folder)


def merge_outputs(outputs, path, overwrite=False):
    """Merge files with ctapipe-merge; a file that holds them already is left as it is.

    Parameters
    ----------
    outputs : iterable of Path
    path : Path
        Merged file.
    overwrite : bool
        Whether a file of other inputs may be replaced.

    Returns
    -------
    bool
        Whether the file was written.

    Raises
    ------
    ApplyError
        If the file exists and holds something else.
    Failure
        If it cannot be written.
    """
    outputs = list(outputs)
    mark = {"merged": [[p.name, p.stat().st_mtime_ns] for p in outputs]}
    if path.exists() and read_mark(path) == mark:
        return False
    if path.exists() and not overwrite:
        raise ApplyError(f"{path}: exists, of other files; choose another name, or --overwrite")
    with signals_as_exit(), Farm(1, lambda n: None) as farm:

        def written(part):
            farm.check(partial(publish, part, path, overwrite), part)

        farm.submit(written, merge_files, path, outputs, mark)
        farm.run()
    return True
