"""Cartesian engine: square images interpolated from the camera by a stored table.

The table is part of the model: interpolations differ between versions of the software
that trained it, and none can be recovered from a checkpoint.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from ...exceptions import LatticeError
from ..layers import Affine
from .base import Engine

__all__ = ["CartesianEngine", "Mapping"]


@dataclass(frozen=True, eq=False)
class Mapping:
    """Sparse linear map from camera pixels to image cells.

    Attributes
    ----------
    pixel, cell : ndarray, shape (n_entries,), int32
        Pixel in model order and image cell (row · n_columns + column).
    weight : ndarray, shape (n_entries,), float32
    image_shape : tuple of int
        (n_rows, n_columns)
    n_pixels : int
    """

    pixel: np.ndarray = field(repr=False)
    cell: np.ndarray = field(repr=False)
    weight: np.ndarray = field(repr=False)
    image_shape: tuple
    n_pixels: int

    def __post_init__(self):
        """Check that every entry lies inside."""
        rows, columns = self.image_shape
        if not (
            len(self.pixel) == len(self.cell) == len(self.weight) > 0
            and np.min(self.pixel) >= 0
            and np.max(self.pixel) < self.n_pixels
            and np.min(self.cell) >= 0
            and np.max(self.cell) < rows * columns
            and np.isfinite(self.weight).all()
        ):
            raise LatticeError("mapping table: entries outside the camera or the image")


class CartesianEngine(Engine):
    """Plain image convolutions behind the interpolation.

    Parameters
    ----------
    mapping : Mapping
    activation : nn.Module
    output_size : tuple of int
        Image size that the heads read (adaptive average pooling).
    """

    kernel = (3, 3)

    def __init__(self, mapping, activation, output_size):
        super().__init__()
        self.activation = activation
        self.output_size = output_size
        self.image_shape = mapping.image_shape
        n_cells = mapping.image_shape[0] * mapping.image_shape[1]
        table = np.zeros((mapping.n_pixels, n_cells))
        np.add.at(table, (mapping.pixel, mapping.cell), mapping.weight)
        self.register_buffer("table", torch.as_tensor(table).float(), persistent=False)

    def enter(self, x):
        """(N, C, n_pixels) to (N, C, n_rows, n_columns)."""
        return (x @ self.table.to(x.dtype)).unflatten(2, self.image_shape)

    def leave(self, x, level):
        """(N, C, n_cells) of the pooled image."""
        if x.shape[2:] == self.output_size:  # pooling would have no deterministic gradient
            return x.flatten(2)
        return F.adaptive_avg_pool2d(x, self.output_size).flatten(2)

    def conv(self, x, conv, level, stride=1):
        """Zero-padded convolution onto ``level``."""
        return F.conv2d(x, conv.weight, conv.bias, stride, 1)

    def pixelwise(self, x, conv):
        """1 x 1 convolution."""
        return F.conv2d(x, conv.weight, conv.bias)

    def normalise(self, x, norm, level):
        """Normalised image; ``norm`` may be None."""
        return x if norm is None else norm(x)

    def activate(self, x, norm, level):
        """σ(norm(x))."""
        return self.activation(self.normalise(x, norm, level))

    def mean(self, x, level):
        """Mean over cells, (N, C)."""
        return x.mean((2, 3))

    def affine(self, scale, shift, level):
        """Map of the evaluation mode."""
        return Affine(scale[:, None, None], shift[:, None, None])
