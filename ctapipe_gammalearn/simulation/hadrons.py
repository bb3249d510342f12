"""Collisions of nucleons, pions and kaons with air: a compact model in the style of SIBYLL.

A leading particle takes a fraction of the energy; the rest breaks like a stick into hadrons
with dN/dx = a (1 - x)^(a - 1) / x.  The constants reproduce 4000 collisions each of
SIBYLL 2.3d on nitrogen at 0.1, 1 and 10 TeV (see ``tests/simulation/sibyll.py``).

References
----------
Riehn et al. 2020, doi:10.1103/PhysRevD.102.063002 (SIBYLL 2.3d).
"""

import math

import numpy as np
from numba import njit

from .decays import decay_fast
from .kernels import FAST, azimuth, push, turn, uniform
from .particles import (
    CHARGE,
    HADRON_CUT,
    KAON_L,
    KAON_M,
    KAON_P,
    KAON_S,
    LAMBDA,
    MASS,
    NEUTRON,
    PION_0,
    PION_M,
    PION_P,
    PROTON,
)

__all__ = ["air_cross_section", "collide", "secondary"]

NUCLEON_CLASS, PION_CLASS, KAON_CLASS = range(3)
# inelastic cross section on air, mb: value at 1 TeV, and per decade and decade² from there
SIGMA = np.array([[298.0, 14.0, 6.0], [225.0, 15.5, 5.5], [204.0, 19.8, 2.1]])
LEAST_DECADE = -1.15  # cross sections and shapes are constant below 70 GeV
# leading particle: diffractive share, exponent of (1 - x), probability to change its charge
LEADING = np.array([[0.085, 2.15, 0.36], [0.075, 2.75, 0.20], [0.07, 3.7, 0.46]])
LEADING_LAMBDA = 0.09  # of nucleons
DIFFRACTIVE = (0.87, 0.12)  # x of diffractive leading particles: least value and width
# exponent a of the other hadrons: value at 1 TeV, per decade and per decade²
SPLIT = np.array([[4.8, 0.75, 0.10], [4.7, 0.50, 0.17], [4.65, 0.50, 0.17]])
# shares of those at 1 TeV: pi0 (and eta), K+-, K0, nucleons, Lambda; charged pions the rest
SHARES = np.array([
    [0.306, 0.058, 0.064, 0.062, 0.055],
    [0.297, 0.065, 0.073, 0.072, 0.022],
    [0.290, 0.060, 0.065, 0.058, 0.030],
])  # fmt: skip
STRANGE = 0.006  # more of K+- and of K0 per decade, less pions
LEAST_LEFT = 0.3  # GeV: what is left below is dropped
MOST_HADRONS = 500
# mean transverse momentum, GeV: value at 1 TeV and per decade
PT_PION, PT_KAON, PT_NUCLEON = (0.375, 0.0), (0.51, 0.05), (0.49, 0.055)


@njit(**FAST)
def class_of(kind):
    """Row of the tables for a projectile."""
    if kind in (PROTON, NEUTRON):
        return NUCLEON_CLASS
    return KAON_CLASS if KAON_P <= kind <= KAON_S else PION_CLASS


@njit(**FAST)
def decades(energy):
    """Decades of the energy above 1 TeV, not below those of the tables."""
    return max(math.log10(max(energy, 1.0)) - 3.0, LEAST_DECADE)


@njit(**FAST)
def air_cross_section(kind, energy):
    """Inelastic cross section on air (mb)."""
    row, level = SIGMA[class_of(kind)], decades(energy)
    return row[0] + row[1] * level + row[2] * level * level


@njit(**FAST)
def leading(kind, row, shower):
    """Kind and energy fraction of the leading particle."""
    table = LEADING[row]
    if uniform(shower.rng) < table[0]:
        return kind, DIFFRACTIVE[0] + DIFFRACTIVE[1] * uniform(shower.rng)
    x = 1 - uniform(shower.rng) ** (1 / table[1])
    r = uniform(shower.rng)
    if row == NUCLEON_CLASS:
        if r < LEADING_LAMBDA:
            return LAMBDA, x
        if r < LEADING_LAMBDA + table[2]:
            return (NEUTRON if kind == PROTON else PROTON), x
    elif r < table[2]:
        if row == PION_CLASS:
            return PION_0, x
        if kind in (KAON_L, KAON_S):
            return (KAON_P if uniform(shower.rng) < 0.5 else KAON_M), x
        return (KAON_L if uniform(shower.rng) < 0.5 else KAON_S), x
    return kind, x


@njit(**FAST)
def fragment(row, level, balance, shower):
    """Kind of a hadron that is not leading; ``balance`` is the charge made so far."""
    share, strange = SHARES[row], STRANGE * level
    r = uniform(shower.rng) - share[0] + 0.5 * strange
    if r < 0:
        return PION_0
    positive = balance < 0 or (balance == 0 and uniform(shower.rng) < 0.5)
    r -= share[1] + strange
    if r < 0:
        return KAON_P if positive else KAON_M
    r -= share[2] + strange
    if r < 0:
        return KAON_L if uniform(shower.rng) < 0.5 else KAON_S
    r -= share[3]
    if r < 0:
        # baryons come in pairs with antibaryons, which are followed as baryons
        return PROTON if positive and uniform(shower.rng) < 0.5 else NEUTRON
    if r < share[4]:
        return LAMBDA
    return PION_P if positive else PION_M


@njit(**FAST)
def mean_pt(kind, level):
    """Mean transverse momentum (GeV)."""
    if KAON_P <= kind <= KAON_S:
        return PT_KAON[0] + PT_KAON[1] * level
    if kind in (PROTON, NEUTRON, LAMBDA):
        return PT_NUCLEON[0] + PT_NUCLEON[1] * level
    return PT_PION[0] + PT_PION[1] * level


@njit(**FAST)
def collide(kind, energy, ray, shower):
    """Let a hadron hit an air nucleus; the products go on the stack.

    Energy is conserved to `LEAST_LEFT`; the charge to that of the struck nucleon.

    Returns
    -------
    int
        Charge of the products.
    """
    row, level = class_of(kind), decades(energy)
    first, x = leading(kind, row, shower)
    first_energy = max(x * energy, 1.0001 * MASS[first])
    secondary(first, first_energy, mean_pt(first, level), ray, shower)
    left = energy - first_energy
    balance = int(CHARGE[first] - CHARGE[kind])
    split = SPLIT[row]
    power = 1 / (split[0] + split[1] * level + split[2] * level * level)
    for _ in range(MOST_HADRONS):
        if left < LEAST_LEFT:
            break
        part = left * (1 - uniform(shower.rng) ** power)
        left -= part
        new = fragment(row, level, balance, shower)
        if part > 1.05 * MASS[new]:
            balance += int(CHARGE[new])
            secondary(new, part, mean_pt(new, level), ray, shower)
    return balance


@njit(**FAST)
def secondary(kind, energy, mean, ray, shower):
    """Give a hadron its direction; decay it if it does not live, else put it on the stack."""
    mass = MASS[kind]
    if kind != PION_0 and energy - mass < HADRON_CUT:
        return
    pt = -0.5 * mean * math.log(uniform(shower.rng) * uniform(shower.rng))
    momentum = math.sqrt(max(1e-12, energy * energy - mass * mass))
    theta = math.asin(min(0.95, pt / momentum))
    ux, uy, uz = turn(ray.ux, ray.uy, ray.uz, theta, azimuth(shower.rng))
    if kind in (PION_0, LAMBDA):
        decay_fast(kind, energy, ray, ux, uy, uz, shower)
    else:
        push(shower, kind, energy, ray, ux, uy, uz, ray.w)
