"""Measurements that compare the shower simulation with theory and other programs."""

import numpy as np
from numba import njit

from . import light
from .atmosphere import LA_PALMA, Site
from .cross_sections import X0, pair_production
from .hadrons import collide
from .kernels import SHOWER, Ray
from .nuclei import target_area, wounded
from .particles import (
    GAMMA,
    KAON_L,
    KAON_M,
    KAON_P,
    KAON_S,
    MASS,
    NEUTRON,
    PION_M,
    PION_P,
    PROTON,
)
from .shower import Scene, simulate_shower, start_shower

__all__ = [
    "collision_statistics",
    "counting_scene",
    "depths",
    "interaction_path",
    "nuclear_collisions",
    "photon_density",
    "photons_per_energy",
    "products",
    "track_length",
]

NUCLEONS = (PROTON, NEUTRON)
PIONS = (PION_P, PION_M)
KAONS = (KAON_P, KAON_M, KAON_L, KAON_S)


def bare_shower(seed=1):
    """Record without tables, for single interactions."""
    shower = np.zeros(1, SHOWER)
    start_shower(np.uint64(seed), shower[0])
    return shower[0]


def products(interaction, kind, energy, n, seed=1):
    """Products of ``n`` interactions of a particle that flies straight down.

    Parameters
    ----------
    interaction : callable
        ``hadrons.collide`` or ``nuclei.break_up``.
    kind : int
    energy : float, GeV

    Returns
    -------
    list of ndarray, shape (n_products, 3)
        Kind, energy (GeV) and sine of the angle to the projectile.
    results : list
        What the interaction returned.
    """
    shower = bare_shower(seed)
    ray = Ray(0.0, 0.0, 20_000.0, 0.0, 0.0, -1.0, 0.0, 1.0)
    out, results = [], []
    for _ in range(n):
        shower["n_stack"] = 0
        results.append(interaction(kind, energy, ray, shower))
        rows = shower["stack"][: shower["n_stack"]]
        out.append(np.column_stack([rows[:, 0], rows[:, 1], np.hypot(rows[:, 5], rows[:, 6])]))
    return out, results


def collision_statistics(kind, energy, n=2000, seed=1):
    """Mean numbers of collisions with air, defined as for the stored SIBYLL numbers.

    Parameters
    ----------
    kind : int
        Proton, charged pion or kaon.
    energy : float
        GeV.

    Returns
    -------
    dict of str to float
        ``leading``: energy fraction of the hardest nucleon, charged pion or kaon, by kind of
        projectile; ``em``, ``pions``, ``kaons``, ``nucleons``: energy fractions;
        ``charged``: number of charged pions and kaons above 1 GeV; ``pt``: mean transverse
        momentum of charged pions above 1 GeV (GeV).
    """
    same = NUCLEONS if kind in NUCLEONS else PIONS if kind in PIONS else KAONS
    rows, charged, pt = [], 0, []
    for event in products(collide, kind, energy, n, seed)[0]:
        kinds, x = event[:, 0].astype(int), event[:, 1] / energy
        own = np.isin(kinds, same)
        fractions = [x[np.isin(kinds, group)].sum() for group in (NUCLEONS, PIONS, KAONS)]
        fractions.append(x[kinds == GAMMA].sum())
        rows.append([x[own].max() if own.any() else 0.0, *fractions])
        charged += np.isin(kinds, (*PIONS, KAON_P, KAON_M)).sum()
        pions = np.isin(kinds, PIONS)
        momentum = np.sqrt(event[pions, 1] ** 2 - MASS[PION_P] ** 2)
        pt.append(momentum * event[pions, 2])
    mean = np.mean(rows, axis=0)
    names = ("leading", "nucleons", "pions", "kaons", "em")
    numbers = dict(zip(names, mean.tolist(), strict=True))
    return numbers | {"charged": charged / n, "pt": float(np.concatenate(pt).mean())}


def counting_scene(radius, wavelengths=(300.0, 600.0), site=LA_PALMA, extinction=False):
    """Scene of spheres that count all photons of a range of wavelengths.

    Parameters
    ----------
    radius : float
        Of the spheres, m.
    wavelengths : tuple of float, nm
    site : Site
    extinction : bool
        Whether the air absorbs.

    Returns
    -------
    Scene
    """
    row = np.zeros(light.OPTICS_SIZE)
    row[light.KIND], row[light.RADIUS] = light.COUNTER, radius
    row[light.COS_FOV], row[light.FILL], row[light.TRANSMISSION] = -1.0, 1.0, 1.0
    lam = np.linspace(*wavelengths, 301)
    axes = np.array([[-1.0, 0, 0], [0, -1.0, 0], [0, 0, 1.0]])
    scene = Scene(site, axes, row[None], [np.zeros((1, 1), np.int16)], [(lam, np.ones(301))])
    if not extinction:
        scene.transmission[:] = 1.0
    return scene


def photon_density(energy, radii, n=30, wavelengths=(300.0, 600.0), primary_id=0, seed=0):
    """Photons per m² of vertical showers at 2200 m, without extinction.

    Parameters
    ----------
    energy : float
        GeV.
    radii : array-like, m
        Core distances.
    n : int
        Number of showers.

    Returns
    -------
    mean, sd : ndarray, shape (n_radii,)
        Over showers, each averaged over eight azimuths.
    """
    sphere = 5.0
    site = Site("2200 m", 2200.0, (30.3e-6, 0.0, -24.1e-6))
    scene = counting_scene(sphere, wavelengths, site)
    phi = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    r = np.repeat(np.asarray(radii, float), 8)
    places = np.column_stack([r * np.tile(np.cos(phi), len(radii)),
                              r * np.tile(np.sin(phi), len(radii)), np.zeros(len(r))])  # fmt: skip
    out = []
    for i in range(n):
        result = simulate_shower(
            scene, primary_id, energy, (0, 0, -1.0), places, np.zeros(len(r), int), seed + i
        )
        counts = np.bincount(result.hits[:, 0].astype(int), minlength=len(r))
        out.append(counts.reshape(-1, 8).mean(axis=1) / (np.pi * sphere**2))
    return np.mean(out, axis=0), np.std(out, axis=0)


@njit
def _count_wounded(a, energy, n, shower):
    """Hits, and wounded nucleons in all, of ``n`` passes of a nucleus."""
    hits, total = 0, 0
    for _ in range(n):
        number = wounded(a, energy, shower)
        hits += number > 0
        total += number
    return hits, total


def nuclear_collisions(a, energy, n=50_000, seed=1):
    """Cross section on air (mb) and mean number of wounded nucleons of a nucleus.

    Parameters
    ----------
    a : int
        Mass number.
    energy : float
        GeV per nucleon.
    """
    hits, total = _count_wounded(a, energy, n, bare_shower(seed))
    return target_area(100 * a + 1) * hits / n, total / hits


def interaction_path(energy):
    """Mean free path of pair production (g/cm²) of a photon (GeV)."""
    return 1 / pair_production(energy)


def track_length(energy, above, n=20, seed=0):
    """Path of electrons and positrons above some energies in vertical photon showers.

    Parameters
    ----------
    energy : float
        Of the photons, GeV.
    above : sequence of float, GeV
        Not below the 20 MeV of the simulation.
    n : int
        Number of showers.

    Returns
    -------
    mean, error : ndarray, shape (n_above,)
        Radiation lengths per GeV, over showers.
    """
    scene = counting_scene(1.0)
    record = scene.record[0]
    record["cut_hidden"], record["cos_view"] = 0.0, 2.0  # neither thresholds nor light
    out = np.zeros((n, len(above)))
    for j, limit in enumerate(above):
        record["track_above"] = limit
        for i in range(n):
            out[i, j] = _shower(scene, 0, energy, seed + i).track_length / X0 / energy
    return out.mean(axis=0), out.std(axis=0) / np.sqrt(n)


def depths(energy, n=50, primary_id=0, seed=0):
    """Depth of first interaction and of maximum of vertical showers.

    Returns
    -------
    first, maximum : ndarray, shape (n,), g/cm²
    """
    scene = counting_scene(1.0)
    scene.record[0]["cos_view"] = 2.0
    results = [_shower(scene, primary_id, energy, seed + i) for i in range(n)]
    first = scene.atmosphere.overburden(np.array([r.h_first_int for r in results]))
    return first, np.array([r.x_max for r in results])


def photons_per_energy(energy, zenith, x_max, n=100, wavelengths=(240.0, 900.0), seed=0):
    """All Cherenkov photons of gamma-ray showers with a given depth of maximum.

    Parameters
    ----------
    energy : float
        GeV.
    zenith : float
        deg.
    x_max : float
        g/cm²; showers within 25 g/cm² count.
    n : int
        Number of showers, most of which may not count.

    Returns
    -------
    mean, sd : float
        Photons per GeV.
    """
    scene = counting_scene(1.0)
    record = scene.record[0]
    record["cut_hidden"], record["cos_view"] = 0.0, -1.0  # N_e above 20 MeV; light anywhere
    per_light = 1e9 * (1 / wavelengths[0] - 1 / wavelengths[1]) / energy
    results = [_shower(scene, 0, energy, seed + i, zenith) for i in range(n)]
    light = [r.light * per_light for r in results if abs(r.x_max - x_max) < 25]
    return (float(np.mean(light)), float(np.std(light))) if light else (np.nan, np.nan)


def _shower(scene, primary_id, energy, seed, zenith=0.0):
    """A shower without telescopes; ``zenith`` in deg."""
    angle = np.deg2rad(zenith)
    direction = (np.sin(angle), 0.0, -np.cos(angle))
    return simulate_shower(scene, primary_id, energy, direction, np.zeros((0, 3)), [], seed)
