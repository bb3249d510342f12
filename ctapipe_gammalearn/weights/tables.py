"""Checks of neighbour tables that come from a file."""

import numpy as np

from ..exceptions import LatticeError
from ..lattice import TAPS, index_matrix

__all__ = ["by_pixel", "check_neighbours", "walk"]


def check_neighbours(table, shape="hexagonal"):
    """Raise `LatticeError` unless a first-layer table can belong to a camera.

    Parameters
    ----------
    table : ndarray, shape (n_taps, n_pixels), int
        Pixel numbers, -1 for a missing neighbour; the centre row is the scan order.
    shape : {"hexagonal", "square"}
    """
    n_taps, n_pixels = len(TAPS[shape]), table.shape[-1]
    if table.shape != (n_taps, n_pixels) or n_pixels == 0:
        raise LatticeError(
            f"neighbour table has shape {table.shape}, expected ({n_taps}, n_pixels)"
        )
    if table.min() < -1 or table.max() >= n_pixels:
        raise LatticeError("neighbour table points outside the camera")
    if not np.array_equal(np.sort(table[n_taps // 2]), np.arange(n_pixels)):
        raise LatticeError("neighbour table: the centre row is no permutation of the pixels")
    pixels = by_pixel(table)
    for forth, back in zip(pixels, pixels[::-1], strict=True):
        here = np.flatnonzero(forth >= 0)
        if (back >= 0).sum() != len(here) or not np.array_equal(back[forth[here]], here):
            raise LatticeError("neighbour table is not symmetric")


def by_pixel(table):
    """Table with one column per pixel number instead of scan order."""
    out = np.empty_like(table)
    out[:, table[len(table) // 2]] = table
    return out


def walk(table, shape="hexagonal"):
    """Index matrix that a first-layer table came from, by walking from pixel to pixel.

    Parameters
    ----------
    table : ndarray, shape (n_taps, n_pixels), int
        Checked with `check_neighbours`.

    Returns
    -------
    ndarray, shape (n_rows, n_columns), int64

    Raises
    ------
    LatticeError
        If the pixels do not hang together.
    """
    pixels = by_pixel(table)
    cell = np.zeros((table.shape[1], 2), dtype=np.int64)
    seen = np.arange(table.shape[1]) == 0
    frontier = np.array([0])
    while len(frontier):
        found = []
        for step, neighbour in zip(TAPS[shape], pixels[:, frontier], strict=True):
            new = (neighbour >= 0) & ~seen[neighbour]
            cell[neighbour[new]] = cell[frontier[new]] + step
            seen[neighbour[new]] = True
            found.append(neighbour[new])
        frontier = np.concatenate(found)
    if not seen.all():
        raise LatticeError("neighbour table: the camera falls into separate pieces")
    return index_matrix(*(cell - cell.min(axis=0)).T)
