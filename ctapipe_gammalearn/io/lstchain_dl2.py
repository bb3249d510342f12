"""Observations in DL2 files of lstchain, without pandas and without unpickling anything."""

import numpy as np
import tables

from ..exceptions import IRFError

__all__ = ["KEY", "LST1", "read_lstchain"]

KEY = "/dl2/event/telescope/parameters/LST_LSTCam"
#: longitude (deg), latitude (deg) and height (m) of LST-1, as in ctapipe_io_lst
LST1 = -17.89149701, 28.76152611, 2184.0
# our names of the columns that every file of an observation has
NEEDED = {
    "obs_id": "obs_id", "event_id": "event_id", "time": "dragon_time", "energy": "reco_energy",
    "alt": "reco_alt", "az": "reco_az", "gammaness": "gammaness",
    "pointing_alt": "alt_tel", "pointing_az": "az_tel",
}  # fmt: skip
# of files since some version
OPTIONAL = {"delta_t": "delta_t", "event_type": "event_type", "intensity": "intensity"}
# true energy under its old and its new name
SIMULATED = ("mc_energy", "true_energy")


def read_lstchain(path, h5, more=()):
    """Columns of an observation.

    Parameters
    ----------
    path : path-like
        For messages.
    h5 : tables.File
    more : iterable of str
        Further columns, for the quality selection; ``hillas_`` before a name may be left out.

    Returns
    -------
    columns : dict of str to ndarray
        ``obs_id``, ``event_id``, ``time`` (Unix, s), ``energy`` (TeV), ``alt``, ``az``,
        ``pointing_alt``, ``pointing_az`` (rad), ``gammaness``, and if the file has them
        ``delta_t`` (s), ``event_type``, ``intensity`` (p.e.).
    extra : dict of str to ndarray
        Those of ``more`` that the file has.

    Raises
    ------
    IRFError
        Simulations, missing columns, or a storage that only pandas can decode.
    """
    node = h5.get_node(KEY)
    if isinstance(node, tables.Table):
        names = {name: lambda n=name: node.col(n) for name in node.colnames}
    else:
        names = _fixed(path, node)
    if simulated := [name for name in SIMULATED if name in names]:
        raise IRFError(f"{path}: simulated events ({simulated[0]}); give observations")
    if missing := [name for name in NEEDED.values() if name not in names]:
        raise IRFError(f"{path}: no column {', '.join(missing)} in {KEY}; is it DL2 of lstchain?")
    wanted = NEEDED | {k: v for k, v in OPTIONAL.items() if v in names}
    columns = {ours: np.asarray(names[theirs]()) for ours, theirs in wanted.items()}
    for name, values in columns.items():
        whole = name in ("obs_id", "event_id", "event_type")
        columns[name] = values.astype(np.int64 if whole else np.float64)
    theirs = {name: name if name in names else name.removeprefix("hillas_") for name in more}
    extra = {k: np.asarray(names[v](), float) for k, v in theirs.items() if v in names}
    return columns, extra


def _fixed(path, group):
    """Readers of all columns of a frame in the fixed layout of pandas: blocks of equal type."""
    readers, i = {}, 0
    while f"block{i}_items" in group:
        items, values = group[f"block{i}_items"], group[f"block{i}_values"]
        # blocks and names in VLArrays are pickled objects: passed over, never read
        plain = not isinstance(values, tables.VLArray) and not isinstance(items, tables.VLArray)
        if plain and values.shape[1:] == items.shape:
            for k, name in enumerate(items[:]):
                readers[name.decode("utf-8")] = lambda v=values, k=k: v[:, k]
        i += 1
    if not readers:
        raise IRFError(
            f"{path}: {KEY} is neither a table nor a frame in pandas' fixed layout; write it"
            " with lstchain"
        )
    return readers
