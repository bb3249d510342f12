"""Gather engine: neighbours copied into columns, one matrix product per convolution.

Works for any neighbour table.  The input gets one zero column, and missing neighbours
point to it, so that no value of a real pixel (a NaN, say) can reach cells that are not
its neighbours, as it does when missing neighbours are read from pixel 0 and masked.
"""

import torch
from torch.nn import functional as F

from .rows import RowEngine

__all__ = ["GatherEngine"]


class GatherEngine(RowEngine):
    """General fallback on any device."""

    def __init__(self, lattice, n_levels, activation):
        super().__init__(lattice, n_levels, activation)
        for i, level in enumerate(self.levels):
            for stride in (1, 2):
                table = level.neighbours(stride)
                table[table < 0] = level.n_cells
                self._table(f"table{i}_{stride}", table.ravel())

    def conv(self, x, conv, level, stride=1):
        """Convolution onto ``level``; a stride of 2 reads the level below."""
        table = getattr(self, f"table{level - (stride - 1)}_{stride}")
        weight = conv.weight.flatten(1)  # (O, I·K)
        columns = F.pad(x, (0, 1)).index_select(2, table)  # (N, I, K·L)
        columns = columns.reshape(len(x), weight.shape[1], -1)  # (N, I·K, L)
        return torch.matmul(weight, columns) + conv.bias[:, None]
