"""Rasters in one dimension: rows of pixels one behind the other, with empty cells between.

Cell (r, q) of a level has the address ``base + r·pitch + q``, so that every kernel tap is
one constant offset.  Only pixels are ever written: all other cells are zero from the
beginning and stay so, which is what a missing neighbour must read as.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ...lattice import TAPS

__all__ = ["Raster"]


@dataclass(frozen=True, eq=False)
class Raster:
    """Addresses of the pixels of one level.

    Attributes
    ----------
    row, column : ndarray, shape (n_pixels,), int64
        In row-major order.
    pitch, base, n_cells : int
        Distance of rows, address of cell (0, 0), and length of the whole.
    taps : tuple of (int, int)
        (Δrow, Δcolumn) of the kernel.
    """

    row: np.ndarray = field(repr=False)
    column: np.ndarray = field(repr=False)
    pitch: int
    base: int
    n_cells: int
    taps: tuple

    @classmethod
    def of(cls, level):
        """Shortest raster of a level (`ctapipe_gammalearn.lattice.Level`)."""
        row, column = np.nonzero(level.mask)
        taps, pitch = TAPS[level.shape], 1
        while not _is_free_of_clashes(row, column, pitch, taps):
            pitch += 1
        address = row * pitch + column
        base = pitch + 1 - int(address.min())  # the first pixel's taps stay inside
        return cls(row, column, pitch, base, int(address.max()) + base + pitch + 2, taps)

    @classmethod
    def dense(cls, n_pixels):
        """Pixels without gaps, for convolutions of one tap."""
        zeros = np.zeros(n_pixels, dtype=np.int64)
        return cls(zeros, np.arange(n_pixels), 0, 0, n_pixels, ((0, 0),))

    @property
    def n_pixels(self):
        """Number of pixels."""
        return len(self.row)

    def addresses(self, row, column):
        """Cells of the given rows and columns."""
        return self.base + row * self.pitch + column

    @property
    def pixels(self):
        """Cells of all pixels, shape (n_pixels,)."""
        return self.addresses(self.row, self.column)

    def tap_groups(self):
        """Taps that follow each other in memory, as (first offset, number) in cells."""
        groups = []
        for offset in (i * self.pitch + j for i, j in self.taps):
            if groups and offset == sum(groups[-1]):
                groups[-1][1] += 1
            else:
                groups.append([offset, 1])
        return groups

    def tiles(self, longest, split=False):
        """Pieces of nearly equal length of each run of pixels without gap.

        Parameters
        ----------
        longest : int
        split : bool or ndarray, shape (n_pixels - 1,)
            Whether a run ends between a pixel and the next in any case.

        Returns
        -------
        list of (int, int)
            Number of the first pixel, and how many; at most ``longest``.
        """
        new = (np.diff(self.row) != 0) | (np.diff(self.column) != 1) | split
        edges = [0, *(np.flatnonzero(new) + 1).tolist(), self.n_pixels]
        tiles = []
        for start, stop in pairwise(edges):
            n = -(-(stop - start) // longest)
            cuts = [start + (stop - start) * i // n for i in range(n + 1)]
            tiles += [(a, b - a) for a, b in pairwise(cuts)]
        return tiles


def _is_free_of_clashes(row, column, pitch, taps):
    """Whether pixels have cells of their own, and taps meet their own neighbours only."""
    address = row * pitch + column
    margin = pitch + 1
    owner = np.full(int(np.ptp(address)) + 1 + 2 * margin, -1)
    address = address - address.min() + margin
    owner[address] = np.arange(len(row))
    if (owner[address] != np.arange(len(row))).any():
        return False
    for i, j in taps:
        hit = owner[address + i * pitch + j]
        wrong = (row[hit] != row + i) | (column[hit] != column + j)
        if (wrong & (hit >= 0)).any():
            return False
    return True
