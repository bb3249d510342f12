"""Imperfections of real cameras, for studies of the shift between simulation and data."""

from dataclasses import dataclass

import numpy as np

from .electronics import Response
from .trigger import tile_modules

__all__ = ["DataLike", "make_response"]

STAR_SIGMA = 0.6  # of a star's image, in units of the pixel pitch


@dataclass(frozen=True)
class DataLike:
    """Settings of the data-like mode; the defaults are the ideal camera.

    Attributes
    ----------
    throughput : float
        Factor on the light yield of every telescope.
    psf_scale : float
        Factor on the random angle of the mirrors.
    nsb_gradient : float
        Relative difference of the NSB between two opposite edges of the camera.
    stars : int
        Stars in the field of view, each at a random position of each camera.
    star_nsb : float
        NSB that the brightest star adds at its centre, in units of the dark sky; the number
        of stars grows as flux^-1.
    dead_pixels : float
        Fraction of pixels without signal.
    dead_modules : int
        Whole 7-pixel modules without signal.
    time_offset_ns : float
        Spread of uncalibrated pixel time offsets, rms.
    gain_spread : float
        Spread of pixel gains that calibration leaves, rms.
    """

    throughput: float = 1.0
    psf_scale: float = 1.0
    nsb_gradient: float = 0.0
    stars: int = 0
    star_nsb: float = 10.0
    dead_pixels: float = 0.0
    dead_modules: int = 0
    time_offset_ns: float = 0.0
    gain_spread: float = 0.02


def make_response(camera, settings, rng):
    """Draw the pixels of one telescope.

    Parameters
    ----------
    camera : CameraModel
    settings : DataLike
    rng : numpy.random.Generator

    Returns
    -------
    Response
    """
    n = camera.n_pixels
    gain = np.clip(rng.normal(1.0, settings.gain_spread, n), 0.3, 1.7)
    delay = settings.time_offset_ns * rng.standard_normal(n)
    nsb = _gradient(camera, settings.nsb_gradient, rng.uniform(0, 2 * np.pi))
    nsb = nsb + _stars(camera, settings, rng)
    dead = rng.random(n) < settings.dead_pixels
    if settings.dead_modules:
        module = tile_modules(camera.plane, camera.pitch)
        chosen = rng.permutation(module.max() + 1)[: settings.dead_modules]
        dead |= np.isin(module, chosen)
    gain[dead] = 0.0
    return Response(gain, delay, nsb)


def _gradient(camera, slope, angle):
    """NSB factor that rises linearly across the camera, mean 1."""
    along = camera.plane @ [np.cos(angle), np.sin(angle)]
    along = along - along.mean()
    return np.maximum(1 + slope * along / np.ptp(along), 0.0)


def _stars(camera, settings, rng):
    """NSB added by stars, in units of the dark sky."""
    total = np.zeros(camera.n_pixels)
    reach = np.abs(camera.plane).max()
    for _ in range(settings.stars):
        position = rng.uniform(-reach, reach, 2)
        flux = settings.star_nsb * min(1.0, 0.05 / max(rng.random(), 0.05))
        distance = np.hypot(*(camera.plane - position).T) / (STAR_SIGMA * camera.pitch)
        total += flux * np.exp(-0.5 * distance**2)
    return total
