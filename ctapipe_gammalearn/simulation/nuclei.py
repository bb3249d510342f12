"""Collisions of nuclei with air: Glauber's wounded nucleons, the rest as fragments.

Projectile nucleons are placed at random; each is wounded with the probability that the air
nucleus is not transparent at its impact parameter.  None wounded is a miss, so the cross
section needs no formula of its own.  Wounded nucleons collide as free ones; the spectators
keep their velocity and leave as a fragment, alpha particles and nucleons.

References
----------
Glauber and Matthiae 1970, doi:10.1016/0550-3213(70)90511-0.
Engel et al. 1992, doi:10.1103/PhysRevD.46.5013 (semi-superposition).
Goldhaber 1974, doi:10.1016/0370-2693(74)90388-8 (momenta of fragments).
"""

import math

from numba import njit

from .hadrons import air_cross_section, collide
from .kernels import FAST, azimuth, exponential, normal_pair, push, turn, uniform
from .particles import ALPHA_PARTICLE, HADRON_CUT, MASS, NEUTRON, NUCLEON_MASS, NUCLEUS, PROTON

__all__ = ["break_up", "mass_number", "target_area", "wounded"]

AIR_RADIUS = 2.15  # fm: 1/e radius of the nucleon-air profile
SURFACE = 0.50  # fm, of nuclear densities
MB_PER_FM2 = 10.0
GAUSSIAN = 20  # largest mass number with a Gaussian density
PLACES = 100  # bound of the loop that places a nucleon
GOLDHABER = 0.090  # GeV, transverse momentum scale of a nucleon inside a nucleus
EVAPORATED = 1.0  # nucleons that leave the spectator per wounded one, on average
ALPHA = 0.15  # share of those emissions that are alpha particles


@njit(**FAST)
def mass_number(kind):
    """Number of nucleons."""
    return kind // 100 if kind >= NUCLEUS else 1


@njit(**FAST)
def opacity(energy):
    """Central opacity of air for a nucleon (GeV) that gives its cross section.

    With a profile c exp(-b²/R²) the cross section is pi R² (ln c + gamma + E1(c)); E1 is below
    1 % of the sum.
    """
    sigma = air_cross_section(PROTON, energy) / MB_PER_FM2
    return math.exp(sigma / (math.pi * AIR_RADIUS**2) - 0.5772)


@njit(**FAST)
def nuclear_radius(a):
    """Half-density radius (fm); 1/e radius of the Gaussian density up to `GAUSSIAN`."""
    if a <= 4:
        return 1.0 if a == 4 else 1.45
    if a <= GAUSSIAN:
        return 0.76 * a ** (1 / 3) + 0.05
    return 1.12 * a ** (1 / 3) - 0.86 * a ** (-1 / 3)


@njit(**FAST)
def place(a, radius, shower):
    """Position of a nucleon across the beam (fm)."""
    if a <= GAUSSIAN:
        s = radius / math.sqrt(2.0)
        x, y = normal_pair(shower.rng)
        return s * x, s * y
    reach = radius + 6 * SURFACE
    r = radius
    for _ in range(PLACES):
        r = reach * uniform(shower.rng) ** (1 / 3)
        if uniform(shower.rng) * (1 + math.exp((r - radius) / SURFACE)) < 1:
            break
    c = 2 * uniform(shower.rng) - 1
    s, across = r * math.sqrt(1 - c * c), azimuth(shower.rng)
    return s * across[0], s * across[1]


@njit(**FAST)
def reach_of(a):
    """Largest impact parameter considered (fm)."""
    radius = nuclear_radius(a)
    surface = 1.5 * radius if a <= GAUSSIAN else 6 * SURFACE
    return radius + surface + 2.3 * AIR_RADIUS


@njit(**FAST)
def wounded(a, energy, shower):
    """Number of wounded nucleons at a random impact parameter, 0 for a miss.

    Parameters
    ----------
    a : int
    energy : float
        GeV per nucleon.
    """
    b = reach_of(a) * math.sqrt(uniform(shower.rng))
    central, radius, n = opacity(energy), nuclear_radius(a), 0
    for _ in range(a):
        x, y = place(a, radius, shower)
        r2 = (x + b) ** 2 + y * y
        if uniform(shower.rng) < 1 - math.exp(-central * math.exp(-r2 / AIR_RADIUS**2)):
            n += 1
    return n


@njit(**FAST)
def target_area(kind):
    """Area (mb) in which `wounded` places the impact parameter; part of it are misses."""
    return MB_PER_FM2 * math.pi * reach_of(mass_number(kind)) ** 2


@njit(**FAST)
def break_up(kind, energy, n_wounded, ray, shower):
    """Let ``n_wounded`` nucleons of a nucleus (total energy in GeV) collide; share out the rest.

    Returns
    -------
    int
        Mass number of the heaviest spectator fragment.
    """
    a, z = kind // 100, kind % 100
    per_nucleon = energy / a
    for _ in range(n_wounded):
        proton = uniform(shower.rng) * a < z
        z -= 1 if proton else 0
        a -= 1
        collide(PROTON if proton else NEUTRON, per_nucleon, ray, shower)
    return spectators(a, z, n_wounded, per_nucleon, ray, shower)


@njit(**FAST)
def spectators(a, z, n_wounded, per_nucleon, ray, shower):
    """Evaporate nucleons and alpha particles from the spectators; the rest is one fragment."""
    n_out = int(EVAPORATED * n_wounded * exponential(shower.rng) + uniform(shower.rng))
    for _ in range(n_out):
        if a <= 1:
            break
        if a > 5 and z > 2 and uniform(shower.rng) < ALPHA:
            a, z = a - 4, z - 2
            release(ALPHA_PARTICLE, 4 * per_nucleon, ray, shower)
        else:
            proton = uniform(shower.rng) * a < z
            a, z = a - 1, z - (1 if proton else 0)
            release(PROTON if proton else NEUTRON, per_nucleon, ray, shower)
    if a > 1 and (z == 0 or z == a or (a <= 3 and uniform(shower.rng) < 0.5)):
        # unbound, or a loose light cluster
        for _ in range(a):
            proton = z > 0
            z -= 1 if proton else 0
            release(PROTON if proton else NEUTRON, per_nucleon, ray, shower)
        return 1
    if a == 1:
        release(PROTON if z == 1 else NEUTRON, per_nucleon, ray, shower)
    elif a > 1:
        release(100 * a + z, a * per_nucleon, ray, shower)
    return a


@njit(**FAST)
def release(kind, energy, ray, shower):
    """Put a fragment with its Fermi momentum on the stack."""
    a = mass_number(kind)
    mass = a * NUCLEON_MASS if a > 1 else MASS[kind]
    if energy - mass < HADRON_CUT:
        return
    pt = GOLDHABER * math.sqrt(2 * a * exponential(shower.rng))
    theta = math.asin(min(0.95, pt / math.sqrt(energy * energy - mass * mass)))
    ux, uy, uz = turn(ray.ux, ray.uy, ray.uz, theta, azimuth(shower.rng))
    push(shower, kind, energy, ray, ux, uy, uz, ray.w)
