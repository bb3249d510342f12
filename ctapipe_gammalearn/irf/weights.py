"""Weights that turn thrown showers into the particles of a sky, for a time of observation."""

import astropy.units as u
import numpy as np
from pyirf import spectral
from pyirf.spectral import DIFFUSE_FLUX_UNIT, POINT_SOURCE_FLUX_UNIT

from ..exceptions import IRFError
from .samples import power_integral, solid_angle

__all__ = ["SPECTRA", "event_weights", "spectrum_named", "thrown_flux"]

#: Spectra by name. The Crab of MAGIC bends as the nebula does, HEGRA's power law is what ctapipe
#: takes; the proton spectrum of the CTA IRF document is ctapipe's, that of DAMPE holds helium
#: too and suits absolute rates, that of BESS is lstchain's.
SPECTRA = {
    "CRAB_MAGIC_JHEAP2015": spectral.CRAB_MAGIC_JHEAP2015,
    "CRAB_HEGRA": spectral.CRAB_HEGRA,
    "IRFDOC_PROTON_SPECTRUM": spectral.IRFDOC_PROTON_SPECTRUM,
    "DAMPE_P_He_SPECTRUM": spectral.DAMPE_P_He_SPECTRUM,
    "BESS_PROTON_SPECTRUM": spectral.PowerLaw(
        normalization=9.6e-6 / (u.TeV * u.cm**2 * u.s * u.sr), index=-2.70
    ),
    "IRFDOC_ELECTRON_SPECTRUM": spectral.IRFDOC_ELECTRON_SPECTRUM,
}


def spectrum_named(name):
    """Spectrum of `SPECTRA`.

    Raises
    ------
    IRFError
        Unknown name.
    """
    if name not in SPECTRA:
        raise IRFError(f"no spectrum {name!r}; choose one of {', '.join(SPECTRA)}")
    return SPECTRA[name]


def thrown_flux(thrown, energy):
    """Density of the showers thrown.

    Parameters
    ----------
    thrown : Thrown
    energy : ndarray, shape (n,), TeV
        The power law goes on outside the range thrown: stored energies are rounded.

    Returns
    -------
    ndarray, shape (n,), 1 / (TeV m2) for a point source, else 1 / (TeV m2 sr)

    Notes
    -----
    φ(E) = N E^Γ / (A Ω ∫ E^Γ dE), without Ω for a point source; also for Γ = -1, where pyirf
    gives NaN.
    """
    whole = power_integral(thrown.index, thrown.energy_min, thrown.energy_max)
    normalization = thrown.n_showers / (thrown.area * whole)
    if not thrown.is_point:
        normalization /= thrown.solid_angle
    return normalization * energy**thrown.index


def event_weights(sample, spectrum, obs_time_h, rings=None):
    """Particles of a spectrum for which each event stands.

    Parameters
    ----------
    sample : Sample
    spectrum : callable
        From an energy (Quantity) to a flux, of a point source or per solid angle: see `SPECTRA`.
    obs_time_h : float, h
    rings : array_like, shape (n_rings + 1,), deg, optional
        Edges in true offset. In each ring, diffuse gammas become one point source whose place is
        spread over the ring. Events outside all rings weigh 0.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    IRFError
        A diffuse spectrum with a point source or with rings, or a point source's spectrum with
        diffuse events and no rings.
    """
    diffuse = _is_diffuse(spectrum)
    if diffuse and (sample.thrown.is_point or rings is not None):
        raise IRFError(
            f"{sample.kind}: a flux per solid angle needs events from a cone, without rings;"
            " choose the spectrum of a point source"
        )
    if not (diffuse or sample.thrown.is_point or rings is not None):
        raise IRFError(f"{sample.kind}: diffuse events become a point source in rings; give rings")
    unit = DIFFUSE_FLUX_UNIT if diffuse else POINT_SOURCE_FLUX_UNIT
    flux = spectrum(sample.true_energy * u.TeV).to_value(unit)
    weights = flux * obs_time_h * 3600 / thrown_flux(sample.thrown, sample.true_energy)
    return weights if rings is None else weights * _ring_factor(sample, rings)


def _is_diffuse(spectrum):
    """Whether the flux is one per solid angle."""
    return spectrum(1 * u.TeV).unit.is_equivalent(DIFFUSE_FLUX_UNIT)


def _ring_factor(sample, rings):
    """Factor (n,) on the weights of a point source: 1 / solid angle of the event's ring, or 0."""
    rings = np.asarray(rings, dtype=np.float64)
    if rings.ndim != 1 or len(rings) < 2 or np.any(np.diff(rings) <= 0):
        raise IRFError(f"rings {rings.tolist()}: give two or more increasing edges (deg)")
    ring = np.searchsorted(rings, sample.true_offset, side="right") - 1
    inside = (ring >= 0) & (ring < len(rings) - 1)
    if sample.thrown.is_point:
        return inside.astype(np.float64)
    # of a ring that the cone covers in part, only that part was thrown
    cone = np.clip(rings, sample.thrown.viewcone_min, sample.thrown.viewcone_max)
    area = solid_angle(cone[:-1], cone[1:])
    # the source's flux falls on the ring's events: their density per m2 is φ times the ring
    factor = np.divide(1.0, area, out=np.zeros_like(area), where=area > 0)
    return np.where(inside, factor[np.where(inside, ring, 0)], 0.0)
