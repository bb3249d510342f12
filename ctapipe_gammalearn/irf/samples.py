"""Simulated samples as plain arrays: what was thrown, what was reconstructed, and by whom.

Energies in TeV, angles in degrees, lengths in metres; row by row the same event everywhere.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from ..exceptions import IRFError

__all__ = [
    "RECO_EDGES",
    "Reconstruction",
    "Sample",
    "Thrown",
    "cluster_key",
    "in_first_half",
    "in_ring",
    "power_integral",
    "solid_angle",
    "splitmix64",
]

#: edges of the bins of reconstructed energy (TeV): five a decade, 12.6 GeV to 200 TeV
RECO_EDGES = 10.0 ** (-1.9 + 0.2 * np.arange(22))
# narrower cones are points: a rounding difference is no solid angle to divide by
POINT_CONE_DEG = 0.01
# of a sample, beside its reconstructions
COLUMNS = ("true_energy", "true_offset", "cluster", "quality")


@dataclass(frozen=True)
class Thrown:
    """Simulated showers of one sample.

    Attributes
    ----------
    n_showers : float
        Thrown showers, every use counted.
    index : float
        Of dN/dE ∝ E^index, negative.
    energy_min, energy_max : float, TeV
    max_impact : float, m
        Radius of the disc of core positions.
    viewcone_min, viewcone_max : float, deg
        Directions to the pointing; equal for a point source or a ring.

    Raises
    ------
    IRFError
        Numbers that describe no simulation.
    """

    n_showers: float
    index: float
    energy_min: float
    energy_max: float
    max_impact: float
    viewcone_min: float
    viewcone_max: float

    def __post_init__(self):
        if not all(np.isfinite(getattr(self, f.name)) for f in fields(self)):
            raise IRFError(f"{self}: not finite; check the simulation settings of the file")
        if not 0 < self.energy_min < self.energy_max:
            raise IRFError(
                f"thrown energies {self.energy_min:g} to {self.energy_max:g} TeV are no range;"
                " check the simulation settings of the file"
            )
        if self.n_showers <= 0 or self.max_impact <= 0 or self.index >= 0:
            raise IRFError(
                f"{self.n_showers:g} showers within {self.max_impact:g} m, spectral index"
                f" {self.index:g}: expected two positive numbers and a negative one; check the"
                " simulation settings of the file"
            )
        if not 0 <= self.viewcone_min <= self.viewcone_max <= 180:
            raise IRFError(
                f"view cone {self.viewcone_min:g} to {self.viewcone_max:g} deg is none; check"
                " the simulation settings of the file"
            )

    @property
    def area(self):
        """Area of the core positions, m2."""
        return np.pi * self.max_impact**2

    @property
    def is_point(self):
        """Whether all directions have the same offset: a point source or a ring."""
        return self.viewcone_max - self.viewcone_min < POINT_CONE_DEG

    @property
    def solid_angle(self):
        """Solid angle of the directions, sr; 0 for a point source."""
        if self.is_point:
            return 0.0
        return float(solid_angle(self.viewcone_min, self.viewcone_max))

    def showers_in(self, edges):
        """Expected number of showers between edges of true energy.

        Parameters
        ----------
        edges : array_like, shape (n_bins + 1,), TeV

        Returns
        -------
        ndarray, shape (n_bins,)
            A bin that the simulation covers in part holds what was thrown there, one outside 0.
        """
        edges = np.clip(np.asarray(edges, dtype=np.float64), self.energy_min, self.energy_max)
        whole = power_integral(self.index, self.energy_min, self.energy_max)
        return self.n_showers * power_integral(self.index, edges[:-1], edges[1:]) / whole

    def part(self, fraction):
        """Return the showers of which ``fraction`` was kept."""
        return replace(self, n_showers=self.n_showers * fraction)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What one reconstructor says of all events of a sample.

    Attributes
    ----------
    energy : ndarray, shape (n,), TeV
    gammaness : ndarray, shape (n,), float64
        Grows with the probability of a gamma; never rounded to float32, where scores tie at 1.
    theta : ndarray, shape (n,), deg
        From the true to the reconstructed direction.
    offset : ndarray, shape (n,), deg
        From the pointing to the reconstructed direction.
    valid : ndarray, shape (n,), bool
        Reconstructed; a row with a NaN never is.

    Raises
    ------
    IRFError
        Columns of different lengths.
    """

    energy: np.ndarray
    gammaness: np.ndarray
    theta: np.ndarray
    offset: np.ndarray
    valid: np.ndarray

    def __post_init__(self):
        valid = np.array(self.valid, dtype=bool)
        for name in ("energy", "gammaness", "theta", "offset"):
            column = np.asarray(getattr(self, name), dtype=np.float64)
            if column.shape != valid.shape:
                raise IRFError(
                    f"{name}: {column.shape} values for {valid.shape} events; give one each"
                )
            object.__setattr__(self, name, column)
            valid &= np.isfinite(column)
        object.__setattr__(self, "valid", valid)

    def take(self, index):
        """Rows ``index`` (numbers or mask) as a new reconstruction."""
        return Reconstruction(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


@dataclass(frozen=True, eq=False)
class Sample:
    """Events of one kind of particle, with all reconstructions of them.

    Attributes
    ----------
    kind : str
        ``gamma``, ``gamma_diffuse``, ``proton`` or ``electron``.
    thrown : Thrown
    true_energy : ndarray, shape (n,), TeV
    true_offset : ndarray, shape (n,), deg
        From the pointing to the true direction.
    cluster : ndarray, shape (n,), uint64
        All uses of one shower, and all its telescopes, share it: see `cluster_key`.
    quality : ndarray, shape (n,), bool
        Passes the selection that all reconstructions share.
    reconstructions : dict of str to Reconstruction

    Raises
    ------
    IRFError
        Columns of different lengths.
    """

    kind: str
    thrown: Thrown
    true_energy: np.ndarray
    true_offset: np.ndarray
    cluster: np.ndarray
    quality: np.ndarray
    reconstructions: dict[str, Reconstruction]

    def __post_init__(self):
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        lengths |= {name: len(r.valid) for name, r in self.reconstructions.items()}
        if len(set(lengths.values())) > 1:
            raise IRFError(
                f"{self.kind}: columns of different lengths, {lengths}; give one row each"
            )

    def __len__(self):
        return len(self.true_energy)

    def take(self, index):
        """Rows ``index`` (numbers or mask); ``thrown`` stays, see `Thrown.part`."""
        return replace(
            self,
            **{name: getattr(self, name)[index] for name in COLUMNS},
            reconstructions={k: r.take(index) for k, r in self.reconstructions.items()},
        )

    def halves(self):
        """Masks (n,) of two halves; all uses of a shower are in the same one."""
        first = in_first_half(self.cluster)
        return first, ~first


def in_ring(sample, low, high):
    """Events whose true direction is in a ring around the pointing, and what was thrown there.

    Parameters
    ----------
    sample : Sample
    low, high : float, deg

    Returns
    -------
    Sample
        A point source is not divided.
    """
    inside = (sample.true_offset >= low) & (sample.true_offset < high)
    thrown = sample.thrown
    if not thrown.is_point:
        first, last = np.clip([low, high], thrown.viewcone_min, thrown.viewcone_max)
        part = solid_angle(first, last) / thrown.solid_angle
        # nothing thrown, nothing seen: any number of showers will do
        if part > 0:
            thrown = replace(thrown.part(part), viewcone_min=first, viewcone_max=last)
    return replace(sample.take(inside), thrown=thrown)


def in_first_half(cluster):
    """Whether showers (n,), by their keys, belong to the first of two halves, bool."""
    # one more round, as the key may be a plain number whose parity means something
    return (splitmix64(cluster) & np.uint64(1)) == 0


def cluster_key(*parts):
    """One number for all uses of a shower.

    Parameters
    ----------
    *parts : array_like, shape (n,) or (), int or float
        What tells one shower from another: primary, obs_id, ``event_id // 100`` (sim_telarray
        numbers the uses of a shower by the last two digits); or, where that does not hold,
        obs_id and true energy and direction, of which every bit counts.

    Returns
    -------
    ndarray, shape (n,), uint64
    """
    key = np.uint64(0)
    for part in parts:
        part = np.asarray(part)
        if part.dtype.kind == "f":
            bits = part.astype(np.float64).view(np.uint64)
        else:
            bits = part.astype(np.uint64)
        key = splitmix64(key ^ bits)
    return key


def splitmix64(x):
    """Mix the bits of whole numbers: neighbours become unrelated, and none get lost.

    Parameters
    ----------
    x : array_like of int, taken as uint64

    Returns
    -------
    ndarray of uint64, shape of ``x``

    References
    ----------
    Steele, Lea & Flood 2014, https://doi.org/10.1145/2660193.2660195
    """
    with np.errstate(over="ignore"):
        z = np.asarray(x).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def solid_angle(low, high):
    """Solid angle (sr) between two offsets (deg); arrays are broadcast."""
    return 2 * np.pi * (np.cos(np.deg2rad(low)) - np.cos(np.deg2rad(high)))


def power_integral(index, low, high):
    """Integral of E^index from ``low`` to ``high``; also of 1 / E."""
    if index == -1:
        return np.log(high / low)
    return (high ** (index + 1) - low ** (index + 1)) / (index + 1)
