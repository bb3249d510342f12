"""Index matrices and neighbour tables: who is next to whom on a camera lattice.

An *index matrix* holds at each lattice cell the number of the pixel there, -1 where the
camera has none.  A *neighbour table* has one row per kernel tap and one column per output
cell; its entries are input numbers, -1 for a missing neighbour.  Both equal those of
`indexedconv` (Jacquemont et al. 2019, doi:10.5220/0007364303620371), built here in closed
form instead of by loops over cells.
"""

import numpy as np

__all__ = ["TAPS", "index_matrix", "neighbour_table", "renumber"]

#: (Δrow, Δcolumn) of each kernel tap, row-major as in the weights
TAPS = {
    "hexagonal": ((-1, -1), (-1, 0), (0, -1), (0, 0), (0, 1), (1, 0), (1, 1)),
    "square": tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)),
}


def index_matrix(row, column):
    """Index matrix of pixels at the given cells.

    Parameters
    ----------
    row, column : ndarray, shape (n_pixels,), int

    Returns
    -------
    ndarray, shape (n_rows, n_columns), int64
        Pixel number, or -1.
    """
    matrix = np.full((row.max() + 1, column.max() + 1), -1, dtype=np.int64)
    matrix[row, column] = np.arange(len(row))
    return matrix


def renumber(matrix):
    """Number the occupied cells of an index matrix 0, 1, 2, … in row-major order."""
    occupied = matrix >= 0
    out = np.full(matrix.shape, -1, dtype=np.int64)
    out[occupied] = np.arange(occupied.sum())
    return out


def neighbour_table(matrix, shape="hexagonal", stride=1):
    """Neighbour table of an index matrix.

    Parameters
    ----------
    matrix : ndarray, shape (n_rows, n_columns), int
        Index matrix; its entries become the entries of the table.
    shape : {"hexagonal", "square"}
        Kernel of 7 or 9 taps, `TAPS`.
    stride : int
        Centres are the occupied cells of ``matrix[::stride, ::stride]``, row-major.

    Returns
    -------
    ndarray, shape (n_taps, n_centres), int64
        -1 where there is no neighbour.
    """
    padded = np.pad(matrix, 1, constant_values=-1)
    row, column = np.nonzero(matrix[::stride, ::stride] >= 0)
    row, column = row * stride + 1, column * stride + 1
    return np.stack([padded[row + i, column + j] for i, j in TAPS[shape]])
