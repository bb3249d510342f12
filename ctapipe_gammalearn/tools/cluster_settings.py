"""Where the files of a command are worked on: this machine, or jobs of a batch system."""

import os
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import yaml

from ..exceptions import ClusterError

__all__ = ["SYSTEMS", "ClusterSettings", "read_settings", "visible_gpus"]

#: names in a settings file, and the classes of dask-jobqueue; the empty one is of this machine
SYSTEMS = {
    "local": "",
    "htcondor": "HTCondorCluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "slurm": "SLURMCluster",
}
NEEDS = "--cluster needs Dask: pip install 'ctapipe_gammalearn[cluster]'"


@dataclass(frozen=True)
class ClusterSettings:
    """Description of a cluster.

    Attributes
    ----------
    system : str
        One of `SYSTEMS`.
    workers : int
        Processes of this machine, or jobs of the batch system; each works on one file at a
        time. 0 on this machine: one per GPU if the work is for GPUs, else one per core.
    retries : int
        How often a file is begun again after its worker died.
    options : dict
        Arguments of the class of dask-jobqueue.
    """

    system: str = "local"
    workers: int = 0
    retries: int = 2
    options: dict = field(default_factory=dict)


def read_settings(name, workers=0):
    """Settings from a YAML file, checked; also that Dask is there.

    Parameters
    ----------
    name : str
        ``local``, or the name of a file with the attributes of `ClusterSettings`.
    workers : int
        Replaces that of the file unless 0.

    Returns
    -------
    ClusterSettings

    Raises
    ------
    ClusterError
        If a package, the file, or a sensible value is missing.
    """
    settings = ClusterSettings() if name == "local" else _from_file(name)
    needed = ["distributed"] if settings.system == "local" else ["distributed", "dask_jobqueue"]
    if any(find_spec(package) is None for package in needed):
        raise ClusterError(NEEDS)
    settings = replace(settings, workers=workers or settings.workers)
    if settings.system != "local" and not settings.workers:
        raise ClusterError(f"{name}: give the number of jobs, such as 'workers: 20'")
    return settings


def _from_file(name):
    """Settings of a file; every value has the type of its default."""
    try:
        values = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or "not a YAML file"
        raise ClusterError(f"{name}: cannot be read ({reason})") from None
    if not isinstance(values, dict):
        raise ClusterError(f"{name}: expected lines such as 'system: slurm'")
    defaults = vars(ClusterSettings())
    for key, value in values.items():
        if key not in defaults:
            raise ClusterError(f"{name}: unknown key {key}; known are {', '.join(defaults)}")
        if type(value) is not type(defaults[key]) or (isinstance(value, int) and value < 0):
            raise ClusterError(f"{name}: {key}: {value!r} is not usable")
    if values.get("system", "local") not in SYSTEMS:
        raise ClusterError(
            f"{name}: system: {values['system']!r} is not one of {', '.join(SYSTEMS)}"
        )
    return ClusterSettings(**values)


def visible_gpus():
    """Names of the GPUs of this machine, as CUDA_VISIBLE_DEVICES takes them.

    Returns
    -------
    list of str
    """
    if (names := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in names.split(",") if name.strip()]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]
