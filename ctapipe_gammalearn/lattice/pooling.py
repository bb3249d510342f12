"""Pooling tables: the 2 x 2 blocks of an index matrix."""

import numpy as np

from .neighbours import renumber

__all__ = ["pooled_matrix", "pooling_table"]


def pooled_matrix(matrix):
    """Index matrix of the next coarser level: every second row and column, renumbered."""
    return renumber(matrix[::2, ::2])


def pooling_table(matrix):
    """Cells of each 2 x 2 block (`indexedconv` kernel type "Pool", stride 2, no padding).

    Parameters
    ----------
    matrix : ndarray, shape (n_rows, n_columns), int
        Index matrix.

    Returns
    -------
    ndarray, shape (4, n_blocks), int64
        Numbers of the block's cells, row-major, -1 where the camera has none.  Blocks are
        those whose upper left cell is occupied and that lie wholly inside the matrix.
    """
    rows, columns = (n // 2 * 2 for n in matrix.shape)
    blocks = np.stack([matrix[i:rows:2, j:columns:2] for i in (0, 1) for j in (0, 1)])
    return blocks[:, blocks[0] >= 0]
