"""How the simulated events of ctapipe's DL2 files were thrown, and where the array looked."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tables
from astropy.coordinates import angular_separation
from ctapipe.io import read_table

from ..exceptions import IRFError
from ..irf.samples import Thrown

__all__ = ["MAX_SPREAD", "Settings", "check_same_array", "combine", "opened", "read_settings"]

RUNS = "/configuration/simulation/run"
SHOWERS = "/simulation/service/shower_distribution"
BLOCKS = "/configuration/observation/observation_block"
#: pointings further apart (deg) are different nodes of a production
MAX_SPREAD = 1e-3
ALTAZ = 0  # of ctapipe.containers.CoordinateFrameType
# column of the runs, unit ("" for none), name in `Thrown`
THROWN = (
    ("spectral_index", "", "index"),
    ("energy_range_min", "TeV", "energy_min"),
    ("energy_range_max", "TeV", "energy_max"),
    ("max_scatter_range", "m", "max_impact"),
    ("min_viewcone_radius", "deg", "viewcone_min"),
    ("max_viewcone_radius", "deg", "viewcone_max"),
)
# what all samples of a comparison must share
ARRAY = (
    ("atmosphere", ""),
    ("prod_site_alt", "m"),
    ("prod_site_B_total", "uT"),
    ("prod_site_B_inclination", "deg"),
)


@dataclass(frozen=True)
class Settings:
    """Simulation settings of a file or of several.

    Attributes
    ----------
    where : str
        Name of the file, for messages.
    thrown : Thrown
    obs_ids : tuple of int
    alt, az : float, deg
        Where the telescopes point.
    array : dict of str to float
        Site and atmosphere, `ARRAY`; a setting the file does not tell is NaN.
    """

    where: str
    thrown: Thrown
    obs_ids: tuple
    alt: float
    az: float
    array: dict


@contextmanager
def opened(path):
    """HDF5 file for reading; what cannot be read is an `IRFError` with its name."""
    try:
        with tables.open_file(path) as h5:
            yield h5
    except FileNotFoundError:
        raise IRFError(f"{path}: no such file; give a DL2 file") from None
    except (OSError, tables.HDF5ExtError):
        # the reason that HDF5 gives is a trace of C functions
        raise IRFError(
            f"{path}: cannot be read as HDF5: cut off, or another kind of file; write it again"
        ) from None
    except tables.NoSuchNodeError as error:
        node = str(error).split("``")[1::2][-1:] or [str(error)]
        raise IRFError(
            f"{path}: no table {node[0]}; give DL2 files of simulations, as ctapipe writes them"
        ) from None


def read_settings(path):
    """Simulation settings of a file.

    Parameters
    ----------
    path : path-like
        DL2 file of ctapipe 0.28 or later.

    Returns
    -------
    Settings
        Every use of a shower is counted: ctapipe 0.28 itself counts showers once where the file
        has no table of thrown showers.

    Raises
    ------
    IRFError
        No such file or table, runs of different settings or pointings, or numbers of showers
        that contradict each other.
    """
    path = Path(path)
    with opened(path) as h5:
        runs, blocks = read_table(h5, RUNS), read_table(h5, BLOCKS)
        counted = read_table(h5, SHOWERS)["n_entries"].sum() if SHOWERS in h5 else None
    obs_ids = tuple(int(i) for i in runs["obs_id"])
    if len(set(obs_ids)) < len(obs_ids) or not obs_ids:
        raise IRFError(f"{path}: {len(obs_ids)} runs, each obs_id once expected; merge whole runs")
    n_showers = float(np.sum(np.asarray(runs["n_showers"], float) * runs["shower_reuse"]))
    if counted is not None and counted != n_showers:
        raise IRFError(
            f"{path}: {counted:g} thrown showers in {SHOWERS}, but {n_showers:g} by the settings"
            " of the runs; merge whole runs only"
        )
    numbers = {name: _one(path, runs, column, unit) for column, unit, name in THROWN}
    alt, az = _pointing(path, blocks)
    array = {column: _one(path, runs, column, unit) for column, unit in ARRAY}
    return Settings(str(path), Thrown(n_showers, **numbers), obs_ids, alt, az, array)


def combine(settings):
    """Settings of several files of one sample, showers added.

    Raises
    ------
    IRFError
        Other settings, other pointing, or a run in two files.
    """
    first = settings[0]
    for other in settings[1:]:
        ours, theirs = (replace(s.thrown, n_showers=1.0) for s in (first, other))
        for _, unit, name in THROWN:
            values = getattr(ours, name), getattr(theirs, name)
            if not np.isclose(*values, rtol=1e-6):
                raise IRFError(
                    f"{other.where}: {name} {values[1]:g}, but {f'{values[0]:g} {unit}'.strip()} in"
                    f" {first.where}; give files of one production"
                )
        check_same_array(first, other)
    obs_ids = [i for s in settings for i in s.obs_ids]
    for s in settings:
        if twice := [i for i in s.obs_ids if obs_ids.count(i) > 1]:
            raise IRFError(
                f"{s.where}: run {twice[0]} is in another file, too; give each file once, and"
                " whole runs"
            )
    total = sum(s.thrown.n_showers for s in settings)
    return replace(
        first, thrown=replace(first.thrown, n_showers=total), obs_ids=tuple(sorted(obs_ids))
    )


def check_same_array(first, other):
    """Raise `IRFError` if two samples are of another pointing, site or atmosphere."""
    away = np.rad2deg(angular_separation(*np.deg2rad([first.az, first.alt, other.az, other.alt])))
    if away > MAX_SPREAD:
        raise IRFError(
            f"{other.where}: pointing alt {other.alt:g} az {other.az:g} deg, but alt"
            f" {first.alt:g} az {first.az:g} deg in {first.where}; compare one pointing at a time"
        )
    for name, value in first.array.items():
        theirs = other.array[name]
        if not np.isclose(value, theirs, rtol=1e-5, equal_nan=True):
            raise IRFError(
                f"{other.where}: {name} {theirs:g}, but {value:g} in {first.where}; compare"
                " simulations of one array"
            )


def _one(path, runs, column, unit):
    """The value that all runs share; NaN where the file has no such column."""
    if column not in runs.colnames:
        return np.nan
    values = runs[column].quantity.to_value(unit) if unit else np.asarray(runs[column], float)
    if np.ptp(values) > 1e-6 * abs(values[0]):
        raise IRFError(
            f"{path}: runs of different {column}, {values.min():g} to {values.max():g} {unit};"
            " give runs of one production"
        )
    return float(values[0])


def _pointing(path, blocks):
    """Altitude and azimuth (deg) of all runs."""
    if np.any(blocks["subarray_pointing_frame"] != ALTAZ):
        raise IRFError(f"{path}: pointing is not in altitude and azimuth; simulate it so")
    alt = blocks["subarray_pointing_lat"].quantity.to_value("deg")
    az = blocks["subarray_pointing_lon"].quantity.to_value("deg")
    away = angular_separation(*np.deg2rad([np.full_like(az, az[0]), np.full_like(alt, alt[0])]),
                              np.deg2rad(az), np.deg2rad(alt))  # fmt: skip
    if not np.all(np.rad2deg(away) <= MAX_SPREAD):
        raise IRFError(
            f"{path}: pointings up to {np.rad2deg(np.nanmax(away)):.3g} deg apart; compare one"
            " pointing at a time"
        )
    return float(alt[0]), float(az[0])
