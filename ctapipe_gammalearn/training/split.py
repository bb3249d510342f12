"""Training, validation and calibration parts, divided by shower.

Images of one shower (several telescopes, several uses) share its energy and direction: in two
parts they would let a network be tested on what it has learnt by heart.
"""

import hashlib

import numpy as np

from ..exceptions import TrainingError

__all__ = ["CALIBRATION", "TRAIN", "VALIDATION", "parts", "shower_keys"]

TRAIN, VALIDATION, CALIBRATION = 0, 1, 2


def shower_keys(obs_id, energy):
    """Identify showers by run and exact energy.

    Re-used showers keep their energy, whatever the numbering of events is; two showers of a
    run practically never share all 53 bits of it.

    Parameters
    ----------
    obs_id : ndarray, shape (n,), int
    energy : ndarray, shape (n,), float, TeV
        As stored, not converted to another unit or precision.

    Returns
    -------
    ndarray, shape (n,), uint64
    """
    rows = np.empty(len(obs_id), dtype=[("obs_id", "<i8"), ("energy", "<f8")])
    rows["obs_id"], rows["energy"] = obs_id, energy
    return _hash_each(rows, b"shower")


def parts(events, salt="ctapipe_gammalearn", fractions=(0.8, 0.1, 0.1)):
    """Assign each image to a part.

    Parameters
    ----------
    events : ndarray, shape (n,), with a field ``shower``
    salt : str
        Another salt, another division.
    fractions : tuple of float
        Of `TRAIN`, `VALIDATION` and `CALIBRATION`; their sum is 1.

    Returns
    -------
    ndarray, shape (n,), uint8
        Depends on the shower alone, so it stays when files are added.

    Raises
    ------
    TrainingError
        Unless the fractions are three numbers from 0 to 1 with sum 1.
    """
    edges = np.cumsum(fractions, dtype=float)
    if len(edges) != 3 or min(fractions) < 0 or abs(edges[-1] - 1) > 1e-9:
        raise TrainingError(
            f"fractions {tuple(fractions)}: give three numbers from 0 to 1 with sum 1"
        )
    hashed = _hash_each(np.ascontiguousarray(events["shower"], dtype="<u8"), salt.encode())
    position = hashed / 2.0**64
    return np.searchsorted(edges[:2], position, side="right").astype(np.uint8)


def _hash_each(rows, salt):
    """64 bits of blake2b of each row's bytes; equal rows are hashed once."""
    raw = rows.view(np.dtype((np.void, rows.dtype.itemsize)))
    unique, inverse = np.unique(raw, return_inverse=True)
    seed = hashlib.blake2b(salt, digest_size=8)
    digests = bytearray()
    for row in unique:
        state = seed.copy()
        state.update(row.tobytes())
        digests += state.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)[inverse.ravel()]
