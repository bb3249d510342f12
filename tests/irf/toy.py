"""An instrument whose response is known exactly (reconstructors differ in psf only).

Detected area A(E), log-normal energy, Rayleigh direction, beta-distributed gammaness; each exact
value below is an integral over these, done by quadrature on a fine grid of true energy.
"""

import astropy.units as u
import numpy as np
from pyirf.simulations import SimulatedEventsInfo
from scipy.special import ndtr

from ctapipe_gammalearn.irf.samples import Reconstruction, Sample, Thrown, cluster_key

RING_DEG = 0.4
#: P(gamma scores higher than proton) = 1 - 6 B(6, 4)
AUC = 1 - 6 / 504
FLUX = 1 / (u.TeV * u.m**2 * u.s)
# of the draws of two reconstructors: they see the same images, and err alike in part
SHARED = 0.7
# index, energies (TeV), radius (m), view cone (deg)
SETTINGS = {
    "gamma": (-2.0, 0.005, 200.0, 1200.0, RING_DEG, RING_DEG),
    "gamma_diffuse": (-2.0, 0.005, 200.0, 1200.0, 0.0, 6.0),
    "proton": (-2.0, 0.010, 300.0, 1500.0, 0.0, 10.0),
    "electron": (-2.0, 0.005, 200.0, 1500.0, 0.0, 10.0),
}
PRIMARY = {"gamma": 0, "gamma_diffuse": 0, "proton": 101, "electron": 1}


def toy(n_gamma, n_proton, n_electron=0, seed=0, scale=None, uses=1):
    """Samples by kind.

    Parameters
    ----------
    n_gamma, n_proton, n_electron : int
        Detected events; a kind without any is left out.
    scale : dict of str to float
        Reconstructor: factor on its psf. Default ``{"ref": 1.0, "dl": 0.9}``.
    uses : int
        Events of each shower, with its energy and direction.
    """
    scale = {"ref": 1.0, "dl": 0.9} if scale is None else scale
    rng = np.random.default_rng(seed)
    numbers = {"gamma": n_gamma, "proton": n_proton, "electron": n_electron}
    return {k: sample(k, n, rng, scale, uses) for k, n in numbers.items() if n}


def sample(kind, n, rng, scale, uses=1):
    """``n`` detected events of one kind."""
    shower = np.arange(n) // uses
    energy = draw_energy(kind, shower[-1] + 1, rng)[shower]
    thrown = thrown_for(kind, n)
    low, high = np.cos(np.deg2rad([thrown.viewcone_min, thrown.viewcone_max]))
    offset = np.rad2deg(np.arccos(rng.uniform(high, low, shower[-1] + 1)))[shower]
    common = rng.standard_normal((4, n))
    reconstructions = {}
    for name, factor in scale.items():
        own = rng.standard_normal((4, n))
        z = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own
        reconstructions[name] = reconstruct(kind, energy, offset, z, factor)
    return Sample(
        kind=kind,
        thrown=thrown,
        true_energy=energy,
        true_offset=offset,
        cluster=cluster_key(PRIMARY[kind], 1, shower),
        quality=np.ones(n, dtype=bool),
        reconstructions=reconstructions,
    )


def reconstruct(kind, energy, offset, z, scale):
    """Reconstruction from standard normal numbers, shape (4, n)."""
    x, y = scale * sigma_psf(energy) * z[:2]
    return Reconstruction(
        energy=seen(kind, energy) * np.exp(sigma_energy(energy) * z[2]),
        gammaness=score(kind, ndtr(z[3])),
        theta=np.hypot(x, y),
        offset=np.hypot(offset + x, y),
        valid=np.ones(len(energy), dtype=bool),
    )


def score(kind, quantile):
    """Quantiles of gammaness: Beta(6, 1), or Beta(1, 3) of protons."""
    return 1 - (1 - quantile) ** (1 / 3) if kind == "proton" else quantile ** (1 / 6)


def passing(kind, gammaness):
    """Exact part of the events above a cut."""
    return (1 - gammaness) ** 3 if kind == "proton" else 1 - gammaness**6


def seen(kind, energy):
    """Energy of the gamma that a shower looks like, TeV."""
    return energy / 3 if kind == "proton" else energy


def area(kind, energy):
    """Detected area, m2."""
    return 5e5 * -np.expm1(-((seen(kind, energy) / 0.2) ** 1.5))


def sigma_energy(energy):
    """Spread of ln E."""
    return 0.10 + 0.05 * energy**-0.25


def sigma_psf(energy):
    """Spread of each coordinate of the direction, deg."""
    return 0.03 + 0.04 * energy**-0.35


def grid(low, high, n=20_001):
    """Energies (TeV) and the weights that make a sum over them the integral dE."""
    energy = np.geomspace(low, high, n)
    step = np.log(high / low) / (n - 1)
    weight = energy * step
    weight[[0, -1]] /= 2
    return energy, weight


def draw_energy(kind, n, rng):
    """True energies of detected events, by the inverse of their cumulative distribution."""
    index, low, high = SETTINGS[kind][:3]
    energy = np.geomspace(low, high, 20_001)
    density = area(kind, energy) * energy ** (index + 1)
    total = np.append(0, np.cumsum((density[1:] + density[:-1]) / 2))
    return np.exp(np.interp(rng.uniform(0, total[-1], n), total, np.log(energy)))


def thrown_for(kind, n):
    """What has to be thrown to detect ``n`` events."""
    index, low, high, radius, *cone = SETTINGS[kind]
    energy, weight = grid(low, high)
    power = energy**index * weight
    n_showers = n * np.pi * radius**2 * power.sum() / (area(kind, energy) * power).sum()
    return Thrown(n_showers, index, low, high, radius, *cone)


def pyirf_thrown(thrown):
    """The simulation as pyirf describes it."""
    return SimulatedEventsInfo(
        n_showers=thrown.n_showers,
        energy_min=thrown.energy_min * u.TeV,
        energy_max=thrown.energy_max * u.TeV,
        max_impact=thrown.max_impact * u.m,
        spectral_index=thrown.index,
        viewcone_min=thrown.viewcone_min * u.deg,
        viewcone_max=thrown.viewcone_max * u.deg,
    )


def exact_theta(low, high, quantile=0.6827, scale=1.0):
    """Containment radius (deg) of the gammas detected between two true energies."""
    energy, weight = grid(low, high, 501)
    weight = weight * area("gamma", energy) * energy ** SETTINGS["gamma"][0]
    radii = np.linspace(0, 5 * scale * sigma_psf(low), 4001)
    outside = np.exp(-0.5 * (radii[:, None] / (scale * sigma_psf(energy))) ** 2)
    return np.interp(quantile, 1 - outside @ weight / weight.sum(), radii)


def exact_resolution(energy):
    """Half-width of the central 68.27 % of E_reco / E_true."""
    return np.sinh(sigma_energy(energy))


def exact_rate(kind, spectrum, edges):
    """Events before cuts in bins of reconstructed energy, by true energy.

    Returns
    -------
    energy : ndarray, shape (n_energies,), TeV
    rate : ndarray, shape (n_bins, n_energies), 1/s (and per sr of a diffuse flux)
        Its sum over energies is the rate of the bin.
    """
    energy, weight = grid(*SETTINGS[kind][1:3], 4001)
    flux = spectrum(energy * u.TeV)
    flux = flux.to_value(FLUX if flux.unit.is_equivalent(FLUX) else FLUX / u.sr)
    z = np.log(np.asarray(edges)[:, None] / seen(kind, energy)) / sigma_energy(energy)
    return energy, flux * area(kind, energy) * weight * np.diff(ndtr(z), axis=0)


def exact_signal(spectrum, edges, gammaness, theta_deg, obs_time_h, scale=1.0):
    """Gammas after cuts (n_bins,) in bins of reconstructed energy; cuts (n_bins,) or ()."""
    energy, rate = exact_rate("gamma", spectrum, edges)
    cut = np.broadcast_to(theta_deg, len(edges) - 1)[:, None]
    inside = -np.expm1(-0.5 * (cut / (scale * sigma_psf(energy))) ** 2)
    return (rate * inside).sum(axis=1) * passing("gamma", gammaness) * obs_time_h * 3600


def exact_background(kind, spectrum, edges, gammaness, theta_deg, obs_time_h):
    """Background after cuts (n_bins,) in the circle ``theta_deg``."""
    _, rate = exact_rate(kind, spectrum, edges)
    circle = 2 * np.pi * (1 - np.cos(np.deg2rad(theta_deg)))
    return rate.sum(axis=1) * passing(kind, gammaness) * circle * obs_time_h * 3600
