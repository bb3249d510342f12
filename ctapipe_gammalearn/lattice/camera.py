"""A camera as the network sees it: pixels on a lattice, at several levels of resolution."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from ..exceptions import LatticeError
from .axial import axial_coordinates
from .neighbours import TAPS, index_matrix, neighbour_table, renumber
from .pooling import pooled_matrix

__all__ = ["CameraLattice", "Level", "match_positions"]


@dataclass(frozen=True, eq=False)
class Level:
    """One resolution of the camera.

    Attributes
    ----------
    matrix : ndarray, shape (n_rows, n_columns), int64
        Cell number in row-major order, -1 outside the camera.
    shape : {"hexagonal", "square"}
    """

    matrix: np.ndarray
    shape: str

    @cached_property
    def mask(self):
        """Occupied cells, shape (n_rows, n_columns), bool."""
        return self.matrix >= 0

    @property
    def n_cells(self):
        """Number of occupied cells."""
        return int(self.mask.sum())

    def neighbours(self, stride=1):
        """Neighbour table of this level, shape (n_taps, n_centres); see `neighbour_table`."""
        return neighbour_table(self.matrix, self.shape, stride)


@dataclass(frozen=True, eq=False)
class CameraLattice:
    """Pixel positions in the order of a model and the lattice they form.

    Attributes
    ----------
    pix_x, pix_y : ndarray, shape (n_pixels,), float64, m
        Pixel centres in the camera frame, in the model's pixel order.
    shape : {"hexagonal", "square"}
    rotation_deg : float
        Angle θ of the lattice (degrees); another equivalent angle is another network.
    pitch_m : float
        Distance of neighbouring centres (m).
    matrix : ndarray, shape (n_rows, n_columns), int64
        Pixel number at each cell, -1 where there is none.
    """

    pix_x: np.ndarray = field(repr=False)
    pix_y: np.ndarray = field(repr=False)
    shape: str
    rotation_deg: float
    pitch_m: float
    matrix: np.ndarray = field(repr=False)

    @classmethod
    def from_positions(cls, pix_x, pix_y, shape="hexagonal", rotation_deg=None):
        """Find the lattice of pixel positions (m).

        Raises
        ------
        LatticeError
            See `axial_coordinates`.
        """
        x, y = np.array(pix_x, dtype=float), np.array(pix_y, dtype=float)
        row, column, pitch, rotation = axial_coordinates(x, y, shape, rotation_deg)
        return cls(x, y, shape, rotation, pitch, index_matrix(row, column))

    @property
    def n_pixels(self):
        """Number of pixels."""
        return len(self.pix_x)

    @property
    def n_taps(self):
        """Size of the convolution kernel: 7 (hexagonal) or 9 (square)."""
        return len(TAPS[self.shape])

    @cached_property
    def scan_order(self):
        """Pixel number of each level-0 cell, shape (n_pixels,)."""
        return self.matrix[self.matrix >= 0]

    @cached_property
    def neighbours(self):
        """First layer's table: level-0 cells out, pixel numbers in; shape (n_taps, n_pixels)."""
        return neighbour_table(self.matrix, self.shape).astype(np.int32)

    @cached_property
    def sha256(self):
        """Fingerprint of the lattice: SHA-256 of `neighbours` as little-endian int32."""
        return hashlib.sha256(self.neighbours.astype("<i4").tobytes()).hexdigest()

    def levels(self, n):
        """First ``n`` levels, each with every second row and column of the one before.

        Returns
        -------
        tuple of Level
        """
        matrices = [renumber(self.matrix)]
        while len(matrices) < n:
            matrices.append(pooled_matrix(matrices[-1]))
        return tuple(Level(m, self.shape) for m in matrices)


def match_positions(model_x, model_y, file_x, file_y, tolerance):
    """Which pixel of a file stands at the position of each model pixel.

    Parameters
    ----------
    model_x, model_y : ndarray, shape (n_pixels,), m
    file_x, file_y : ndarray, shape (n_file,), m
    tolerance : float
        Largest distance of two positions of one pixel (m).

    Returns
    -------
    ndarray, shape (n_pixels,), int64
        ``image_model = image_file[..., order]``.

    Raises
    ------
    LatticeError
        Unless every pixel of either side has exactly one partner.
    """
    if len(model_x) != len(file_x):
        raise LatticeError(f"{len(file_x)} pixels instead of {len(model_x)}")
    tree = cKDTree(np.column_stack([file_x, file_y]))
    distance, order = tree.query(np.column_stack([model_x, model_y]))
    if not distance.max() <= tolerance:
        raise LatticeError(
            f"{(~(distance <= tolerance)).sum()} of {len(model_x)} pixels are not where the"
            f" model expects them (up to {1e3 * distance.max():.1f} mm off)"
        )
    if len(np.unique(order)) != len(order):
        raise LatticeError("two pixels share one position")
    return order.astype(np.int64)
