"""Patches: the cells around a pixel, a small lattice of their own."""

import numpy as np

from .axial import SHAPES
from .camera import CameraLattice

__all__ = ["patch_lattice", "patch_table"]


def patch_lattice(lattice, size):
    """Rhombus of ``size`` x ``size`` cells with the pitch and rotation of a camera.

    Parameters
    ----------
    lattice : CameraLattice
    size : int
        At least 2.

    Returns
    -------
    CameraLattice
        Pixels in row-major order; cell ``size // 2`` of both axes lies at the origin.
    """
    _, row_angle = SHAPES[lattice.shape]
    angles = np.deg2rad([lattice.rotation_deg, lattice.rotation_deg + row_angle])
    row, column = np.indices((size, size)).reshape(2, -1) - size // 2
    x, y = lattice.pitch_m * (
        column * np.array([np.cos(angles[0]), np.sin(angles[0])])[:, None]
        + row * np.array([np.cos(angles[1]), np.sin(angles[1])])[:, None]
    )
    matrix = np.arange(size * size).reshape(size, size)
    return CameraLattice(x, y, lattice.shape, lattice.rotation_deg, lattice.pitch_m, matrix)


def patch_table(lattice, size):
    """Camera pixels of the patch around each pixel.

    Parameters
    ----------
    lattice : CameraLattice
    size : int

    Returns
    -------
    ndarray, shape (n_pixels, size * size), int64
        Row-major; ``n_pixels`` where the patch leaves the camera.
    """
    padded = np.pad(lattice.matrix, size, constant_values=lattice.n_pixels)
    padded[padded < 0] = lattice.n_pixels
    row, column = np.empty((2, lattice.n_pixels), dtype=np.int64)
    where = np.nonzero(lattice.matrix >= 0)
    pixel = lattice.matrix[where]
    row[pixel], column[pixel] = where
    cells = np.arange(size) + size - size // 2
    rows = (row[:, None] + cells)[:, :, None]
    columns = (column[:, None] + cells)[:, None, :]
    return padded[rows, columns].reshape(lattice.n_pixels, -1)
