"""Observed events on the sky: horizontal to equatorial coordinates, and what was observed."""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import ICRS, AltAz
from astropy.coordinates.erfa_astrom import ErfaAstromInterpolator, erfa_astrom
from astropy.time import Time
from astropy.utils import iers

__all__ = ["Observation", "Run", "SkyReconstruction", "from_icrs", "to_icrs"]

#: Earth's orientation is computed so often and interpolated between: errors of 1e-7 arcsec
SUPPORT = 300 * u.s


@dataclass(frozen=True, eq=False)
class SkyReconstruction:
    """What one reconstructor says of all events of an observation.

    Attributes
    ----------
    energy : ndarray, shape (n,), TeV
    ra, dec : ndarray, shape (n,), rad
    gammaness : ndarray, shape (n,)
    valid : ndarray, shape (n,), bool
        Reconstructed; nothing of it is NaN.
    """

    energy: np.ndarray
    ra: np.ndarray
    dec: np.ndarray
    gammaness: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Run:
    """One run of an observation.

    Attributes
    ----------
    obs_id : int
    pointing : tuple of float, rad
        Mean right ascension and declination.
    zenith_deg : float, deg
        Mean.
    n_triggers : int
        Of any kind.
    elapsed_s, live_s : float, s
        Without breaks, and without dead time.
    """

    obs_id: int
    pointing: tuple
    zenith_deg: float
    n_triggers: int
    elapsed_s: float
    live_s: float


@dataclass(frozen=True, eq=False)
class Observation:
    """Shower events of any number of runs, with all reconstructions of them.

    Attributes
    ----------
    runs : list of Run
    run : ndarray, shape (n,), int
        Place in ``runs`` of each event.
    intensity : ndarray, shape (n,), p.e.
        Of the brightest image; NaN where unknown.
    reconstructions : dict of str to SkyReconstruction
    notes : list of str
        What the reader has to know.
    """

    runs: list
    run: np.ndarray
    intensity: np.ndarray
    reconstructions: dict
    notes: list


def to_icrs(alt, az, time, location):
    """Equatorial coordinates of horizontal ones, without refraction.

    Parameters
    ----------
    alt, az : ndarray, shape (n,), rad
        NaN gives NaN.
    time : ndarray, shape (n,), s
        Unix time (UTC).
    location : EarthLocation

    Returns
    -------
    ra, dec : ndarray, shape (n,), rad
    """
    known, frame = _frame(alt, az, time, location)
    if not known.any():
        return alt * np.nan, az * np.nan
    with _interpolated():
        sky = AltAz(alt=alt[known] * u.rad, az=az[known] * u.rad, **frame).transform_to(ICRS())
    return _filled(known, sky.ra.rad), _filled(known, sky.dec.rad)


def from_icrs(ra, dec, time, location):
    """Altitude and azimuth (rad): the inverse of `to_icrs`."""
    known, frame = _frame(ra, dec, time, location)
    if not known.any():
        return ra * np.nan, dec * np.nan
    with _interpolated():
        sky = ICRS(ra=ra[known] * u.rad, dec=dec[known] * u.rad).transform_to(AltAz(**frame))
    return _filled(known, sky.alt.rad), _filled(known, sky.az.rad)


def _frame(lon, lat, time, location):
    """Mask of finite positions, and when and where they were seen."""
    known = np.isfinite(lon) & np.isfinite(lat) & np.isfinite(time)
    return known, {"obstime": Time(time[known], format="unix"), "location": location}


def _filled(known, values):
    """Values at their places, NaN elsewhere."""
    out = np.full(len(known), np.nan)
    out[known] = values
    return out


@contextmanager
def _interpolated():
    """Fast transformations that ask no server for the orientation of Earth."""
    with ExitStack() as stack:
        stack.enter_context(iers.conf.set_temp("auto_download", False))
        # of the last weeks only predictions are known: 15 arcsec at the very most
        stack.enter_context(iers.conf.set_temp("iers_degraded_accuracy", "ignore"))
        stack.enter_context(erfa_astrom.set(ErfaAstromInterpolator(SUPPORT)))
        yield
