"""Reconstructed values of single telescopes from ctapipe's DL2 files."""

import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from ctapipe.io import TableLoader

from ..exceptions import TrainingError
from ..training.targets import camera_direction

__all__ = ["DL2_DTYPE", "match_images", "read_dl2"]

DL2_DTYPE = np.dtype(
    [
        ("obs_id", "i8"),
        ("event_id", "i8"),
        ("tel_id", "i8"),
        ("gammaness", "f8"),
        ("log10_energy", "f8"),  # of TeV
        ("direction", "f8", (2,)),  # camera-plane deg
    ]
)
KEYS = ["obs_id", "event_id", "tel_id"]


def read_dl2(path, energy, geometry, particle):
    """Reconstructed values of all images of a file.

    Parameters
    ----------
    path : path-like
        HDF5 file of ctapipe with telescope-wise DL2.
    energy, geometry, particle : str
        Prefixes of the columns, such as RandomForestRegressor, disp, RandomForestClassifier.

    Returns
    -------
    ndarray, shape (n,), `DL2_DTYPE`
        NaN where the file calls a value invalid.

    Raises
    ------
    TrainingError
        No such file or columns.
    """
    path = Path(path)
    try:
        with TableLoader(path, focal_length_choice="EQUIVALENT") as loader:
            table = _read(loader)
    except (OSError, KeyError, tables.HDF5ExtError, tables.NoSuchNodeError) as error:
        reason = " ".join(str(error).split())[-150:] or type(error).__name__
        raise TrainingError(f"{path}: no DL2 file of ctapipe ({reason})") from None
    names = {
        "energy": f"{energy}_tel_energy",
        "alt": f"{geometry}_tel_alt",
        "az": f"{geometry}_tel_az",
        "gammaness": f"{particle}_tel_prediction",
    }
    if missing := [name for name in names.values() if name not in table.colnames]:
        raise TrainingError(f"{path}: no column {', '.join(missing)}; see --dl2-prefixes")
    out = np.zeros(len(table), DL2_DTYPE)
    for key in KEYS:
        out[key] = table[key]
    with np.errstate(divide="ignore", invalid="ignore"):
        out["log10_energy"] = np.log10(_values(table[names["energy"]], u.TeV))
    out["gammaness"] = _values(table[names["gammaness"]], u.one)
    pointing = [f"telescope_pointing_{axis}" for axis in ("altitude", "azimuth")]
    out["direction"] = camera_direction(
        *(_values(table[name], u.rad) for name in (names["alt"], names["az"], *pointing))
    )
    for prefix, column in (
        (energy, "log10_energy"), (geometry, "direction"), (particle, "gammaness"),
    ):  # fmt: skip
        if (flag := f"{prefix}_tel_is_valid") in table.colnames:
            out[column][~np.ma.filled(table[flag], False).astype(bool)] = np.nan
    return out


def _read(loader):
    """Telescope-wise table without images."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot merge meta key")
        return loader.read_telescope_events(
            dl1_images=False, dl1_parameters=False, dl1_muons=False, dl2=True, simulated=False,
            true_images=False, true_parameters=False, instrument=False, observation_info=False,
            pointing=True,
        )  # fmt: skip


def _values(column, unit):
    """Values of a column in the given unit, NaN where masked."""
    values = np.ma.filled(np.ma.asarray(column, dtype=float), np.nan)
    return values * (u.Unit(column.unit).to(unit) if column.unit is not None else 1.0)


def match_images(events, rows):
    """Rows of DL2 tables in the order of images.

    Parameters
    ----------
    events : ndarray, shape (n,), with fields obs_id, event_id, tel_id
    rows : ndarray, shape (m,), `DL2_DTYPE`

    Returns
    -------
    ndarray, shape (n,), `DL2_DTYPE`
        NaN for images that have no row.

    Raises
    ------
    TrainingError
        If two rows are for one image.
    """
    numbers = {key: i for i, key in enumerate(zip(*(rows[k].tolist() for k in KEYS), strict=True))}
    if len(numbers) < len(rows):
        raise TrainingError("DL2 files with equal obs_id, event_id and tel_id: give each file once")
    wanted = zip(*(events[k].tolist() for k in KEYS), strict=True)
    index = np.array([numbers.get(key, -1) for key in wanted], dtype=np.int64)
    nothing = np.zeros(1, DL2_DTYPE)
    for name in ("gammaness", "log10_energy", "direction"):
        nothing[name] = np.nan
    out = np.concatenate([rows, nothing])[index]
    for key in KEYS:
        out[key] = events[key]
    return out
