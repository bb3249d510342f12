"""Overlap of the events of ``ctapipe-gammalearn-irf`` with trainings."""

from functools import reduce
from pathlib import Path

import numpy as np

from ..exceptions import IRFError
from ..fingerprints import sketch, sketched
from ..io.model_record import read_training
from ..io.shower_records import read_prints, run_record
from ..irf.leakage import Training, compared
from ..training.comparison import overlaps

__all__ = ["KEYS", "check_keys", "check_trainings"]

#: of a reconstructor: its model file, and files that it was trained on
KEYS = ("model", "training")
#: what a training writes beside its model
SHOWERS = "training_showers.npy"


def check_keys(name, reconstructor):
    """Raise `IRFError` unless the files of a training are there."""
    model, files = (reconstructor.get(key) for key in KEYS)
    if not isinstance(model, str | None) or not isinstance(files, list | None):
        raise IRFError(f"reconstructors: {name}: model is one file, training a list of files")
    for path in [model] * (model is not None) + (files or []):
        if not Path(path).is_file():
            raise IRFError(f"reconstructors: {name}: {path}: no such file")


def check_trainings(files, reconstructors, labels):
    """Look for events that reconstructors were trained on.

    Parameters
    ----------
    files : dict of str to list of path-like
        By kind of sample.
    reconstructors : dict of str to dict
        Those with ``model`` or ``training`` can be checked.
    labels : dict of str to str

    Returns
    -------
    dict of str to dict
        By reconstructor, from `irf.leakage.compared`.

    Raises
    ------
    IRFError
        Files that cannot be read.
    """
    trainings = {name: _training(found) for name, found in reconstructors.items()}
    runs, showers = [], {}
    if any(t.runs for t in trainings.values()):
        runs = [run_record(path) for paths in files.values() for path in paths]
    if any(t.prints is not None for t in trainings.values()):
        showers = {kind: _prints(paths) for kind, paths in files.items() if paths}
    return {
        name: compared(labels[name], training, showers, overlaps(training.runs, runs))
        for name, training in trainings.items()
    }


def _training(reconstructor):
    """What is known of the training of a reconstructor."""
    model, files = (reconstructor.get(key) for key in KEYS)
    record = {} if model is None else read_training(model)
    files = [Path(path) for path in files or ()]
    runs = list(record.get("samples") or ()) + [run_record(p) for p in files if p.suffix != ".npy"]
    whole = _prints(files)
    part, n = _of_model(model, record)
    if not files and not n:
        return Training(runs)
    # files that hold what the model kept of its showers hold the others, too
    rest = 0 if files and np.isin(part, whole).all() else n - len(part)
    prints = np.union1d(whole, part)
    return Training(runs, prints, len(prints) + rest)


def _of_model(model, record):
    """Known fingerprints of the showers of a model's training, and how many showers it had."""
    if "showers" not in record:
        return np.zeros(0, np.uint64), 0
    prints, beside = sketched(record["showers"]), Path(model).with_name(SHOWERS)
    if beside.is_file():
        whole = read_prints(beside)
        # only if it is that of this model
        if sketch(whole, len(prints)) == record["showers"]:
            return whole, len(whole)
    return prints, record["showers"]["n"]


def _prints(paths):
    """Fingerprints of the showers of several files."""
    return reduce(np.union1d, map(read_prints, paths), np.zeros(0, np.uint64))
