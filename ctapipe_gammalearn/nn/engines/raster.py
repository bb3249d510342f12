"""Raster engine: dense 3 x 3 convolutions on the index matrix, exact at the border.

Pixels are scattered onto their (row, column) matrix.  A hexagonal 7-tap kernel is a 3 x 3
kernel with two empty corners.  Cells without a pixel must read as zero in every
convolution; instead of masking after each activation, the affine map before it is zero
there (scale = shift = 0), which is enough because every activation has σ(0) = 0.
Batch statistics and channel means run over real pixels only.  Cells without a pixel may
hold anything between layers; they are never read unmasked.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ...lattice import TAPS
from ..layers import Affine
from ..parallel import n_processes, total
from .base import Engine

__all__ = ["RasterEngine"]


class RasterEngine(Engine):
    """Engine for GPUs, and wherever no code can be generated.

    Parameters
    ----------
    lattice : ctapipe_gammalearn.lattice.CameraLattice
    n_levels : int
    activation : nn.Module
        With σ(0) = 0.
    """

    def __init__(self, lattice, n_levels, activation):
        super().__init__()
        self.kernel = (lattice.n_taps,)
        self.activation = activation
        self.levels = lattice.levels(n_levels)
        cells = torch.full(lattice.matrix.shape, lattice.n_pixels)
        cells[torch.as_tensor(lattice.matrix >= 0)] = torch.as_tensor(lattice.scan_order)
        self.register_buffer("cells", cells, persistent=False)  # n_pixels: the zero column
        taps = [3 * (i + 1) + j + 1 for i, j in TAPS[lattice.shape]]
        self.register_buffer("taps", torch.tensor(taps), persistent=False)
        self._masks = {}
        for i, level in enumerate(self.levels):
            mask = torch.as_tensor(level.mask)
            self.register_buffer(f"mask{i}", mask.float()[None, None], persistent=False)
            self.register_buffer(f"real{i}", mask.flatten().nonzero()[:, 0], persistent=False)

    def mask(self, level, n_channels):
        """Mask of real cells, expanded so that element-wise kernels see one long row.

        Returns
        -------
        Tensor, shape (1, n_channels, n_rows, n_columns), channels last
        """
        mask = getattr(self, f"mask{level}")
        key = level, n_channels, mask.device, mask.dtype
        if key not in self._masks:
            with torch.inference_mode(False):  # a kept tensor must also serve training
                full = mask.expand(-1, n_channels, -1, -1)
                self._masks[key] = full.contiguous(memory_format=torch.channels_last)
        return self._masks[key]

    def enter(self, x):
        """(N, C, n_pixels) in model order to a raster (N, C, n_rows, n_columns)."""
        raster = F.pad(x, (0, 1))[:, :, self.cells]
        return raster.contiguous(memory_format=torch.channels_last)

    def leave(self, x, level):
        """Real cells of a raster, (N, C, n_cells) in row-major order."""
        return x.flatten(2)[:, :, getattr(self, f"real{level}")]

    def dense_kernel(self, weight):
        """(O, I, n_taps) to (O, I, 3, 3)."""
        dense = weight.new_zeros(*weight.shape[:2], 9)
        return dense.index_copy(2, self.taps, weight).unflatten(2, (3, 3))

    def conv(self, x, conv, level, stride=1):
        """Convolution onto ``level``; a stride of 2 reads the level below."""
        weight = conv.weight if conv.weight.ndim == 4 else self.dense_kernel(conv.weight)
        return F.conv2d(x, weight, conv.bias, stride, 1)

    def pixelwise(self, x, conv):
        """1 x 1 convolution."""
        return F.conv2d(x, conv.weight[..., None], conv.bias)

    def normalise(self, x, norm, level):
        """Normalised raster, zero in cells without a pixel."""
        if isinstance(norm, Affine):
            return norm(x)
        full = self.levels[level].mask.all()
        if norm is None:
            return x if full else x * self.mask(level, x.shape[1])
        if full and self.training:
            return norm(x)
        mask = self.mask(level, x.shape[1])
        if self.training:
            n = n_processes() * len(x) * self.levels[level].n_cells
            y, mean, var = MaskedBatchNorm.apply(x, norm.weight, norm.bias, mask, n, norm.eps)
            norm.update(mean, var, n)
            return y
        scale, shift = (v.to(norm.weight.dtype)[:, None, None] for v in norm.affine())
        return torch.addcmul(shift * mask, x, scale * mask)

    def activate(self, x, norm, level):
        """σ(norm(x)), zero in cells without a pixel."""
        return self.activation(self.normalise(x, norm, level))

    def mean(self, x, level):
        """Mean over real pixels, (N, C)."""
        total = (x * self.mask(level, x.shape[1])).sum((2, 3))
        return total / self.levels[level].n_cells

    def affine(self, scale, shift, level):
        """Map of the evaluation mode, zero in cells without a pixel."""
        mask = self.mask(level, len(scale))
        maps = (v[:, None, None].to(mask.dtype) * mask for v in (scale, shift))
        return Affine(*maps)

    def freeze(self, backbone):
        """Embed lattice kernels in 3 x 3 kernels once, instead of at each call."""
        for module in backbone.modules():
            weight = getattr(module, "weight", None)
            if weight is not None and weight.shape[2:] == self.kernel:
                dense = self.dense_kernel(weight.detach())
                dense = dense.contiguous(memory_format=torch.channels_last)
                module.weight = nn.Parameter(dense, requires_grad=False)
        return backbone


class MaskedBatchNorm(torch.autograd.Function):
    """Batch normalisation of a raster over its real cells only (Ioffe & Szegedy 2015).

    The batch is that of all processes; ``n`` counts its cells.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mask, n, eps):
        """Normalised raster (zero outside), batch mean and biased variance (C,)."""
        y, mean, var = masked_batch_norm(x, weight, bias, mask, n, eps)
        ctx.save_for_backward(x, weight, bias, mask, mean, torch.rsqrt(var + eps))
        ctx.n, ctx.eps = n, eps
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx, dy, _mean, _var):
        """Gradients of input, weight and bias."""
        x, weight, bias, mask, mean, inverse = ctx.saved_tensors
        if torch.is_grad_enabled():  # second derivatives: the statistics depend on x, too
            y, *_ = masked_batch_norm(x, weight, bias, mask, ctx.n, ctx.eps)
            wanted = [t for t in (x, weight, bias) if t.requires_grad]
            found = iter(torch.autograd.grad(y, wanted, dy, create_graph=True))
            first = (next(found) if t.requires_grad else None for t in (x, weight, bias))
            return *first, None, None, None
        normal = (x - mean[:, None, None]) * (mask * inverse[:, None, None])
        dy = dy * mask
        d_bias = _rows(dy).sum(0)
        d_weight = _rows(dy * normal).sum(0)
        shift, slope = total(d_bias) / ctx.n, total(d_weight) / ctx.n
        dx = dy - shift[:, None, None] * mask - normal * slope[:, None, None]
        return dx * (weight * inverse)[:, None, None], d_weight, d_bias, None, None, None


def masked_batch_norm(x, weight, bias, mask, n, eps):
    """What `MaskedBatchNorm` returns, by operations that torch can differentiate."""
    # sums over rows of cells are pairwise: torch's channels-last batch norm
    # accumulates one cell after the other and loses digits
    mean = total(_rows(x * mask).sum(0)) / n
    centred = (x - mean[:, None, None]) * mask
    var = total(_rows(centred.square()).sum(0)) / n
    scale = weight * torch.rsqrt(var + eps)
    y = torch.addcmul(bias[:, None, None] * mask, centred, scale[:, None, None])
    return y, mean, var


def _rows(raster):
    """(N, C, H, W) as rows of cells (N·H·W, C); a view for channels-last tensors."""
    return raster.permute(0, 2, 3, 1).flatten(0, 2)
