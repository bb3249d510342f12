"""Random energies, directions and cores of the showers of a run.

Every shower has its own generator, seeded by the run's seed and the shower's number, so any
shower of a run can be made again alone.
"""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "Throw",
    "ThrownShowers",
    "max_impact",
    "nsb_levels",
    "sample_throw",
    "source_direction",
    "telescope_axes",
    "unit_vector",
]

SEEDS = 2**31


def unit_vector(alt, az):
    """Unit vector towards (alt, az) (rad) in the frame x north, y west, z up."""
    return np.array([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)])


def telescope_axes(alt, az):
    """Directions of increasing altitude, of increasing azimuth, and of the axis: rows, (3, 3)."""
    return np.array([
        [-np.sin(alt) * np.cos(az), np.sin(alt) * np.sin(az), np.cos(alt)],
        [-np.sin(az), -np.cos(az), 0.0],
        unit_vector(alt, az),
    ])  # fmt: skip


@dataclass(frozen=True, eq=False)
class Throw:
    """All uses of one shower number.

    Attributes
    ----------
    shared : bool
        One shower seen at all positions; otherwise each use is a shower of its own.
    energy : ndarray, shape (reuse,), TeV
    source : ndarray, shape (reuse, 3)
        Unit vectors towards the direction of origin.
    core : ndarray, shape (reuse, 2), m
        Core positions on the ground.
    distance : ndarray, shape (reuse,), m
        Of the core from the array centre, normal to the shower axis.
    nsb : ndarray, shape (reuse,)
        Night-sky background, in units of the dark sky.
    seed : ndarray, shape (reuse,), int
        Of the shower.
    camera_seed : ndarray, shape (reuse, n_tel), int
    """

    shared: bool
    energy: np.ndarray
    source: np.ndarray
    core: np.ndarray
    distance: np.ndarray
    nsb: np.ndarray
    seed: np.ndarray
    camera_seed: np.ndarray


def power_law(v, low, high, index):
    """Quantile ``v`` of a power law dN/dE ~ E^index between ``low`` and ``high``."""
    g = index + 1
    if abs(g) < 1e-9:
        energy = low * (high / low) ** v
    else:
        energy = (low**g + v * (high**g - low**g)) ** (1 / g)
    return np.clip(energy, low, high)


def source_direction(run):
    """Direction of a point source, or the pointing of a diffuse run: unit vector, shape (3,)."""
    axes = telescope_axes(np.deg2rad(run.pointing_alt), np.deg2rad(run.pointing_az))
    offset, angle = np.deg2rad(run.source_offset), np.deg2rad(run.source_angle)
    local = [np.sin(offset) * np.sin(angle), np.sin(offset) * np.cos(angle), np.cos(offset)]
    return axes.T @ local


def _directions(run, rng, n):
    """Directions of origin of ``n`` showers, shape (n, 3)."""
    v, phi = rng.random(n), 2 * np.pi * rng.random(n)
    if run.is_point_source:
        return np.tile(source_direction(run), (n, 1))
    low, high = np.cos(np.deg2rad(run.viewcone))
    cos = low + (high - low) * v
    sin = np.sqrt(np.maximum(0.0, 1 - cos**2))
    axes = telescope_axes(np.deg2rad(run.pointing_alt), np.deg2rad(run.pointing_az))
    return np.column_stack([sin * np.cos(phi), sin * np.sin(phi), cos]) @ axes


def _cores(source, radius, phi):
    """Points at (radius, phi) normal to each direction, projected along it to the ground."""
    horizontal = np.hypot(source[:, 0], source[:, 1])
    flat = horizontal < 1e-12
    cos_az = np.where(flat, 1.0, source[:, 0] / np.where(flat, 1.0, horizontal))
    sin_az = np.where(flat, 0.0, -source[:, 1] / np.where(flat, 1.0, horizontal))
    sin_alt = source[:, 2]
    up = np.column_stack([-sin_alt * cos_az, sin_alt * sin_az, horizontal])
    side = np.column_stack([-sin_az, -cos_az, np.zeros(len(source))])
    point = (radius * np.cos(phi))[:, None] * up + (radius * np.sin(phi))[:, None] * side
    return (point - (point[:, 2] / sin_alt)[:, None] * source)[:, :2]


def sample_throw(run, shower, n_tel):
    """Draw everything about a shower that is not decided by physics.

    Parameters
    ----------
    run : RunConfig
    shower : int
        Number of the shower; with the run's seed it fixes all values.
    n_tel : int

    Returns
    -------
    Throw
    """
    rng = np.random.default_rng([run.seed, shower])
    n = run.reuse
    energy = np.full(n, power_law(rng.random(), run.energy_min, run.energy_max, run.spectral_index))
    source = np.repeat(_directions(run, rng, 1), n, axis=0)
    distance = run.scatter_radius * np.sqrt(rng.random(n))
    phi = 2 * np.pi * rng.random(n)
    low, high = run.nsb
    nsb = low * (high / low) ** rng.random(n) if high > low else np.full(n, high)
    seed = np.full(n, rng.integers(SEEDS))
    camera_seed = rng.integers(SEEDS, size=(n, n_tel))
    above = run.independent_above
    shared = above is None or n == 1 or energy[0] < above
    if not shared:
        # thrown energies keep the run's spectrum: redrawn from its part above the limit
        least = max(above, run.energy_min)
        energy = power_law(rng.random(n), least, run.energy_max, run.spectral_index)
        source = _directions(run, rng, n)
        seed = rng.integers(SEEDS, size=n)
    return Throw(
        shared, energy, source, _cores(source, distance, phi), distance, nsb, seed, camera_seed
    )


def nsb_levels(run, event_ids):
    """Night-sky background of events of a run, which DL1 files have no column for.

    Parameters
    ----------
    run : RunConfig
        As it was simulated: the description beside the file.
    event_ids : array-like, shape (n,), int

    Returns
    -------
    ndarray, shape (n,)
        In units of the dark sky.
    """
    event_ids = np.asarray(event_ids, dtype=np.int64)
    showers, index = np.unique(event_ids // 100, return_inverse=True)
    levels = np.array([sample_throw(run, int(shower), 1).nsb for shower in showers])
    return levels.reshape(-1, run.reuse)[index, event_ids % 100]


def max_impact(energy, primary_id, zenith):
    """Impact distance beyond which no trigger is expected: counted as thrown, not simulated.

    Parameters
    ----------
    energy : float
        TeV.
    primary_id : int
    zenith : float
        rad; light pools widen with the distance of the shower maximum.

    Returns
    -------
    float
        m.
    """
    wider = max(1.0, np.cos(np.deg2rad(20)) / max(np.cos(zenith), 0.3))
    if abs(primary_id) == 2:
        return 260.0 * wider
    light_pool = 300.0 * (energy / 0.02) ** 0.27
    # hadronic showers send single muons and sub-showers far out
    return wider * (2 * light_pool + 100.0 if primary_id > 100 else light_pool)


class ThrownShowers:
    """Energies and core distances of all thrown events of a run, drawn again where needed."""

    def __init__(self, run):
        self.run = run
        self.energy = np.full((run.n_showers, run.reuse), np.nan)
        self.distance = np.full((run.n_showers, run.reuse), np.nan)

    def add(self, shower, throw):
        """Note the values of a shower."""
        row = shower - self.run.first_shower
        self.energy[row], self.distance[row] = throw.energy, throw.distance

    def histogram(self, energy_edges, distance_edges):
        """Number of thrown events, shape (n_energy, n_distance)."""
        for row in np.flatnonzero(np.isnan(self.energy[:, 0])):
            shower = int(row) + self.run.first_shower
            self.add(shower, sample_throw(self.run, shower, 1))
        edges = [energy_edges, distance_edges]
        return np.histogram2d(self.energy.ravel(), self.distance.ravel(), edges)[0]
