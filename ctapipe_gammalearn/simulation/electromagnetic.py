"""Transport of photons, electrons and positrons: one compiled call follows one particle.

Energies in GeV, depths in g/cm², lengths in m.

References
----------
Butcher and Messel 1960, doi:10.1016/0029-5582(60)90162-0 (sampling of pairs, bremsstrahlung).
Bethe 1953, doi:10.1103/PhysRev.89.1256 (Molière's multiple scattering).
Berger and Seltzer 1982, NBSIR 82-2550 (collision loss).
"""

import math

from numba import njit

from .cross_sections import (
    BHABHA,
    BREMS,
    COMPTON,
    COULOMB,
    F0,
    K_CUT,
    KNOCK_ON,
    M_E,
    MOLLER,
    PAIR,
    SCREEN,
    SOFT_LOSS,
)
from .kernels import (
    AHEAD_ELECTRON,
    AHEAD_PHOTON,
    C_M_NS,
    FAST,
    N_PROFILE,
    OVERBURDEN,
    PROFILE_STEP,
    TRIES,
    Ray,
    altitude_at,
    azimuth,
    bent,
    column,
    cosine_and_sine,
    energy_bin,
    exponential,
    halfway,
    length_of,
    normal_pair,
    opposite,
    push,
    turn,
    turn_by,
    uniform,
)
from .light import emit, in_view
from .particles import ELECTRON, GAMMA, POSITRON, RHO

__all__ = ["electron", "photon", "push_light", "scattered"]

STEP_MAX, STEP_LOSS = 7.0, 0.15  # e+- step: g/cm² and fraction of the energy
LOSS = 2.3e-3  # GeV cm²/g, rough collision loss that limits the step
MOST_STEPS = 100_000
LEAST = 0.012  # GeV: electrons stop
NUCLEAR_ENERGY, NUCLEAR = 3.0, 5.8e-5  # GeV; cm²/g: 1.4 mb for photons on air
DEEPEST = 1050.0  # g/cm²
LEAST_DOWN_PHOTON, LEAST_DOWN_ELECTRON = 0.1, 0.05  # cosine of the zenith angle
LOG_LEVEL, LOG_CUT, LOG_HALVES = math.log(0.1), math.log(K_CUT), math.log(2.0)


@njit(**FAST)
def push_light(shower, kind, energy, ray, ux, uy, uz):
    """Put a photon or electron on the stack, or lose it in Russian roulette.

    The roulette keeps the expected light: survivors carry the weight of the lost.  It acts on
    low energies in energetic showers.
    """
    if energy < K_CUT:
        return
    weight = ray.w
    if energy < shower.thin_energy:
        goal = shower.thin_weight
        if weight < goal:
            if uniform(shower.rng) * goal > weight:
                return
            weight = goal
    push(shower, kind, energy, ray, ux, uy, uz, weight)


@njit(**FAST)
def screen1(d):
    """Screening function phi_1 less the Coulomb term."""
    f = 20.867 - 3.242 * d + 0.625 * d * d if d <= 1 else 21.12 - 4.184 * math.log(d + 0.952)
    return max(f - COULOMB, 0.0)


@njit(**FAST)
def screen2(d):
    """Screening function phi_2 less the Coulomb term."""
    f = 20.209 - 1.930 * d - 0.086 * d * d if d <= 1 else 21.12 - 4.184 * math.log(d + 0.952)
    return max(f - COULOMB, 0.0)


@njit(**FAST)
def hidden(energy, ray, ahead, shower):
    """Whether a particle is below the Cherenkov threshold found deeper (column ``ahead``)."""
    threshold = energy * energy * 2 * column(shower, ray.z, ahead) < M_E * M_E
    return shower.cut_hidden > 0 and threshold


@njit(**FAST)
def photon(energy, ray, shower):
    """Carry a photon to its interaction and put the products on the stack."""
    if ray.uz > -LEAST_DOWN_PHOTON:
        return
    if hidden(energy, ray, AHEAD_PHOTON, shower):
        return
    i, f = energy_bin(math.log(energy))
    em = shower.em
    pair = em[i, PAIR] + f * (em[i + 1, PAIR] - em[i, PAIR])
    compton = em[i, COMPTON] + f * (em[i + 1, COMPTON] - em[i, COMPTON])
    depth = exponential(shower.rng) / (pair + compton)
    below = column(shower, ray.z, OVERBURDEN) - depth * ray.uz
    z = altitude_at(shower, below)
    if below > DEEPEST or z < shower.obs:
        return
    s = max(0.0, (ray.z - z) / -ray.uz)
    x, y, t = ray.x + s * ray.ux, ray.y + s * ray.uy, ray.t + s / C_M_NS
    ray = Ray(x, y, z, ray.ux, ray.uy, ray.uz, t, ray.w)
    if shower.first < 0:
        shower.first = z
    if energy > NUCLEAR_ENERGY and uniform(shower.rng) * pair < NUCLEAR:
        # hadronic collisions of photons are those of the vector meson they turn into
        push(shower, RHO, energy, ray, ray.ux, ray.uy, ray.uz, ray.w)
    elif uniform(shower.rng) * (pair + compton) < pair:
        pair_production(energy, ray, shower)
    else:
        compton_scattering(energy, ray, shower)


@njit(**FAST)
def pair_fraction(energy, shower):
    """Energy fraction of one lepton of a pair."""
    low = M_E / energy
    eps = 0.5
    for _ in range(TRIES):
        eps = low + (1 - 2 * low) * uniform(shower.rng)
        d = SCREEN / (energy * eps * (1 - eps))
        g = (eps**2 + (1 - eps) ** 2) * screen1(d) + 2 / 3 * eps * (1 - eps) * screen2(d)
        if uniform(shower.rng) * F0 < g:
            break
    return eps


@njit(**FAST)
def pair_production(energy, ray, shower):
    """Turn a photon into an electron and a positron."""
    eps = pair_fraction(energy, shower)
    across = azimuth(shower.rng)
    ux, uy, uz = turn(ray.ux, ray.uy, ray.uz, 0.8 * M_E / (energy * eps), across)
    push_light(shower, ELECTRON, energy * eps, ray, ux, uy, uz)
    rest = energy * (1 - eps)
    ux, uy, uz = turn(ray.ux, ray.uy, ray.uz, 0.8 * M_E / rest, opposite(across))
    push_light(shower, POSITRON, rest, ray, ux, uy, uz)


@njit(**FAST)
def compton_fraction(k, shower):
    """Fraction r of the energy k (in electron masses) that a photon keeps, and 1 - cos."""
    x0 = 1 / (1 + 2 * k)
    a1, a2 = -math.log(x0), 0.5 * (1 - x0 * x0)
    r, versine = 1.0, 0.0
    for _ in range(TRIES):
        if uniform(shower.rng) * (a1 + a2) < a1:
            r = math.exp(-a1 * uniform(shower.rng))
        else:
            r = math.sqrt(x0 * x0 + (1 - x0 * x0) * uniform(shower.rng))
        versine = (1 - r) / (r * k)
        if uniform(shower.rng) < 1 - r * versine * (2 - versine) / (1 + r * r):
            break
    return r, versine


@njit(**FAST)
def compton_scattering(energy, ray, shower):
    """Scatter a photon on an electron at rest."""
    r, versine = compton_fraction(energy / M_E, shower)
    side = azimuth(shower.rng)
    theta = math.acos(max(-1.0, 1 - versine))
    across = r * energy * math.sqrt(max(versine * (2 - versine), 0.0))
    recoil = math.asin(min(1.0, across / max(energy * (1 - r), 1e-6)))
    ux, uy, uz = turn(ray.ux, ray.uy, ray.uz, theta, side)
    push_light(shower, GAMMA, energy * r, ray, ux, uy, uz)
    ux, uy, uz = turn(ray.ux, ray.uy, ray.uz, recoil, opposite(side))
    push_light(shower, ELECTRON, energy * (1 - r), ray, ux, uy, uz)


@njit(**FAST)
def scattered(depth, momentum, ray, shower):
    """Direction after multiple scattering.

    A Gaussian below sqrt(10) times Molière's characteristic angle, plus at most one single
    Rutherford scatter above it (probability 0.1).
    """
    chi2 = 0.6545e-6 * depth / (momentum * momentum)
    soft = chi2 * max(math.log(86120.0 * depth + 1e-9) - 1, 0.5)
    a, b = normal_pair(shower.rng)
    sigma = math.sqrt(0.5 * soft)
    a, b = sigma * a, sigma * b
    if uniform(shower.rng) < 0.1:
        hard = min(1.0, math.sqrt(10 * chi2 / uniform(shower.rng)))
        c, s = azimuth(shower.rng)
        a += hard * c
        b += hard * s
    theta = math.sqrt(a * a + b * b) + 1e-12
    cos, sin = cosine_and_sine(theta)
    return turn_by(ray.ux, ray.uy, ray.uz, cos, a * sin / theta, b * sin / theta)


@njit(**FAST)
def collision_loss(log_energy, positron):
    """Loss to knock-ons below `K_CUT` and excitation in air at about 10 km (GeV cm²/g)."""
    level = log_energy - LOG_LEVEL
    loss = 2.468e-3 + (0.122e-3 if level > 0 else 0.21e-3) * level
    largest = log_energy - LOG_CUT - (0.0 if positron else LOG_HALVES)
    return loss - KNOCK_ON * largest if largest > 0 else loss


@njit(**FAST)
def rates(energy, positron, shower):
    """Bremsstrahlung and knock-ons per g/cm², and continuous loss (GeV cm²/g)."""
    log_energy = math.log(energy)
    i, f = energy_bin(log_energy)
    row, above, j = shower.em[i], shower.em[i + 1], BHABHA if positron else MOLLER
    brems = row[BREMS] + f * (above[BREMS] - row[BREMS])
    knock = row[j] + f * (above[j] - row[j])
    soft = row[SOFT_LOSS] + f * (above[SOFT_LOSS] - row[SOFT_LOSS])
    return brems, knock, soft + collision_loss(log_energy, positron)


@njit(**FAST)
def note_path(energy, depth, ray, shower):
    """Add a step to the profile and the track length."""
    i = int(column(shower, ray.z, OVERBURDEN) / shower.cos_zenith / PROFILE_STEP)
    if i < N_PROFILE:
        shower.profile[i] += ray.w * depth
    if energy > shower.track_above:
        shower.track += ray.w * depth
    shower.n_steps += 1


@njit(**FAST)
def electron(kind, energy, ray, view, shower):
    """Follow an electron or positron to its end; secondaries go on the stack."""
    positron = kind == POSITRON
    charge = 1.0 if positron else -1.0
    for _ in range(MOST_STEPS):
        if ray.uz > -LEAST_DOWN_ELECTRON or hidden(energy, ray, AHEAD_ELECTRON, shower):
            return
        brems, knock, loss = rates(energy, positron, shower)
        depth = exponential(shower.rng) / (brems + knock + 1e-9)
        limit = min(STEP_MAX, STEP_LOSS * energy / LOSS)
        interacts = depth < limit
        depth = min(depth, limit)
        length = length_of(shower, ray, depth)
        if ray.z + ray.uz * length < shower.obs:
            shorter = (shower.obs - ray.z) / ray.uz
            depth *= shorter / length
            length, interacts = shorter, False
        loss *= depth
        mid = energy - 0.5 * loss
        if mid < LEAST:
            return
        vx, vy, vz = scattered(depth, mid, ray, shower)
        vx, vy, vz = bent(vx, vy, vz, ray, C_M_NS * charge * length / mid, shower)
        wx, wy, wz = halfway(ray, vx, vy, vz)
        track = Ray(ray.x, ray.y, ray.z, wx, wy, wz, ray.t, ray.w)
        if in_view(track, shower):
            emit(track, length, (M_E / mid) ** 2, view, shower)
        note_path(mid, depth, ray, shower)
        ray = Ray(
            ray.x + wx * length, ray.y + wy * length, ray.z + wz * length,
            vx, vy, vz, ray.t + length / C_M_NS, ray.w,
        )  # fmt: skip
        energy -= loss
        if ray.z <= shower.obs + 0.01 or energy < K_CUT:
            return
        if interacts:
            if shower.first < 0:
                shower.first = ray.z
            if uniform(shower.rng) * (brems + knock) < brems:
                energy -= radiate(energy, ray, shower)
            else:
                energy -= knock_on(energy, positron, ray, shower)


@njit(**FAST)
def radiate(energy, ray, shower):
    """Emit a bremsstrahlung photon above `K_CUT`; return its energy."""
    if energy < 1.1 * K_CUT:  # phase space closes; the cross section vanishes
        return 0.0
    span = math.log(energy / K_CUT)
    y = 1.0
    for _ in range(TRIES):
        y = math.exp(-span * uniform(shower.rng))
        d = SCREEN * y / (energy * max(1 - y, 1e-6))
        g = (1 + (1 - y) ** 2) * screen1(d) - 2 / 3 * (1 - y) * screen2(d)
        if uniform(shower.rng) * 1.36 * F0 < g:
            break
    push_light(shower, GAMMA, energy * y, ray, ray.ux, ray.uy, ray.uz)
    return energy * y


@njit(**FAST)
def knock_on(energy, positron, ray, shower):
    """Knock an electron above `K_CUT` out of the air; return its energy."""
    largest = energy if positron else 0.5 * energy
    if largest <= K_CUT:
        return 0.0
    kinetic = 1 / (1 / K_CUT - uniform(shower.rng) * (1 / K_CUT - 1 / largest))
    theta = math.sqrt(2 * M_E / kinetic * max(0.0, 1 - kinetic / energy))
    ux, uy, uz = turn(ray.ux, ray.uy, ray.uz, theta, azimuth(shower.rng))
    push_light(shower, ELECTRON, kinetic, ray, ux, uy, uz)
    return kinetic
