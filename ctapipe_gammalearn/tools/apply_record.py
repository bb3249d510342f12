"""How an output of ``ctapipe-gammalearn-apply`` was made: a record in the file itself."""

import hashlib
import json
import os
from pathlib import Path

import tables

from ..compat import CTAPIPE_VERSION
from ..exceptions import ApplyError
from ..io.dl1_chunks import opened
from ..io.simulated_files import MARK, read_mark

__all__ = ["flat", "is_done", "set_record", "wanted_record"]

#: sections of a configuration for ctapipe-process whose components have here no such parent
OUTER = ("ProcessorTool", "ShowerProcessor")
NETWORK = "GammaPhysNetReconstructor"
#: options that change how long it takes, not what comes out
HOW = ("device", "n_jobs", "batch_size")


def flat(config):
    """Configuration with the sections of ``ProcessorTool`` and ``ShowerProcessor`` outside.

    Parameters
    ----------
    config : dict
        As in a file for ctapipe-process; sections inside others win, as in ctapipe.

    Returns
    -------
    dict
    """
    out = {name: value for name, value in config.items() if name not in OUTER}
    sections = dict(config)
    for outer in OUTER:
        for name, value in dict(sections.get(outer) or {}).items():
            if not isinstance(value, dict):
                continue
            sections[name] = {**dict(sections.get(name) or {}), **value}
            if name not in OUTER:
                out[name] = sections[name]
    return out


def wanted_record(path, settings):
    """Everything that the contents of an output depend on.

    Parameters
    ----------
    path : path-like
        The input.
    settings : dict
        See `ctapipe_gammalearn.tools.apply_job.apply_file`.

    Returns
    -------
    dict
        Plain values.

    Raises
    ------
    ApplyError
        If the input is no HDF5 file.
    """
    config = flat(settings["config"])
    network = {k: v for k, v in dict(config.get(NETWORK) or {}).items() if k not in HOW}
    if "model_path" in network:
        network["model_path"] = _hashed(network["model_path"])
    with opened(path) as file:
        attributes = file.root._v_attrs
        name = "CTA PRODUCT ID"
        product = str(attributes[name]) if name in attributes._v_attrnamesuser else ""
    record = {
        "input": {"name": Path(path).name, "size": os.path.getsize(path), "id": product},
        "config": {**config, NETWORK: network},
        "copy": settings["copy"],
        "ctapipe": CTAPIPE_VERSION,
    }
    return json.loads(json.dumps(record, default=str, sort_keys=True))


def _hashed(paths):
    """Model files by their contents; names may change."""
    if isinstance(paths, str | os.PathLike):
        return _hash(paths)
    return [[*pattern[:-1], _hash(pattern[-1])] for pattern in paths or ()]


def _hash(path):
    """SHA-256 of a file; the name where there is none, which the network refuses in its words."""
    file = Path(os.path.expandvars(path or "")).expanduser()
    if path is None or not file.is_file():
        return path
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def set_record(path, record):
    """Note in a finished file how it was made."""
    with tables.open_file(path, "a") as file:
        file.root._v_attrs[MARK] = json.dumps({"settings": record})


def is_done(path, record, overwrite):
    """Whether an output is there that was made so.

    Raises
    ------
    ApplyError
        If another file has its name and must not be overwritten.
    """
    if not path.exists():
        return False
    if read_mark(path) == record:
        return True
    if not overwrite:
        raise ApplyError(
            f"{path}: made of another input, or with other models or settings; choose another"
            " folder, or --overwrite to replace it"
        )
    return False
