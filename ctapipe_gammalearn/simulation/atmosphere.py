"""Atmosphere and site: density, overburden, refraction and extinction on fast grids.

The layers are flat, which is good to about 60 degrees from the zenith.  Rays of light are
straight; the refractive index does not depend on the wavelength.
"""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np

__all__ = ["LA_PALMA", "Atmosphere", "Site", "load_profile"]

STEP = 100.0  # m, of the altitude grid
TOP = 100_000.0  # m
N_ALTITUDE = int(TOP / STEP) + 1
N_LOGX, LOGX_MIN, LOGX_MAX = 2001, np.log(1e-3), np.log(1060.0)  # ln of overburden in g/cm²
SECANTS = np.linspace(1, 3, 41)
ALTITUDE_STEP, N_ALTITUDES = 250.0, 240  # m above the observation level, transmission table
REFERENCE_OVERBURDEN = 1033.2  # g/cm², sea level
#: A photon (electron) is followed while it is above the Cherenkov threshold of an electron
#: this much deeper (g/cm²): its secondaries may shine there.
LOOK_AHEAD = (100.0, 20.0)


@dataclass(frozen=True)
class Site:
    """A place on Earth.

    Attributes
    ----------
    name : str
    observation_level : float
        m above sea level; telescope altitudes count from here.
    field : tuple of float
        Geomagnetic flux density towards north, west and up, T.
    aerosol_depth : float
        Vertical optical depth of aerosols at 550 nm.
    """

    name: str
    observation_level: float
    field: tuple = (0.0, 0.0, 0.0)
    aerosol_depth: float = 0.08

    @classmethod
    def with_field(cls, name, observation_level, horizontal, down, declination_deg, **more):
        """A site whose field is given by its components (T) and declination (east positive)."""
        angle = np.deg2rad(declination_deg)
        north, west = horizontal * np.cos(angle), -horizontal * np.sin(angle)
        return cls(name, observation_level, (float(north), float(west), -down), **more)


#: Field of the geomagnetic model in 2020, as in the prod-5 simulations.
LA_PALMA = Site.with_field("La Palma", 2158.0, 30.92e-6, 23.39e-6, -4.3)


def load_profile():
    """Winter profile of La Palma.

    Returns
    -------
    altitude, density, overburden, refractivity : ndarray, shape (55,)
        In m, g/cm³, g/cm² and n - 1.
    """
    table = files("ctapipe_gammalearn") / "resources/atmosphere_lapalma.ecsv"
    rows = [row for row in table.read_text().splitlines() if not row.startswith("#")]
    altitude_km, density, overburden, refractivity = np.array(
        [row.split() for row in rows[1:]], dtype=float
    ).T
    return altitude_km * 1e3, density, overburden, refractivity


class Atmosphere:
    """The profile on regular grids, for linear interpolation in compiled code.

    Parameters
    ----------
    site : Site

    Attributes
    ----------
    altitude : ndarray, shape (1001,), m
    grid : ndarray, shape (1001, 6)
        By altitude: density (g/cm³), overburden (g/cm²), n - 1, optical delay above the
        observation level (m: the integral of n - 1), n - 1 deeper by each of `LOOK_AHEAD`.
    altitude_of_logx : ndarray, shape (2001,), m
        Altitude on a regular grid of ln(overburden).
    """

    def __init__(self, site=LA_PALMA):
        self.site = site
        altitude, density, overburden, refractivity = load_profile()
        h = np.arange(N_ALTITUDE) * STEP
        self.altitude = h
        rho = np.exp(np.interp(h, altitude, np.log(density)))
        x = np.exp(np.interp(h, altitude, np.log(overburden)))
        nm1 = np.exp(np.interp(h, altitude, np.log(refractivity)))
        total = np.concatenate([[0], np.cumsum(0.5 * (nm1[1:] + nm1[:-1])) * STEP])
        delay = total - np.interp(site.observation_level, h, total)
        logx = np.log(x[::-1])
        ahead = [np.interp(np.log(x + dx), logx, nm1[::-1]) for dx in LOOK_AHEAD]
        self.grid = np.column_stack([rho, x, nm1, delay, *ahead])
        self.altitude_of_logx = np.interp(np.linspace(LOGX_MIN, LOGX_MAX, N_LOGX), logx, h[::-1])

    def overburden(self, altitude):
        """Vertical overburden (g/cm²) at an altitude (m)."""
        return np.exp(np.interp(altitude, self.altitude, np.log(self.grid[:, 1])))

    def altitude_at(self, overburden):
        """Altitude (m) of a vertical overburden (g/cm²)."""
        x = self.grid[::-1, 1]
        return np.interp(np.log(overburden), np.log(x), self.altitude[::-1])

    def optical_depth(self, wavelength, altitude):
        """Vertical optical depth from an altitude to the observation level.

        Parameters
        ----------
        wavelength : ndarray, shape (n,), nm
        altitude : ndarray, shape (m,), m

        Returns
        -------
        ndarray, shape (n, m)
            Rayleigh scattering, aerosols of 1.2 km scale height (Angstrom exponent 1.3) and
            the tail of the ozone band.

        References
        ----------
        Fröhlich and Shaw 1980, doi:10.1364/AO.19.001773 (Rayleigh scattering).
        """
        lam = np.asarray(wavelength, float)[:, None] * 1e-3
        h = np.asarray(altitude, float)[None, :]
        level = self.site.observation_level
        air = (self.overburden(level) - self.overburden(h)) / REFERENCE_OVERBURDEN
        rayleigh = 0.008735 * lam**-4.08 * air
        aerosol = self.site.aerosol_depth * (lam / 0.55) ** -1.3 * (1 - np.exp((level - h) / 1200))
        ozone = 0.1 * np.exp(-(lam - 0.305) / 0.0075) * air
        return rayleigh + aerosol + ozone

    def transmission(self, wavelength, efficiency):
        """Transmission of Cherenkov light, averaged over efficiency / wavelength².

        Parameters
        ----------
        wavelength, efficiency : ndarray, shape (n,), nm and photo-electrons per photon
            Wavelengths equally spaced.

        Returns
        -------
        ndarray, shape (41, 240)
            By secant of the light's zenith angle (`SECANTS`) and altitude of emission above
            the observation level (steps of `ALTITUDE_STEP`).
        """
        weight = efficiency / np.asarray(wavelength, float) ** 2
        weight = weight / weight.sum()
        level = self.site.observation_level
        tau = self.optical_depth(wavelength, level + ALTITUDE_STEP * np.arange(N_ALTITUDES))
        return np.array([weight @ np.exp(-tau * secant) for secant in SECANTS])
