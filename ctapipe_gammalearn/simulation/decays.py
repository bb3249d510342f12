"""Decays in flight, with exact kinematics of two bodies and a flat pair mass of three.

References
----------
Particle Data Group (branching fractions, rounded).
"""

import math

from numba import njit

from .electromagnetic import push_light
from .kernels import FAST, azimuth, opposite, push, turn, uniform
from .particles import (
    ELECTRON,
    GAMMA,
    HADRON_CUT,
    KAON_L,
    KAON_P,
    KAON_S,
    LAMBDA,
    MASS,
    MUON_CUT,
    MUON_M,
    MUON_P,
    NEUTRINO,
    NEUTRON,
    PION_0,
    PION_M,
    PION_P,
    POSITRON,
    PROTON,
)

__all__ = ["decay", "decay_fast"]


@njit(**FAST)
def split(mass, m1, m2, energy, shower):
    """Two-body decay: energies and angles (rad) of the bodies, in the laboratory.

    Both lie in one plane with the parent, on opposite sides.
    """
    e1 = (mass * mass + m1 * m1 - m2 * m2) / (2 * mass)
    p = math.sqrt(max(e1 * e1 - m1 * m1, 0.0))
    gamma = max(energy / mass, 1.0)
    beta = math.sqrt(1 - 1 / (gamma * gamma))
    c = 2 * uniform(shower.rng) - 1
    across = p * math.sqrt(1 - c * c)
    along1, along2 = gamma * (p * c + beta * e1), gamma * (-p * c + beta * (mass - e1))
    out1 = gamma * (e1 + beta * p * c)
    theta1 = math.atan2(across, along1)
    theta2 = math.atan2(across, along2)
    return out1, theta1, energy - out1, theta2


@njit(**FAST)
def photons(energy, ray, ux, uy, uz, shower):
    """Neutral pion: two photons."""
    e1, a1, e2, a2 = split(MASS[PION_0], 0.0, 0.0, energy, shower)
    across = azimuth(shower.rng)
    vx, vy, vz = turn(ux, uy, uz, a1, across)
    push_light(shower, GAMMA, e1, ray, vx, vy, vz)
    vx, vy, vz = turn(ux, uy, uz, a2, opposite(across))
    push_light(shower, GAMMA, e2, ray, vx, vy, vz)


@njit(**FAST)
def put(kind, energy, ray, ux, uy, uz, shower):
    """Send a decay product on its way."""
    if kind <= POSITRON:
        push_light(shower, kind, energy, ray, ux, uy, uz)
    elif kind == PION_0:
        photons(energy, ray, ux, uy, uz, shower)
    elif kind in (MUON_M, MUON_P):
        if energy > MUON_CUT:
            push(shower, kind, energy, ray, ux, uy, uz, ray.w)
    elif kind != NEUTRINO and energy - MASS[kind] > HADRON_CUT:
        push(shower, kind, energy, ray, ux, uy, uz, ray.w)


@njit(**FAST)
def two_body(mass, kind1, kind2, energy, ray, ux, uy, uz, shower):
    """Decay of a particle of given mass into two, isotropic at rest."""
    e1, a1, e2, a2 = split(mass, MASS[kind1], MASS[kind2], energy, shower)
    across = azimuth(shower.rng)
    vx, vy, vz = turn(ux, uy, uz, a1, across)
    put(kind1, e1, ray, vx, vy, vz, shower)
    vx, vy, vz = turn(ux, uy, uz, a2, opposite(across))
    put(kind2, e2, ray, vx, vy, vz, shower)


@njit(**FAST)
def three_body(kind, kind1, kind2, kind3, energy, ray, ux, uy, uz, shower):
    """Decay into three: the first two are a pair of random mass."""
    mass, m1, m2, m3 = MASS[kind], MASS[kind1], MASS[kind2], MASS[kind3]
    low, high = (m1 + m2) ** 2, (mass - m3) ** 2
    pair = math.sqrt(low + (high - low) * uniform(shower.rng))
    e12, a12, e3, a3 = split(mass, pair, m3, energy, shower)
    across = azimuth(shower.rng)
    vx, vy, vz = turn(ux, uy, uz, a3, opposite(across))
    put(kind3, e3, ray, vx, vy, vz, shower)
    vx, vy, vz = turn(ux, uy, uz, a12, across)
    two_body(pair, kind1, kind2, e12, ray, vx, vy, vz, shower)


@njit(**FAST)
def decay_fast(kind, energy, ray, ux, uy, uz, shower):
    """Decay a neutral pion or Lambda where it is made."""
    if kind == PION_0:
        photons(energy, ray, ux, uy, uz, shower)
    elif uniform(shower.rng) < 0.64:
        two_body(MASS[LAMBDA], PROTON, PION_M, energy, ray, ux, uy, uz, shower)
    else:
        two_body(MASS[LAMBDA], NEUTRON, PION_0, energy, ray, ux, uy, uz, shower)


@njit(**FAST)
def decay(kind, energy, ray, shower):
    """Decay a charged pion, muon or kaon at the place of ``ray``."""
    ux, uy, uz = ray.ux, ray.uy, ray.uz
    if kind in (PION_P, PION_M):
        muon = MUON_P if kind == PION_P else MUON_M
        two_body(MASS[kind], muon, NEUTRINO, energy, ray, ux, uy, uz, shower)
    elif kind in (MUON_P, MUON_M):
        decay_muon(kind, energy, ray, shower)
    elif kind == KAON_L:
        decay_long_kaon(energy, ray, ux, uy, uz, shower)
    elif kind == KAON_S:
        if uniform(shower.rng) < 0.692:
            two_body(MASS[kind], PION_P, PION_M, energy, ray, ux, uy, uz, shower)
        else:
            two_body(MASS[kind], PION_0, PION_0, energy, ray, ux, uy, uz, shower)
    else:
        decay_charged_kaon(kind, energy, ray, ux, uy, uz, shower)


@njit(**FAST)
def decay_muon(kind, energy, ray, shower):
    """Muon decay: only the electron, isotropic, with an energy like Michel's spectrum."""
    largest = 0.5 * MASS[kind]
    rest = largest * max(uniform(shower.rng), uniform(shower.rng), uniform(shower.rng)) ** 0.9
    c = 2 * uniform(shower.rng) - 1
    gamma = energy / MASS[kind]
    beta = math.sqrt(max(0.0, 1 - 1 / (gamma * gamma)))
    theta = math.atan2(rest * math.sqrt(1 - c * c), gamma * rest * (c + beta))
    ux, uy, uz = turn(ray.ux, ray.uy, ray.uz, theta, azimuth(shower.rng))
    electron = POSITRON if kind == MUON_P else ELECTRON
    push_light(shower, electron, gamma * rest * (1 + beta * c), ray, ux, uy, uz)


@njit(**FAST)
def decay_charged_kaon(kind, energy, ray, ux, uy, uz, shower):
    """K+-: mu nu 63.6 %, pi pi0 20.7 %, pi pi pi 5.6 %, e nu pi0 5.1 %, mu nu pi0 3.4 %, rest."""
    plus = kind == KAON_P
    muon, pion = (MUON_P, PION_P) if plus else (MUON_M, PION_M)
    other, lepton = (PION_M, POSITRON) if plus else (PION_P, ELECTRON)
    r = uniform(shower.rng)
    if r < 0.636:
        two_body(MASS[kind], muon, NEUTRINO, energy, ray, ux, uy, uz, shower)
    elif r < 0.843:
        two_body(MASS[kind], pion, PION_0, energy, ray, ux, uy, uz, shower)
    elif r < 0.899:
        three_body(kind, pion, pion, other, energy, ray, ux, uy, uz, shower)
    elif r < 0.950:
        three_body(kind, lepton, NEUTRINO, PION_0, energy, ray, ux, uy, uz, shower)
    elif r < 0.984:
        three_body(kind, muon, NEUTRINO, PION_0, energy, ray, ux, uy, uz, shower)
    else:
        three_body(kind, PION_0, PION_0, pion, energy, ray, ux, uy, uz, shower)


@njit(**FAST)
def decay_long_kaon(energy, ray, ux, uy, uz, shower):
    """K0 long: pi e nu 40.6 %, pi mu nu 27.0 %, 3 pi0 19.5 %, pi+ pi- pi0 12.5 %."""
    plus = uniform(shower.rng) < 0.5
    r = uniform(shower.rng)
    pion = PION_P if plus else PION_M
    if r < 0.406:
        lepton = ELECTRON if plus else POSITRON
        three_body(KAON_L, lepton, NEUTRINO, pion, energy, ray, ux, uy, uz, shower)
    elif r < 0.676:
        muon = MUON_M if plus else MUON_P
        three_body(KAON_L, muon, NEUTRINO, pion, energy, ray, ux, uy, uz, shower)
    elif r < 0.871:
        three_body(KAON_L, PION_0, PION_0, PION_0, energy, ray, ux, uy, uz, shower)
    else:
        three_body(KAON_L, PION_P, PION_M, PION_0, energy, ray, ux, uy, uz, shower)
