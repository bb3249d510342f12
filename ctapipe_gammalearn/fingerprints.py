"""Numbers by which a simulated shower is recognised, in whatever file it is."""

import base64

import numpy as np

from .exceptions import IRFError

__all__ = [
    "SKETCH_SIZE",
    "cluster_key",
    "extended",
    "shower_prints",
    "sketch",
    "sketched",
    "splitmix64",
]

#: fingerprints that a model file keeps of the showers of its training: 32 kB
SKETCH_SIZE = 4096


def shower_prints(energy, alt, az, first_interaction):
    """Fingerprint of the shower of each event.

    Parameters
    ----------
    energy : ndarray, shape (n,), TeV
    alt, az : ndarray, shape (n,), deg
        Of the primary.
    first_interaction : ndarray, shape (n,) or (), m
        Height; NaN counts as 0. Energies of float32 and one direction for all would be the same
        by chance in large samples, but not with the height, too.

    Returns
    -------
    ndarray, shape (n,), uint64
        The same for all uses of a shower, whose cores differ; in files with other names, run or
        event numbers; and for values stored as float64 or float32.
    """
    columns = (energy, alt, np.mod(az, 360.0), np.nan_to_num(first_interaction))
    energy, alt, az, height = (np.asarray(column).astype(np.float32) for column in columns)
    # once more, as rounding may give 360
    return cluster_key(energy, alt, np.mod(az, 360), height)


def sketch(prints, size=SKETCH_SIZE):
    """Short record of a set of showers: its smallest fingerprints.

    Fingerprints are hashes, so the smallest are a random sample, and of two sets that share
    showers the same ones.

    Parameters
    ----------
    prints : ndarray, shape (n,), uint64
        Rising, each once.
    size : int

    Returns
    -------
    dict
        ``n`` showers; ``smallest``, base64 of at most ``size`` little-endian numbers.

    References
    ----------
    Cohen & Kaplan 2007, https://doi.org/10.1145/1281100.1281133 (bottom-k sketches).
    """
    smallest = np.asarray(prints[:size], "<u8").tobytes()
    return {"n": len(prints), "smallest": base64.b64encode(smallest).decode()}


def extended(record, prints):
    """Extend a `sketch` by other showers.

    Parameters
    ----------
    record : dict
    prints : ndarray, shape (n,), uint64
        Rising, each once; none was in the set before.

    Returns
    -------
    dict
    """
    known = sketched(record)
    joined = sketch(np.union1d(known, prints), max(len(known), SKETCH_SIZE))
    return joined | {"n": record["n"] + len(prints)}


def sketched(record):
    """Fingerprints in a `sketch`.

    Returns
    -------
    ndarray, shape (k,), uint64
        Rising.

    Raises
    ------
    IRFError
        No such record.
    """
    try:
        raw = base64.b64decode(record["smallest"], validate=True)
        prints = np.frombuffer(raw, "<u8").astype(np.uint64)
        sound = bool(np.all(prints[1:] > prints[:-1])) and record["n"] >= len(prints)
    except (ValueError, LookupError, TypeError):
        sound = False
    if not sound:
        raise IRFError("record of training showers is damaged; get a fresh copy of the file")
    return prints


def cluster_key(*parts):
    """One number for all uses of a shower.

    Parameters
    ----------
    *parts : array_like, shape (n,) or (), int or float
        What tells one shower from another: primary, obs_id, ``event_id // 100`` (sim_telarray
        numbers the uses of a shower by the last two digits); or, where that does not hold,
        obs_id and true energy and direction, of which every bit counts.

    Returns
    -------
    ndarray, shape (n,), uint64
    """
    key = np.uint64(0)
    for part in parts:
        part = np.asarray(part)
        if part.dtype.kind == "f":
            bits = part.astype(np.float64).view(np.uint64)
        else:
            bits = part.astype(np.uint64)
        key = splitmix64(key ^ bits)
    return key


def splitmix64(x):
    """Mix the bits of whole numbers: neighbours become unrelated, and none get lost.

    Parameters
    ----------
    x : array_like of int, taken as uint64

    Returns
    -------
    ndarray of uint64, shape of ``x``

    References
    ----------
    Steele, Lea & Flood 2014, https://doi.org/10.1145/2660193.2660195
    """
    with np.errstate(over="ignore"):
        z = np.asarray(x).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
