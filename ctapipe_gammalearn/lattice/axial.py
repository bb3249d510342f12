"""Integer (row, column) coordinates of camera pixels, from their positions alone.

Conventions: with e(φ) = (cos φ, sin φ), one column step is ``pitch · e(θ)`` and one row
step is ``pitch · e(θ - 120°)`` on a hexagonal, ``pitch · e(θ - 90°)`` on a square lattice.
θ is the lattice rotation, defined by the positions only modulo 60° (90°): which of the
six (four) equivalent values is taken fixes the orientation of every convolution kernel.
"""

import numpy as np
from scipy.spatial import cKDTree

from ..exceptions import LatticeError

__all__ = ["SHAPES", "axial_coordinates", "fit_lattice"]

#: symmetry of the lattice and angle from the column to the row direction (degrees)
SHAPES = {"hexagonal": (6, -120.0), "square": (4, -90.0)}

#: largest allowed distance of a pixel from its lattice point, in units of the pitch
MAX_RESIDUAL = 0.1


def _unit(angle_deg):
    """Unit vector at an angle in degrees."""
    return np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))])


def fit_lattice(pix_x, pix_y, shape="hexagonal"):
    """Fit pitch and rotation of a regular lattice to pixel centres.

    Parameters
    ----------
    pix_x, pix_y : ndarray, shape (n_pixels,), m
        Pixel centres, any order.
    shape : {"hexagonal", "square"}

    Returns
    -------
    pitch : float
        Distance of neighbouring centres (m).
    rotation : float
        Angle θ (degrees) in [0, 60) for hexagonal, [0, 90) for square lattices.

    Raises
    ------
    LatticeError
        With fewer than three pixels, non-finite or coinciding positions.
    """
    symmetry, _ = SHAPES[shape]
    xy = np.column_stack([pix_x, pix_y]).astype(float)
    if len(xy) < 3 or not np.isfinite(xy).all():
        raise LatticeError(f"a lattice needs >= 3 finite pixel positions, got {len(xy)} pixels")
    distance, index = cKDTree(xy).query(xy, min(symmetry + 1, len(xy)))
    nearest = np.median(distance[:, 1])
    if not distance[:, 1].min() > 0.5 * nearest:
        raise LatticeError("pixel positions coincide: no regular lattice")
    pixel, slot = np.nonzero(distance[:, 1:] < 1.25 * nearest)
    step = xy[index[pixel, slot + 1]] - xy[pixel]
    angle = np.arctan2(step[:, 1], step[:, 0])
    mean_angle = np.angle(np.exp(1j * symmetry * angle).mean()) / symmetry
    pitch = np.hypot(*step.T).mean()
    # an angle of 59.9999999° is 0° with rounding noise
    period = 360.0 / symmetry
    rotation = (np.rad2deg(mean_angle) + 1e-6) % period - 1e-6
    return float(pitch), round(float(rotation), 6) + 0.0


def axial_coordinates(pix_x, pix_y, shape="hexagonal", rotation_deg=None):
    """Row and column of each pixel on its lattice, both starting at 0.

    Parameters
    ----------
    pix_x, pix_y : ndarray, shape (n_pixels,), m
    shape : {"hexagonal", "square"}
    rotation_deg : float, optional
        Lattice rotation θ (degrees); default: the one in [0, 60) or [0, 90).

    Returns
    -------
    row, column : ndarray, shape (n_pixels,), int64
    pitch : float
        m
    rotation : float
        degrees; ``rotation_deg`` where given.

    Raises
    ------
    LatticeError
        Positions off the lattice by more than a tenth of the pitch, two pixels in one
        cell, or a ``rotation_deg`` that is not a direction of this lattice.
    """
    pitch, fitted = fit_lattice(pix_x, pix_y, shape)
    symmetry, row_angle = SHAPES[shape]
    rotation = fitted if rotation_deg is None else float(rotation_deg)
    period = 360.0 / symmetry
    if abs((rotation - fitted + period / 2) % period - period / 2) > 1.0:
        raise LatticeError(
            f"rotation {rotation:.3f} deg is no axis of this lattice (axes at {fitted:.3f} deg"
            f" + n x {period:.0f} deg)"
        )
    xy = np.column_stack([pix_x, pix_y]).astype(float)
    if shape == "hexagonal":
        row, column = _hexagonal(xy, pitch, rotation)
    else:
        row = _bins(xy @ _unit(rotation + row_angle), pitch)
        column = _bins(xy @ _unit(rotation), pitch)
    cells = row * (column.max() + 1) + column
    if len(np.unique(cells)) != len(cells):
        raise LatticeError("two pixels fall into one lattice cell: no regular lattice")
    return row, column, pitch, rotation


def _hexagonal(xy, pitch, rotation):
    """Closed form of the axial coordinates (row, column)."""
    a = xy @ _unit(rotation) / pitch
    b = xy @ _unit(rotation - 120.0) / pitch
    exact = np.stack([(4 * b + 2 * a) / 3, (4 * a + 2 * b) / 3])
    # the centre of the camera need not be a pixel: take the common offset out first
    offset = np.angle(np.exp(2j * np.pi * exact).mean(axis=1)) / (2 * np.pi)
    index = np.rint(exact - offset[:, None])
    residual = exact - offset[:, None] - index
    # the two axes are at 120°: |r|² = c² + r² - c r
    worst = np.sqrt((residual**2).sum(0) - residual.prod(0)).max()
    if worst > MAX_RESIDUAL:
        raise LatticeError(f"a pixel is {worst:.2f} pitches off its lattice point")
    row, column = (index - index.min(axis=1, keepdims=True)).astype(np.int64)
    return row, column


def _bins(coordinate, pitch):
    """Number the rows of a square camera along one axis, gaps between modules closed.

    Rows are bunches of coordinates: on curved focal surfaces a row is not a line, but
    its spread stays below the distance to the next one.
    """
    order = np.argsort(coordinate, kind="stable")
    steps = np.diff(coordinate[order]) > 0.4 * pitch
    index = np.empty(len(coordinate), dtype=np.int64)
    index[order] = np.concatenate([[0], np.cumsum(steps)])
    return index
