"""Which showers a file of ctapipe holds: to find those that a network or forest was trained on."""

from pathlib import Path

import numpy as np
from ctapipe.io import read_table

from ..exceptions import IRFError
from ..fingerprints import shower_prints
from ..simulation.run import PRIMARIES
from .dl2_settings import opened, read_settings

__all__ = ["file_prints", "read_prints", "run_record"]

SHOWERS = "/simulation/event/subarray/shower"
CHUNK = 200_000  # rows
UNITS = {"true_energy": "TeV", "true_alt": "deg", "true_az": "deg", "true_h_first_int": "m"}
OPTIONAL = ("true_h_first_int",)
ROUND = 6  # decimals, as in records of trainings


def read_prints(path):
    """Fingerprints of all showers of a DL1 or DL2 file, or of a list that a training left.

    Parameters
    ----------
    path : path-like
        HDF5 file of ctapipe, or ``training_showers.npy``.

    Returns
    -------
    ndarray, shape (n_showers,), uint64
        Rising, each once, see `fingerprints.shower_prints`.

    Raises
    ------
    IRFError
        No such file, or one of another kind.
    """
    path = Path(path)
    if path.suffix != ".npy":
        with opened(path) as h5:
            return file_prints(h5, path)
    try:
        prints = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise IRFError(f"{path}: no such file; give the showers of a training") from None
    except (OSError, ValueError, EOFError):
        raise IRFError(f"{path}: damaged, or no list of showers; train again") from None
    if prints.ndim != 1 or prints.dtype != np.uint64 or np.any(prints[1:] <= prints[:-1]):
        raise IRFError(f"{path}: no list of showers; give the one that a training wrote")
    return prints


def file_prints(h5, where):
    """Fingerprints of all showers of an open file.

    Parameters
    ----------
    h5 : tables.File
    where : path-like
        For messages.

    Returns
    -------
    ndarray, shape (n_showers,), uint64
        Rising, each once.
    """
    table = h5.get_node(SHOWERS)
    missing = [c for c in UNITS if c not in table.colnames and c not in OPTIONAL]
    if missing:
        raise IRFError(f"{where}: no column {', '.join(missing)} in {SHOWERS}; is it of ctapipe?")
    found = [np.zeros(0, np.uint64)]
    for start in range(0, table.nrows, CHUNK):
        part = read_table(h5, SHOWERS, start=start, stop=start + CHUNK)
        columns = [
            part[name].quantity.to_value(unit) if name in part.colnames else np.zeros(len(part))
            for name, unit in UNITS.items()
        ]
        found.append(np.unique(shower_prints(*columns)))
    return np.unique(np.concatenate(found))


def run_record(path):
    """Runs of a file and how they were simulated.

    Parameters
    ----------
    path : path-like
        DL1 or DL2 file of ctapipe.

    Returns
    -------
    dict
        As the records of a training in a model card.
    """
    settings = read_settings(path)
    with opened(path) as h5:
        first = read_table(h5, SHOWERS, start=0, stop=1)["true_shower_primary_id"]
    names = {number: name for name, number in PRIMARIES.items()}
    thrown = settings.thrown
    return {
        "file": Path(path).name,
        "obs_ids": list(settings.obs_ids),
        "primary": names.get(int(first[0]), str(first[0])) if len(first) else None,
        "spectral_index": thrown.index,
        "energy_TeV": [round(v, ROUND) for v in (thrown.energy_min, thrown.energy_max)],
        "viewcone_deg": [round(v, ROUND) for v in (thrown.viewcone_min, thrown.viewcone_max)],
        "pointing_alt_az_deg": [round(settings.alt, ROUND), round(settings.az, ROUND)],
    }
