"""Which images are used: tail-cuts cleaning and cuts on the cleaned image."""

from dataclasses import asdict, dataclass, fields

import numpy as np

from ..exceptions import TrainingError
from ..lattice import TAPS

__all__ = [
    "Cleaning",
    "Selection",
    "clean",
    "fill_summaries",
    "outer_rings",
    "pixel_neighbours",
    "select",
    "summaries",
]

CHUNK = 1024  # images cleaned at once


@dataclass(frozen=True)
class Cleaning:
    """Thresholds of the tail-cuts cleaning.

    Attributes
    ----------
    picture_pe, boundary_pe : float, p.e.
    min_neighbours : int
        A picture pixel needs that many neighbours above ``picture_pe``.
    """

    picture_pe: float = 8.0
    boundary_pe: float = 4.0
    min_neighbours: int = 2


@dataclass(frozen=True)
class Selection:
    """Cuts on the cleaned image; the loosest that are used at inference.

    Attributes
    ----------
    min_intensity : float, p.e.
    min_pixels : int
    max_leakage : float
        Largest fraction of the charge in the outer two rings of pixels.
    """

    min_intensity: float = 50.0
    min_pixels: int = 4
    max_leakage: float = 0.5

    @classmethod
    def from_dict(cls, values):
        """Selection of plain values.

        Raises
        ------
        TrainingError
            For an unknown key.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise TrainingError(f"selection: unknown key {key}; known: {', '.join(known)}")
        return cls(**values)

    def to_dict(self):
        """Plain values."""
        return asdict(self)


def select(events, selection):
    """Images that pass the cuts.

    Parameters
    ----------
    events : ndarray, shape (n,), with fields ``intensity``, ``n_pixels`` and ``leakage``
    selection : Selection

    Returns
    -------
    ndarray, shape (n,), bool
        False also where nothing survived the cleaning.
    """
    passed = events["intensity"] > selection.min_intensity
    passed &= events["n_pixels"] >= selection.min_pixels
    # an empty image has a leakage of NaN
    return passed & (events["leakage"] <= selection.max_leakage)


def pixel_neighbours(lattice):
    """Neighbours of each pixel, without itself.

    Parameters
    ----------
    lattice : CameraLattice

    Returns
    -------
    ndarray, shape (n_neighbours, n_pixels), int64
        Pixel numbers; ``n_pixels`` where there is no neighbour.  Six for hexagonal pixels;
        the four that share a side for square ones, as in ctapipe.
    """
    taps = TAPS[lattice.shape]
    if lattice.shape == "square":
        rows = [i for i, tap in enumerate(taps) if abs(tap[0]) + abs(tap[1]) == 1]
    else:
        rows = [i for i, tap in enumerate(taps) if tap != (0, 0)]
    table = np.empty((len(rows), lattice.n_pixels), dtype=np.int64)
    table[:, lattice.scan_order] = lattice.neighbours[rows]
    table[table < 0] = lattice.n_pixels
    return table


def outer_rings(lattice, width=2):
    """Pixels of the outer rings of the camera.

    Parameters
    ----------
    lattice : CameraLattice
    width : int
        Number of rings.

    Returns
    -------
    ndarray, shape (n_pixels,), bool
    """
    table = pixel_neighbours(lattice)
    ring = (table == lattice.n_pixels).any(axis=0)
    for _ in range(width - 1):
        # as ctapipe: the next ring is every pixel with a neighbour in this one
        ring = np.append(ring, False)[table].any(axis=0)
    return ring


def clean(image, neighbours, cleaning):
    """Tail-cuts cleaning, as ``ctapipe.image.tailcuts_clean`` without isolated pixels.

    Parameters
    ----------
    image : ndarray, shape (n_pixels, n), p.e.
        One column per image, so that the neighbours of all images are read together.
    neighbours : ndarray, shape (n_neighbours, n_pixels), int
        See `pixel_neighbours`.
    cleaning : Cleaning
        Or anything with its attributes.

    Returns
    -------
    ndarray, shape (n_pixels, n), bool
    """
    picture = image >= cleaning.picture_pe
    boundary = image >= cleaning.boundary_pe
    if cleaning.min_neighbours > 0:
        picture &= _count(picture, neighbours) >= cleaning.min_neighbours
    beside_picture = _count(picture, neighbours) > 0
    beside_boundary = _count(boundary, neighbours) > 0
    return (boundary & beside_picture) | (picture & beside_boundary)


def _count(mask, neighbours):
    """Number of neighbours in a mask, shape (n_pixels, n), uint8."""
    padded = np.zeros((len(mask) + 1, mask.shape[1]), dtype=np.uint8)
    padded[:-1] = mask
    count = padded[neighbours[0]]
    for row in neighbours[1:]:
        count += padded[row]
    return count


def summaries(image, lattice, shower=None):
    """Size of cleaned images.

    Parameters
    ----------
    image : ndarray, shape (n, n_pixels), p.e.
    lattice : CameraLattice
    shower : Cleaning or nn.InputSettings, optional
        Thresholds; default: those of `Cleaning`.

    Returns
    -------
    intensity : ndarray, shape (n,), float32, p.e.
    n_pixels : ndarray, shape (n,), int32
    leakage : ndarray, shape (n,), float32
        Fraction of the intensity in the outer two rings; NaN if nothing survived.
    """
    cleaning = Cleaning() if shower is None else shower
    neighbours, border = pixel_neighbours(lattice), outer_rings(lattice)
    n = len(image)
    intensity, outside = np.zeros((2, n))
    n_pixels = np.zeros(n, dtype=np.int32)
    for start in range(0, n, CHUNK):
        here = slice(start, start + CHUNK)
        columns = np.ascontiguousarray(np.asarray(image[here], dtype=np.float32).T)
        mask = clean(columns, neighbours, cleaning)
        kept = np.where(mask, columns, 0)
        intensity[here] = kept.sum(axis=0, dtype=np.float64)
        outside[here] = kept[border].sum(axis=0, dtype=np.float64)
        n_pixels[here] = mask.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        leakage = np.where(n_pixels > 0, outside / intensity, np.nan)
    return intensity.astype(np.float32), n_pixels, leakage.astype(np.float32)


def fill_summaries(events, image, lattice, shower=None):
    """Set the columns ``intensity``, ``n_pixels`` and ``leakage`` of events in place.

    Parameters
    ----------
    events : ndarray, shape (n,), `arrays.EVENT_DTYPE`
    image : ndarray, shape (n, n_pixels), p.e.
    lattice : CameraLattice
    shower : Cleaning or nn.InputSettings, optional
    """
    for name, values in zip(
        ("intensity", "n_pixels", "leakage"), summaries(image, lattice, shower), strict=True
    ):
        events[name] = values
