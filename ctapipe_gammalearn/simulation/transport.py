"""Transport of muons, hadrons and nuclei: Cherenkov light, decay and collisions."""

import math

from numba import njit

from .decays import decay
from .electromagnetic import scattered
from .hadrons import air_cross_section, collide
from .kernels import (
    C_M_NS,
    FAST,
    OVERBURDEN,
    REFRACTIVITY,
    Ray,
    altitude_at,
    bent,
    column,
    exponential,
    halfway,
    length_of,
)
from .light import emit, in_view
from .nuclei import break_up, target_area, wounded
from .particles import (
    CHARGE,
    CTAU,
    HADRON_CUT,
    MASS,
    MUON_CUT,
    MUON_M,
    MUON_P,
    NUCLEON_MASS,
    NUCLEUS,
)

__all__ = ["heavy"]

AIR_NUCLEUS = 24160.0  # mb g/cm²: mass of a mole of air over Avogadro's number
LEAST_DOWN = 0.1  # cosine of the zenith angle
STEP_MAX = 15.0  # g/cm²
LENGTH_LIGHT, LENGTH_DARK = 150.0, 1500.0  # m, of a step with and without light
THIN_AIR = 25_000.0  # m: above, steps are measured in g/cm²
THIN_STEP = 0.3  # g/cm², and fraction of the overburden: steps with light in thin air
RADIATIVE = 3.0e-6  # cm²/g, loss of muons to radiation and pairs, per energy
MOST_STEPS = 100_000


@njit(**FAST)
def is_muon(kind):
    """True for muons."""
    return kind in (MUON_M, MUON_P)


@njit(**FAST)
def mass_and_charge(kind):
    """Mass (GeV) and charge of a particle or nucleus."""
    if kind >= NUCLEUS:
        return (kind // 100) * NUCLEON_MASS, float(kind % 100)
    return MASS[kind], float(CHARGE[kind])


@njit(**FAST)
def ionisation(kind, charge, beta_gamma, energy):
    """Energy loss (GeV cm²/g)."""
    loss = 1.8e-3 / min(1.0, (beta_gamma / 3.5) ** 2)
    loss += 0.12e-3 * math.log(max(beta_gamma, 3.5) / 3.5)
    return charge * charge * loss + (RADIATIVE * energy if is_muon(kind) else 0.0)


@njit(**FAST)
def free_path(kind, energy, shower):
    """Depth (g/cm²) to the next collision; for nuclei, to the next that may be one."""
    if is_muon(kind):
        return 1e9
    if kind >= NUCLEUS:
        return exponential(shower.rng) * AIR_NUCLEUS / target_area(kind)
    return exponential(shower.rng) * AIR_NUCLEUS / air_cross_section(kind, energy)


@njit(**FAST)
def decay_length(kind, energy, shower):
    """Path (m) to the decay."""
    if kind >= NUCLEUS or CTAU[kind] == 0:
        return 1e12
    return exponential(shower.rng) * CTAU[kind] * energy / MASS[kind]


@njit(**FAST)
def next_step(to_interact, to_decay, light, ray, shower):
    """Depth and length of a step, and whether it ends in decay or on the ground."""
    obs = shower.obs
    depth = min(to_interact, STEP_MAX)
    if ray.z > THIN_AIR:
        above = column(shower, ray.z, OVERBURDEN)
        if light:
            depth = min(depth, THIN_STEP + THIN_STEP * above)
        below = above - depth * ray.uz
        length = max(0.0, (ray.z - altitude_at(shower, below)) / -ray.uz)
    else:
        length = length_of(shower, ray, depth)
        longest = LENGTH_LIGHT if light else LENGTH_DARK
        if length > longest:
            depth *= longest / length
            length = longest
    decays = to_decay <= length
    if decays:
        depth *= to_decay / max(length, 1e-9)
        length = to_decay
    ground = ray.z + ray.uz * length < obs
    if ground:
        shorter = (obs - ray.z) / ray.uz
        depth *= shorter / length
        length, decays = shorter, False
    return depth, length, decays, ground


@njit(**FAST)
def heavy(kind, energy, ray, view, shower):
    """Follow a muon, hadron or nucleus to its end; products go on the stack."""
    mass, charge = mass_and_charge(kind)
    to_interact = free_path(kind, energy, shower)
    to_decay = decay_length(kind, energy, shower)
    muon = is_muon(kind)
    least = MUON_CUT if muon else mass + HADRON_CUT
    for _ in range(MOST_STEPS):
        if ray.uz > -LEAST_DOWN or energy < least:
            return
        inv_gamma2 = (mass / energy) ** 2
        light = charge != 0 and inv_gamma2 < 2.3 * column(shower, ray.z, REFRACTIVITY)
        depth, length, decays, ground = next_step(to_interact, to_decay, light, ray, shower)
        vx, vy, vz = ray.ux, ray.uy, ray.uz
        wx, wy, wz = vx, vy, vz
        if charge != 0:
            momentum = math.sqrt(energy * energy - mass * mass)
            if muon:
                vx, vy, vz = scattered(depth, momentum, ray, shower)
            vx, vy, vz = bent(vx, vy, vz, ray, C_M_NS * charge * length / momentum, shower)
            wx, wy, wz = halfway(ray, vx, vy, vz)
            if light:
                weight = ray.w * charge * charge
                track = Ray(ray.x, ray.y, ray.z, wx, wy, wz, ray.t, weight)
                if in_view(track, shower):
                    emit(track, length, inv_gamma2, view, shower)
            energy -= depth * ionisation(kind, charge, momentum / mass, energy)
        time = ray.t + length / C_M_NS * (1 + 0.5 * inv_gamma2)
        ray = Ray(
            ray.x + wx * length, ray.y + wy * length, ray.z + wz * length,
            vx, vy, vz, time, ray.w,
        )  # fmt: skip
        to_interact -= depth
        to_decay -= length
        if ground or energy <= mass:
            return
        if decays:
            decay(kind, energy, ray, shower)
            return
        if to_interact <= 1e-9:
            n_wounded = 1
            if kind >= NUCLEUS:
                n_wounded = wounded(kind // 100, energy / (kind // 100), shower)
            if n_wounded == 0:
                to_interact = free_path(kind, energy, shower)
                continue
            if shower.first < 0:
                shower.first = ray.z
            if kind >= NUCLEUS:
                break_up(kind, energy, n_wounded, ray, shower)
            else:
                collide(kind, energy, ray, shower)
            return
