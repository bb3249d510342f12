"""Rotations of a camera onto itself: exact permutations of its pixels."""

import numpy as np

from ..exceptions import LatticeError
from .axial import SHAPES
from .camera import match_positions

__all__ = ["rotation_permutations"]

TOLERANCE = 0.1  # of the pitch


def rotation_permutations(lattice):
    """Pixel permutations of all rotations about the optical axis that keep the camera.

    Parameters
    ----------
    lattice : CameraLattice

    Returns
    -------
    ndarray, shape (n_rotations, n_pixels), int64
        Six rows for hexagonal, four for square pixels.  ``image[..., table[k]]`` is the
        image rotated by ``+k * 360 / n_rotations`` degrees in the camera frame (x, y).

    Raises
    ------
    LatticeError
        If the camera is not symmetric about its origin.
    """
    symmetry, _ = SHAPES[lattice.shape]
    table = [np.arange(lattice.n_pixels)]
    for k in range(1, symmetry):
        angle = 2 * np.pi * k / symmetry
        cos, sin = np.cos(angle), np.sin(angle)
        # what is seen at p after the rotation was at R(-angle) p before
        x = cos * lattice.pix_x + sin * lattice.pix_y
        y = cos * lattice.pix_y - sin * lattice.pix_x
        tolerance = TOLERANCE * lattice.pitch_m
        try:
            table.append(match_positions(x, y, lattice.pix_x, lattice.pix_y, tolerance))
        except LatticeError:
            raise LatticeError(
                f"the camera has no rotation by {360 // symmetry} degrees about its centre;"
                " switch rotations off"
            ) from None
    return np.stack(table)
