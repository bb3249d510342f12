"""Air showers: from a primary particle to photo-electrons in the pixels of telescopes.

Everything random in a shower comes from its seed, so any shower can be made again alone.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numba import njit
from scipy.integrate import trapezoid

from ..exceptions import SimulationError
from . import kernels as k
from . import light
from .atmosphere import Atmosphere
from .cross_sections import tables
from .electromagnetic import electron, photon
from .hadrons import collide
from .kernels import FAST, Ray, View, borrowed, push
from .particles import GAMMA, MASS, NUCLEON_MASS, NUCLEUS, PION_M, PION_P, POSITRON, PRIMARIES, RHO
from .transport import heavy

__all__ = ["PRIMARIES", "Scene", "ShowerResult", "simulate_shower", "stack_kind"]

TOP = 99_000.0  # m above sea level, start of primaries
THIN_BELOW = 0.3  # GeV: roulette of electrons, positrons and photons created below
THIN_ABOVE = 1000.0  # GeV: showers above get weights energy / THIN_ABOVE
LARGEST_CONE = math.radians(1.4)  # Cherenkov angle at the ground, and some scattering
LARGEST_Z, LARGEST_A = 26, 60


@dataclass(frozen=True, eq=False)
class ShowerResult:
    """What a shower left.

    Attributes
    ----------
    hits : ndarray, shape (n_hits, 3), float32
        Telescope (index), pixel, time (ns); a view of the scene's buffer that the next
        shower overwrites.
    h_first_int : float
        Altitude of the first interaction, m above sea level; NaN if there was none.
    x_max : float
        Slant depth of the largest electron track length, g/cm²; 0 without electrons.
    n_lost : int
        Photo-electrons and particles that did not fit the buffers.
    n_steps : int
        Steps of electrons and positrons.
    track_length : float
        Weighted path of electrons and positrons, g/cm².
    light : float
        Weighted path times 2 pi alpha sin²(theta_c) (m) of tracks within the view; times an
        integral of efficiency / wavelength² (1/m) the number of photons.
    """

    hits: np.ndarray = field(repr=False)
    h_first_int: float
    x_max: float
    n_lost: int
    n_steps: int
    track_length: float
    light: float


class Scene:
    """Tables and buffers for the showers of one site, pointing and set of telescope types.

    Parameters
    ----------
    site : Site
    axes : ndarray, shape (3, 3)
        Unit vectors: increasing altitude, increasing azimuth, pointing direction.
    optics : ndarray, shape (n_types, OPTICS_SIZE)
        A row per telescope type, see `light`.
    lookups : sequence of ndarray, shape (nx, ny), int16
        Pixel by place in the focal plane, per type.
    efficiencies : sequence of (wavelength, efficiency)
        Per type: nm (equally spaced) and photo-electrons per photon, without the optics'
        transmission and filling factor.
    max_hits : int
        Size of the buffer for photo-electrons.
    """

    def __init__(self, site, axes, optics, lookups, efficiencies, max_hits=4_000_000):
        self.site = site
        self.atmosphere = Atmosphere(site)
        optics = np.ascontiguousarray(optics, dtype=float)
        self.axes = np.ascontiguousarray(axes, dtype=float)
        if optics.ndim != 2 or optics.shape[1] != light.OPTICS_SIZE:
            raise SimulationError(
                f"optics of shape {optics.shape}: expected (n_types, {light.OPTICS_SIZE})"
            )
        self.optics = optics
        self.lookups = _stacked(lookups)
        pairs = [(np.asarray(w, float), np.asarray(e, float)) for w, e in efficiencies]
        self.transmission = np.array([self.atmosphere.transmission(w, e) for w, e in pairs])
        self.yields = np.array([trapezoid(e / (w * 1e-9) ** 2, w * 1e-9) for w, e in pairs])
        self.yields *= optics[:, light.TRANSMISSION] * optics[:, light.FILL]
        self.hits = np.zeros((max_hits, 3), np.float32)
        self.record = np.zeros(1, k.SHOWER)
        self._fill_record()

    def _fill_record(self):
        """Tables, and settings that are the same for all showers."""
        record = self.record[0]
        record["grid"] = self.atmosphere.grid
        record["altitude_of_logx"] = self.atmosphere.altitude_of_logx
        record["em"] = tables()
        record["obs"] = self.site.observation_level
        record["north"], record["west"], record["up"] = self.site.field
        record["axis_x"], record["axis_y"], record["axis_z"] = self.axes[2]
        view = math.acos(np.clip(self.optics[:, light.COS_FOV].min(), -1, 1)) + LARGEST_CONE
        record["cos_view"] = math.cos(view) if view < math.pi else -1.0
        record["thin_energy"], record["cut_hidden"] = THIN_BELOW, 1.0


def _stacked(lookups):
    """Pixel tables of all types in one array, filled up with -1."""
    shape = np.max([table.shape for table in lookups], axis=0)
    out = np.full((len(lookups), *shape), -1, np.int16)
    for row, table in zip(out, lookups, strict=True):
        row[: table.shape[0], : table.shape[1]] = table
    return out


def stack_kind(primary_id):
    """Particle number of the compiled code for a ctapipe / CORSIKA-like primary id.

    Raises
    ------
    SimulationError
        If the primary cannot be simulated.
    """
    if primary_id in PRIMARIES:
        return PRIMARIES[primary_id]
    a, z = divmod(primary_id, 100)
    if 2 <= a <= LARGEST_A and 1 <= z < min(a, LARGEST_Z + 1):
        return primary_id
    raise SimulationError(
        f"primary {primary_id} is unknown; known: {', '.join(map(str, PRIMARIES))}"
        f" and nuclei 100 A + Z up to 5626"
    )


def simulate_shower(
    scene, primary_id, energy, direction, telescopes, types, seed, start_altitude=None
):
    """Simulate one shower and its light in all telescopes.

    Parameters
    ----------
    scene : Scene
    primary_id : int
        As ctapipe's ``true_shower_primary_id``: 0 gamma, ±1 electron and positron, ±2 muons,
        101 proton, nuclei 100 A + Z.
    energy : float
        Total energy, GeV.
    direction : array-like, shape (3,)
        Unit vector of motion (x north, y west, z up), downwards.
    telescopes : ndarray, shape (n, 3), m
        Relative to the core, z above the observation level.
    types : ndarray, shape (n,), int
        Row of the scene's optics for each telescope.
    seed : int
        0 to 2^63 - 1.
    start_altitude : float, optional
        m above sea level; default: top of the atmosphere.

    Returns
    -------
    ShowerResult
    """
    kind = stack_kind(primary_id)
    mass = MASS[kind] if kind < NUCLEUS else kind // 100 * NUCLEON_MASS
    direction = np.asarray(direction, dtype=float)
    start = TOP if start_altitude is None else float(start_altitude)
    _check(energy, mass, direction, start, scene.site.observation_level)
    record = scene.record[0]
    record["cos_zenith"] = -direction[2]
    record["thin_weight"] = max(1.0, energy / THIN_ABOVE)
    places = np.array(telescopes, dtype=float).reshape(-1, 3)
    places[:, 2] += scene.site.observation_level
    view = View(
        places,
        np.asarray(types, dtype=np.int64),
        scene.axes,
        scene.optics,
        scene.lookups,
        scene.transmission,
        scene.yields,
        scene.hits,
    )
    cascade(np.uint64(seed), kind, float(energy), start, *direction, view, record)
    return _result(record, scene.hits)


def _check(energy, mass, direction, start, ground):
    """Refuse primaries that cannot fall through the atmosphere."""
    if not energy > mass:
        raise SimulationError(f"energy {energy:g} GeV is not above the primary's mass {mass:g} GeV")
    if abs(np.linalg.norm(direction) - 1) > 1e-6 or direction[2] > -0.1:
        raise SimulationError(f"direction {direction}: expected a unit vector that points down")
    if not ground < start <= TOP:
        raise SimulationError(f"start altitude {start:g} m: expected {ground:g} to {TOP:g} m")


def _result(record, hits):
    """Collect the results of the shower that filled ``record``."""
    return ShowerResult(
        hits=hits[: record["n_hits"]],
        h_first_int=float(record["first"]) if record["first"] >= 0 else math.nan,
        x_max=depth_of_maximum(record["profile"]),
        n_lost=int(record["lost_hits"] + record["lost_particles"]),
        n_steps=int(record["n_steps"]),
        track_length=float(record["track"]),
        light=float(record["light"]),
    )


def depth_of_maximum(profile):
    """Slant depth (g/cm²) of the maximum of the profile, smoothed over three bins."""
    if not profile.any():
        return 0.0
    smooth = np.convolve(profile, np.ones(3) / 3, "same")
    i = int(np.argmax(smooth))
    if 0 < i < len(smooth) - 1:
        left, top, right = smooth[i - 1 : i + 2]
        curvature = left - 2 * top + right
        shift = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    else:
        shift = 0.0
    return float((i + 0.5 + shift) * k.PROFILE_STEP)


@njit(**FAST)
def start_shower(seed, shower):
    """Clear counters and results and seed the random numbers."""
    shower.rng[0] = seed
    for _ in range(4):  # neighbouring seeds part
        shower.rng[0] = np.uint64(k.uniform(shower.rng) * 18446744073709549568.0)
    shower.n_stack = shower.n_hits = shower.n_steps = 0
    shower.lost_hits = shower.lost_particles = 0
    shower.first, shower.track, shower.light = -1.0, 0.0, 0.0
    shower.profile[:] = 0


@njit(**FAST)
def cascade(seed, kind, energy, start, ux, uy, uz, view, shower):
    """Follow a primary and all its descendants."""
    view = View(
        borrowed(view.telescopes), borrowed(view.types), borrowed(view.axes),
        borrowed(view.optics), borrowed(view.lookups), borrowed(view.transmission),
        borrowed(view.yields), borrowed(view.hits),
    )  # fmt: skip
    start_shower(seed, shower)
    far = (start - shower.obs) / -uz
    begin = Ray(-ux * far, -uy * far, start, ux, uy, uz, -far / k.C_M_NS, 1.0)
    push(shower, kind, energy, begin, ux, uy, uz, 1.0)
    while shower.n_stack > 0:
        shower.n_stack -= 1
        s = shower.stack[shower.n_stack]
        ray = Ray(s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9])
        particle, e = int(s[0]), s[1]
        if particle == GAMMA:
            photon(e, ray, shower)
        elif particle <= POSITRON:
            electron(particle, e, ray, view, shower)
        elif particle == RHO:
            collide(PION_P if k.uniform(shower.rng) < 0.5 else PION_M, e, ray, shower)
        else:
            heavy(particle, e, ray, view, shower)
