"""Records, random numbers and small geometry shared by all compiled transport code.

Random numbers come from SplitMix64: one 64-bit word of state per shower, passed explicitly,
so that a shower depends on nothing but its seed.

References
----------
Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195 (SplitMix64).
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from .atmosphere import LOGX_MAX, LOGX_MIN, N_ALTITUDE, N_LOGX, STEP
from .cross_sections import LOGE_MAX, LOGE_MIN, N_COLUMNS, N_E

__all__ = ["SHOWER", "Ray", "View"]

FAST = dict(cache=True, fastmath={"contract", "arcp", "nsz", "reassoc"})
C_M_NS = 0.299792458
LOGX_WIDTH = (LOGX_MAX - LOGX_MIN) / (N_LOGX - 1)
PER_LOGE = (N_E - 1) / (LOGE_MAX - LOGE_MIN)
PER_STEP = 1 / STEP
TRIES = 1000  # bound of every rejection loop

# columns of the atmosphere grid (numpy integers: else code is compiled for each value)
DENSITY, OVERBURDEN, REFRACTIVITY, DELAY, AHEAD_PHOTON, AHEAD_ELECTRON = np.arange(6)
N_PROFILE, PROFILE_STEP = 150, 10.0  # bins of slant depth, g/cm²
STACK_ROWS, STACK_COLUMNS = 100_000, 10  # kind, energy and the fields of a Ray

#: Tables, settings and state of a shower: one record, as compiled code passes it by reference
#: (separate arrays would cost half of the time).
SHOWER = np.dtype(
    [
        ("rng", "u8", (1,)),  # state of the random numbers
        # settings
        ("obs", "f8"),  # m, observation level
        ("north", "f8"), ("west", "f8"), ("up", "f8"),  # T, geomagnetic field
        ("thin_energy", "f8"),  # GeV, roulette of e+- and photons created below
        ("thin_weight", "f8"),  # largest statistical weight
        ("cos_zenith", "f8"),  # of the shower axis
        ("axis_x", "f8"), ("axis_y", "f8"), ("axis_z", "f8"),  # towards the pointing direction
        ("cos_view", "f8"),  # cosine of the largest angle to it of a track that can be seen
        ("cut_hidden", "f8"),  # 1: drop particles that cannot make Cherenkov light any more
        ("track_above", "f8"),  # GeV: only path at higher energies counts as ``track``
        # counters
        ("n_stack", "i8"), ("n_hits", "i8"), ("n_steps", "i8"),
        ("lost_hits", "i8"), ("lost_particles", "i8"),
        # results
        ("first", "f8"),  # m, altitude of the first interaction; -1: none
        ("track", "f8"),  # g/cm², weighted path of e+-
        ("light", "f8"),  # m, weighted path in the view times 2 pi alpha sin²(theta_c)
        ("profile", "f8", N_PROFILE),  # g/cm², path of e+- by slant depth
        # tables and stack
        ("grid", "f8", (N_ALTITUDE, 6)),  # see `atmosphere.Atmosphere`
        ("altitude_of_logx", "f8", N_LOGX),
        ("em", "f8", (N_E, N_COLUMNS)),  # see `cross_sections.tables`
        ("stack", "f8", (STACK_ROWS, STACK_COLUMNS)),
    ],
    align=True,
)  # fmt: skip


class Ray(NamedTuple):
    """A particle's position (m above sea level), direction of motion, time (ns) and weight."""

    x: float
    y: float
    z: float
    ux: float
    uy: float
    uz: float
    t: float
    w: float


class View(NamedTuple):
    """Telescopes: places, pointing, the tables of each type, and the light they get."""

    telescopes: np.ndarray  # (n, 3) m, z above sea level
    types: np.ndarray  # (n,) int64
    axes: np.ndarray  # (3, 3), rows: increasing altitude, increasing azimuth, pointing
    optics: np.ndarray  # (n_types, OPTICS_SIZE), see `light`
    lookups: np.ndarray  # (n_types, nx, ny) int16
    transmission: np.ndarray  # (n_types, 41, 240)
    yields: np.ndarray  # (n_types,) 1/m, integral of efficiency / wavelength²
    hits: np.ndarray  # (n, 3) float32: telescope, pixel, time


@intrinsic
def borrowed(typing_context, array):
    """The same array without reference counting, whose atomic operations are slow.

    The caller must keep the array alive.
    """

    def codegen(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        return view._getvalue()

    return array(array), codegen


@njit(**FAST)
def uniform(rng):
    """Random number in the open interval (0, 1)."""
    word = rng[0] + uint64(0x9E3779B97F4A7C15)
    rng[0] = word
    word = (word ^ (word >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> uint64(27))) * uint64(0x94D049BB133111EB)
    word = word ^ (word >> uint64(31))
    return (float(word >> uint64(12)) + 0.5) * (1.0 / 4503599627370496.0)


@njit(**FAST)
def exponential(rng):
    """Random number of the exponential distribution of mean 1."""
    return -math.log(uniform(rng))


@njit(**FAST)
def in_disc(rng):
    """Random point in the unit disc and its squared radius."""
    for _ in range(TRIES):
        x, y = 2 * uniform(rng) - 1, 2 * uniform(rng) - 1
        r2 = x * x + y * y
        if 1e-12 < r2 < 1:
            return x, y, r2
    return 1.0, 0.0, 1.0


@njit(**FAST)
def azimuth(rng):
    """Cosine and sine of a random azimuth."""
    x, y, r2 = in_disc(rng)
    return (x * x - y * y) / r2, 2 * x * y / r2  # the doubled angle needs no root


@njit(**FAST)
def normal_pair(rng):
    """Two random numbers of the standard normal distribution (Marsaglia's polar method)."""
    x, y, r2 = in_disc(rng)
    f = math.sqrt(-2 * math.log(r2) / r2)
    return f * x, f * y


@njit(**FAST)
def poisson(rng, mean):
    """Random number of the Poisson distribution; normal above a mean of 20."""
    if mean > 20:
        return int(max(0.0, mean + math.sqrt(mean) * normal_pair(rng)[0] + 0.5))
    limit, product, k = math.exp(-mean), uniform(rng), 0
    while product > limit and k < 200:
        product *= uniform(rng)
        k += 1
    return k


@njit(**FAST)
def column(shower, altitude, j):
    """Column ``j`` of the atmosphere grid at an altitude (m)."""
    grid = shower.grid
    f = max(altitude * PER_STEP, 0.0)
    i = min(int(f), N_ALTITUDE - 2)
    return grid[i, j] + (f - i) * (grid[i + 1, j] - grid[i, j])


@njit(**FAST)
def altitude_at(shower, overburden):
    """Altitude (m) of an overburden (g/cm²)."""
    table = shower.altitude_of_logx
    f = (math.log(max(overburden, 1.1e-3)) - LOGX_MIN) / LOGX_WIDTH
    i = min(int(f), N_LOGX - 2)
    return table[i] + (f - i) * (table[i + 1] - table[i])


@njit(**FAST)
def energy_bin(log_energy):
    """Row of the cross section table and the fraction towards the next."""
    f = min(max((log_energy - LOGE_MIN) * PER_LOGE, 0.0), N_E - 1.001)
    i = int(f)
    return i, f - i


@njit(**FAST)
def turn(ux, uy, uz, theta, across):
    """Unit vector at the angle ``theta`` (rad) from (ux, uy, uz).

    ``across`` holds the cosine and sine of the azimuth.
    """
    c, s = cosine_and_sine(theta)
    return turn_by(ux, uy, uz, c, s * across[0], s * across[1])


@njit(**FAST)
def cosine_and_sine(theta):
    """Cosine and sine, by series for small angles (error below 1e-9)."""
    if abs(theta) < 0.1:
        t2 = theta * theta
        return 1 - t2 * (0.5 - t2 / 24), theta * (1 - t2 / 6 * (1 - t2 / 20))
    return math.cos(theta), math.sin(theta)


@njit(**FAST)
def opposite(across):
    """The azimuth on the other side."""
    return -across[0], -across[1]


@njit(**FAST)
def turn_by(ux, uy, uz, c, a, b):
    """Vector whose components along and across (ux, uy, uz) are c, a and b."""
    s2 = ux * ux + uy * uy
    if s2 < 1e-18:
        sign = 1.0 if uz > 0 else -1.0
        return a, b * sign, c * sign
    s = math.sqrt(s2)
    a, b = a / s, b / s
    return c * ux + a * ux * uz - b * uy, c * uy + a * uy * uz + b * ux, c * uz - a * s2


@njit(**FAST)
def bent(vx, vy, vz, ray, angle, shower):
    """Direction (vx, vy, vz) after a magnetic deflection; ``angle`` in rad per tesla."""
    bx, by, bz = shower.north, shower.west, shower.up
    vx += angle * (ray.uy * bz - ray.uz * by)
    vy += angle * (ray.uz * bx - ray.ux * bz)
    vz += angle * (ray.ux * by - ray.uy * bx)
    n = 1 / math.sqrt(vx * vx + vy * vy + vz * vz)
    return vx * n, vy * n, vz * n


@njit(**FAST)
def halfway(ray, vx, vy, vz):
    """Unit vector between the direction of ``ray`` and (vx, vy, vz)."""
    wx, wy, wz = ray.ux + vx, ray.uy + vy, ray.uz + vz
    n = 1 / math.sqrt(wx * wx + wy * wy + wz * wz + 1e-12)
    return wx * n, wy * n, wz * n


@njit(**FAST)
def length_of(shower, ray, depth):
    """Path (m) that holds ``depth`` g/cm², with the density half-way."""
    path = 0.01 * depth / column(shower, ray.z, DENSITY)
    return 0.01 * depth / column(shower, ray.z + 0.5 * ray.uz * path, DENSITY)


@njit(**FAST)
def push(shower, kind, energy, ray, ux, uy, uz, weight):
    """Put a particle at ``ray``'s place on the stack; count it as lost if there is no room."""
    top = shower.n_stack
    if top >= STACK_ROWS:
        shower.lost_particles += 1
        return
    s = shower.stack[top]
    s[0], s[1], s[2], s[3], s[4] = kind, energy, ray.x, ray.y, ray.z
    s[5], s[6], s[7], s[8], s[9] = ux, uy, uz, ray.t, weight
    shower.n_stack = top + 1
