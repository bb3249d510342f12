"""Square images of a camera by linear interpolation between its pixels."""

import numpy as np

from .cartesian import Mapping

__all__ = ["camera_mapping"]

#: offsets (row, column) of the lattice points around a position
_CORNERS = np.array([(0, 0), (1, 1), (1, 0), (0, 1)])
#: weights below are rounding noise
_LEAST = 1e-6


def camera_mapping(lattice):
    """Interpolation of a camera onto a square grid that just covers it.

    The grid has as many rows and columns as the lattice, 55 x 55 for LSTCam, so that both
    networks see images of the same size.  A cell is a mean of the three pixels of its
    triangle (barycentric; bilinear between four on square lattices).  At the border of the
    camera absent pixels are left out, and cells whose nearest lattice point is no pixel
    stay empty: the weights of a cell sum to 1 or 0.

    Parameters
    ----------
    lattice : CameraLattice

    Returns
    -------
    Mapping
        Rows along y, columns along x, both increasing.
    """
    n = max(lattice.matrix.shape)
    xy = np.column_stack([lattice.pix_x, lattice.pix_y])
    low, high = xy.min(0), xy.max(0)
    steps = np.linspace(-0.5, 0.5, n) * (high - low).max()
    y, x = np.meshgrid(steps, steps, indexing="ij")
    points = (low + high) / 2 + np.column_stack([x.ravel(), y.ravel()])
    pixel, weight = _surroundings(lattice, points)
    nearest = np.take_along_axis(pixel, weight.argmax(1)[:, None], 1)
    weight[(pixel < 0) | (nearest < 0)] = 0
    weight /= np.maximum(weight.sum(1, keepdims=True), _LEAST)
    cell, corner = np.nonzero(weight > _LEAST)
    return Mapping(
        pixel[cell, corner].astype(np.int32),
        cell.astype(np.int32),
        weight[cell, corner].astype(np.float32),
        (n, n),
        lattice.n_pixels,
    )


def _surroundings(lattice, points):
    """Pixels (n, 4), -1 for none, around positions (n, 2; m), and their weights."""
    matrix = lattice.matrix
    where = np.argwhere(matrix >= 0)
    pixel = matrix[tuple(where.T)]
    known = np.column_stack([lattice.pix_x, lattice.pix_y, np.ones(lattice.n_pixels)])[pixel]
    affine, *_ = np.linalg.lstsq(known, where.astype(float), rcond=None)
    position = np.column_stack([points, np.ones(len(points))]) @ affine  # row, column
    base = np.floor(position).astype(int)
    a, b = (position - base).T
    if lattice.shape == "hexagonal":  # the shorter diagonal joins (0, 0) and (1, 1)
        weights = 1 - np.maximum(a, b), np.minimum(a, b), (a - b).clip(0), (b - a).clip(0)
    else:
        weights = (1 - a) * (1 - b), a * b, a * (1 - b), (1 - a) * b
    around = (base[:, None] + _CORNERS + 1).clip(0, np.array(matrix.shape) + 1)
    padded = np.pad(matrix, 1, constant_values=-1)
    return padded[around[..., 0], around[..., 1]], np.stack(weights, 1)
