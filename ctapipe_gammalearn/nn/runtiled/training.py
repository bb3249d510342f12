"""The plan of a training: one program for each operation and shape of a network.

A program runs one operation over the images of a batch, on dense tensors (n_images, n_pixels,
n_channels).  For convolutions it first brings an image to a raster in the workspace.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import gcd
from typing import NamedTuple

import numpy as np

from . import gates, gradients, kernels, norms
from .norms import Norm
from .plan import NEUTRAL, Plan, tile_table
from .raster import Raster

__all__ = ["CHUNK", "Convolution", "TrainingPlan"]

#: images whose weight gradients are summed one after the other
CHUNK = 8


class Convolution(NamedTuple):
    """Shape of a convolution; ``level`` is that of its output, ``n_out`` not padded."""

    level: int
    stride: int
    n_in: int
    n_out: int


@dataclass(eq=False)
class TrainingPlan:
    """Programs of a camera.

    Attributes
    ----------
    plan : Plan
        Memory, tables and functions.
    rasters : list of Raster
        Of all levels.
    sizes : dict of tuple to (int, int, int, int)
        Programs by operation and shape: floats of x, dy, the result and values per image.
    """

    plan: Plan
    rasters: list
    sizes: dict = field(default_factory=dict)
    _buffers: dict = field(default_factory=dict)
    _kernels: dict = field(default_factory=dict)

    @classmethod
    def of(cls, levels, host):
        """Empty plan for the levels of a camera."""
        return cls(Plan(host, NEUTRAL), [Raster.of(level) for level in levels])

    @staticmethod
    def name(key):
        """Name of a program's function."""
        return "_".join(map(str, key))

    def norm(self, level, n_channels, activation):
        """Add the programs of a batch norm with the activation behind it, or None."""
        n, plain = self.rasters[level].n_pixels, activation is None
        width = gcd(n_channels, self.plan.host.lanes)
        norm = Norm(n, n_channels, activation, width)
        size, sums, key = n * n_channels, 2 * n_channels, (level, n_channels)
        self._program(("moments", *key), (size, 0, sums, 0), (norms.moments, norm))
        self._program(("apply", *key, plain), (size, 0, size, 0), (norms.apply, norm))
        self._program(("reduce", *key, plain), (size, size, sums, 0), (norms.reduce, norm))
        self._program(("gradient", *key, plain), (size, size, size, 0), (norms.gradient, norm))

    def gate(self, level, n_channels):
        """Add the programs of an attention's product."""
        n = self.rasters[level].n_pixels
        norm = Norm(n, n_channels, None, gcd(n_channels, self.plan.host.lanes))
        size, weights, key = n * n_channels, n_channels + n, (level, n_channels)
        self._program(("gate", *key), (size, 0, size, weights), (gates.gate, norm))
        self._program(("gate_sums", *key), (size, size, weights, weights), (gates.gate_sums, norm))

    def convolution(self, shape):
        """Add the programs of a convolution: forward, input gradient, weight gradient."""
        level, stride, n_in, n_out = shape
        fine, coarse = self.rasters[level - (stride - 1)], self.rasters[level]
        x, source = fine.n_pixels * n_in, self._scatter(fine, fine, 1, n_in)
        out = coarse.n_pixels * self.plan.padded(n_out)
        forward = self._forward(fine, coarse, source[0], shape)
        self._program(("forward", *shape), (x, 0, out, 0), source[1], forward)
        outer = self._weight_gradient(fine, coarse, source[0], shape)
        total = Norm(coarse.n_pixels, self.plan.padded(n_out), None, self.plan.width(n_out))
        rows = len(fine.taps) * n_in
        steps = source[1], outer, (norms.column_sums, total, rows * total.n_channels)
        size = (rows + 1) * total.n_channels
        self._program(("weights", *shape), (x, out, size, 0), *steps, chunk=CHUNK)
        dy, source = coarse.n_pixels * n_out, self._scatter(fine, coarse, stride, n_out)
        out = fine.n_pixels * self.plan.padded(n_in)
        layers = self._transposed(fine, source[0], shape)
        self._program(("inputs", *shape), (dy, 0, out, 0), source[1], *layers)

    def _program(self, key, sizes, *steps, chunk=1):
        """Add a program from the makers of its steps and their arguments."""
        if key in self.sizes:
            return
        names = []
        for make, *arguments in steps:
            names.append(f"step{len(self.plan.functions)}")
            self.plan.functions.append(make(names[-1], *arguments))
        self.plan.functions.append(gradients.program(self.name(key), names, sizes, chunk))
        self.sizes[key] = sizes

    def _scatter(self, fine, pixels, stride, n_channels):
        """Buffer of a raster, and the step that fills it."""
        key = id(fine), stride, n_channels
        if key not in self._buffers:
            cells = fine.addresses(stride * pixels.row, stride * pixels.column) * n_channels
            table = self.plan.keep(cells, np.int32)
            self._buffers[key] = self.plan.reserve(fine.n_cells * n_channels), table
        target, table = self._buffers[key]
        lanes = self.plan.host.lanes
        return target, (gradients.scatter, pixels.n_pixels, n_channels, table, target, lanes)

    def tile(self, n_in, n_out):
        """How a convolution's outputs are packed."""
        return self.plan.tile(n_out, n_in, self.rasters[0], 1, "store")

    def parts(self, level, stride):
        """Pixels of a level that read the same taps of a transposed convolution.

        The coarse level stands on every ``stride``-th row and column of this one, with zeros
        between, so that other taps add nothing.

        Returns
        -------
        list of (ndarray, list of int)
            Numbers of pixels and of taps.
        """
        raster, parts = self.rasters[level], []
        for i, j in np.ndindex(stride, stride):
            pixels = np.flatnonzero((raster.row % stride == i) & (raster.column % stride == j))
            hits = lambda a, b, i=i, j=j: (i + a) % stride == 0 == (j + b) % stride  # noqa: E731
            if len(pixels):
                parts.append((pixels, [k for k, tap in enumerate(raster.taps) if hits(*tap)]))
        return parts

    def _forward(self, fine, coarse, source, shape):
        """Step of a convolution; values: its packed weights, then its bias."""
        tile = replace(self.tile(shape.n_in, shape.n_out), stride=shape.stride)
        table = tile_table(coarse.tiles(self.plan.longest(tile)), (fine, coarse), tile)
        places = 0, tile.n_out * tile.n_in * tile.n_taps
        return self._layer(tile, fine.tap_groups(), table, source, places)

    def _transposed(self, fine, source, shape):
        """Steps of a transposed convolution, one for each part of the pixels."""
        full, stride = self.tile(shape.n_out, shape.n_in), shape.stride
        parts = self.parts(shape.level - (stride - 1), stride)
        size, place, steps = full.n_out * full.n_in, 0, []
        bias = size * sum(len(taps) for _, taps in parts)
        for pixels, taps in parts:
            row, column = fine.row[pixels], fine.column[pixels]
            some = tuple(fine.taps[k] for k in taps)
            part = replace(fine, row=row // stride, column=column // stride, taps=some)
            groups, n = part.tap_groups(), len(taps)
            tile = replace(full, n_taps=n, n_groups=len(groups), stride=stride, spacing=stride)
            tiles = part.tiles(self.plan.longest(tile), np.diff(pixels) != stride)
            start, n_pixels = np.array(tiles).T
            cells, targets = fine.addresses(row, column)[start], pixels[start] * full.n_out
            table = np.stack([n_pixels, cells * full.n_in, targets, targets], 1)
            steps.append(self._layer(tile, groups, table, source, (place, bias)))
            place += size * n
        return steps

    def _layer(self, tile, groups, table, source, places):
        """Step of a convolution; ``places`` of its weights and of its bias in the values."""
        pointers = {"in": ("%ws", source), "t": ("%out", 0), "y": ("%out", 0)}
        pointers |= {"weight": ("%values", places[0]), "bias": ("%values", places[1])}
        pointers |= dict.fromkeys(("scale", "shift"), ("%params", 0))
        layer = self.plan.layer(tile, groups, table, pointers)
        return kernels.layer_function, *layer, norms.STEP

    def _weight_gradient(self, fine, coarse, source, shape):
        """Step of a weight gradient."""
        stride, n_in = shape.stride, shape.n_in
        tile = self.tile(n_in, shape.n_out)
        runs = coarse.tiles(coarse.n_pixels)
        start, n = np.array(runs).T
        cells = fine.addresses(stride * coarse.row[start], stride * coarse.column[start])
        table = np.stack([cells * n_in, start * tile.n_out, n], 1)
        outer = gradients.Outer(n_in, tile.n_out, 0, len(runs), stride, tile.width, tile.vectors)
        longest, row, calls = self.plan.host.accumulators // tile.vectors, 0, []
        for first, n_taps in fine.tap_groups():
            cuts = _cuts(n_taps * n_in, longest)
            for a, b in pairwise(cuts):
                kernel = self._outer(outer, b - a)
                calls.append((kernel, first * n_in + a, row + a))
            row += n_taps * n_in
        table = self.plan.keep(table, np.int32)
        return gradients.weight_gradient, source, table, tile.n_out, calls

    def _outer(self, outer, rows):
        """Name of a kernel, written if it is new."""
        outer = replace(outer, rows=rows)
        if outer not in self._kernels:
            self._kernels[outer] = f"outer{len(self._kernels)}"
            self.plan.functions.append(gradients.outer_function(self._kernels[outer], outer))
        return self._kernels[outer]


def _cuts(n, longest):
    """Limits of nearly equal parts of range(n)."""
    parts = -(-n // longest)
    return [n * i // parts for i in range(parts + 1)]
