"""Tensors (N, C, n_cells): what the gather and the reference engine have in common."""

import torch
from torch.nn import functional as F

from ..layers import Affine
from .base import Engine

__all__ = ["RowEngine"]


class RowEngine(Engine):
    """Base of engines that keep cells in rows, in row-major order of the lattice.

    Parameters
    ----------
    lattice : ctapipe_gammalearn.lattice.CameraLattice
    n_levels : int
    activation : nn.Module
    """

    def __init__(self, lattice, n_levels, activation):
        super().__init__()
        self.kernel = (lattice.n_taps,)
        self.activation = activation
        self.levels = lattice.levels(n_levels)
        self._table("order", lattice.scan_order)

    def _table(self, name, values):
        """Keep an index table that moves with the module and is no part of its state."""
        self.register_buffer(name, torch.as_tensor(values.copy()), persistent=False)

    def enter(self, x):
        """(N, C, n_pixels) in model order to level-0 order."""
        return x[..., self.order]

    def leave(self, x, level):
        """Rows are what the heads read."""
        return x

    def pixelwise(self, x, conv):
        """1 x 1 convolution."""
        return F.conv1d(x, conv.weight, conv.bias)

    def normalise(self, x, norm, level):
        """Normalised tensor; ``norm`` may be None."""
        return x if norm is None else norm(x)

    def activate(self, x, norm, level):
        """σ(norm(x))."""
        return self.activation(self.normalise(x, norm, level))

    def mean(self, x, level):
        """Mean over pixels, (N, C)."""
        return x.mean(-1)

    def affine(self, scale, shift, level):
        """Map of the evaluation mode."""
        return Affine(scale[:, None], shift[:, None])
