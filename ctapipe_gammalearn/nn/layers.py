"""Layers of the backbone: they own the parameters, the engine does the arithmetic.

An *engine* (package `engines`) knows the layout of the tensors it was given by its
``enter`` method: rows of cells or rasters.  Layers pass tensors on without looking inside.
Residual layers are full pre-activation (He et al. 2016, arXiv:1603.05027).
"""

import math

import torch
from torch import nn

from .parallel import n_processes, total

__all__ = ["Affine", "BatchNorm", "Conv", "ConvBlock", "ResidualLayer", "Shortcut"]


class Conv(nn.Module):
    """Weights of one convolution.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel : tuple of int
        (7,), (9,) on a lattice, (3, 3) on an image, (1,) or (1, 1) for pixel-wise layers.
    bias : bool
    """

    def __init__(self, n_in, n_out, kernel, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in, *kernel))
        self.bias = nn.Parameter(torch.empty(n_out)) if bias else None

    def reset_parameters(self, generator=None):
        """Kaiming-uniform weights (fan out, gain √2), uniform biases."""
        n_out, n_in, *kernel = self.weight.shape
        taps = math.prod(kernel)
        with torch.no_grad():
            bound = math.sqrt(6 / (n_out * taps))
            self.weight.uniform_(-bound, bound, generator=generator)
            if self.bias is not None:
                bound = 1 / math.sqrt(n_in * taps)
                self.bias.uniform_(-bound, bound, generator=generator)


class BatchNorm(nn.Module):
    """Batch normalisation over real pixels; parameters and running statistics.

    ``momentum`` weighs the newest batch, as in `torch.nn.BatchNorm2d`. Processes that train
    together normalise their common batch.
    """

    momentum = 0.1

    def __init__(self, n_channels, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(n_channels))
        self.bias = nn.Parameter(torch.zeros(n_channels))
        self.register_buffer("running_mean", torch.zeros(n_channels))
        self.register_buffer("running_var", torch.ones(n_channels))

    def forward(self, x):
        """Normalise a tensor (N, C, …) all of whose cells are pixels."""
        if self.training and n_processes() > 1:
            return self._normalise_together(x)
        statistics = self.running_mean, self.running_var
        affine = self.weight, self.bias
        return nn.functional.batch_norm(
            x, *statistics, *affine, self.training, self.momentum, self.eps
        )

    def _normalise_together(self, x):
        """As in `torch.nn.SyncBatchNorm`, which CPUs lack; statistics in full precision."""
        rows = x.to(self.weight.dtype).movedim(1, -1)  # (N, …, C)
        n = n_processes() * rows[..., 0].numel()
        mean = total(rows.flatten(0, -2).sum(0)) / n
        rows = rows - mean
        var = total(rows.square().flatten(0, -2).sum(0)) / n
        self.update(mean, var, n)
        y = torch.addcmul(self.bias, rows, self.weight * torch.rsqrt(var + self.eps))
        return y.movedim(-1, 1).to(x.dtype)

    @torch.no_grad()
    def update(self, mean, var, n):
        """Move the running statistics to mean and biased variance (C,) of ``n`` values."""
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * (n / (n - 1)), self.momentum)

    def affine(self):
        """Scale and shift of the evaluation mode, float64, shape (C,) each."""
        scale = self.weight.double() / torch.sqrt(self.running_var.double() + self.eps)
        return scale, self.bias.double() - scale * self.running_mean.double()


class Affine(nn.Module):
    """Fixed map ``scale · x + shift``: a batch norm in inference."""

    def __init__(self, scale, shift):
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x):
        """Mapped tensor."""
        return torch.addcmul(self.shift, x, self.scale)


def norm_layer(architecture, n_channels):
    """The architecture's normalisation, None if it has none."""
    if architecture.norm == "none":
        return None
    return BatchNorm(n_channels, architecture.bn_eps)


class ConvBlock(nn.Module):
    """Two convolutions, each behind its normalisation and activation."""

    def __init__(self, architecture, kernel, n_in, n_out, pre_activation):
        super().__init__()
        self.pre_activation = pre_activation
        self.bn1 = norm_layer(architecture, n_in) if pre_activation else None
        self.cv1 = Conv(n_in, n_out, kernel)
        self.bn2 = norm_layer(architecture, n_out)
        self.cv2 = Conv(n_out, n_out, kernel)

    def forward(self, x, engine, level, stride):
        """Tensor of ``level`` from one of ``level - (stride - 1)``, both in engine layout."""
        if self.pre_activation:
            x = engine.activate(x, self.bn1, level - (stride - 1))
        x = engine.conv(x, self.cv1, level, stride)
        x = engine.activate(x, self.bn2, level)
        return engine.conv(x, self.cv2, level)


class Shortcut(nn.Module):
    """Strided convolution that brings the residual to a coarser level."""

    def __init__(self, architecture, kernel, n_in, n_out):
        super().__init__()
        self.bn_shortcut = norm_layer(architecture, n_in)
        self.cv_shortcut = Conv(n_in, n_out, kernel)

    def forward(self, x, engine, level):
        """Tensor of ``level`` from one of ``level - 1``."""
        x = engine.activate(x, self.bn_shortcut, level - 1)
        return engine.conv(x, self.cv_shortcut, level, 2)


class ResidualLayer(nn.Module):
    """One residual layer; with ``n_in != n_out`` or ``down`` it halves the resolution."""

    def __init__(self, architecture, kernel, n_in, n_out, pre_activation, down):
        super().__init__()
        self.conv_block = ConvBlock(architecture, kernel, n_in, n_out, pre_activation)
        self.shortcut = Shortcut(architecture, kernel, n_in, n_out) if down else None

    def forward(self, x, engine, level):
        """Tensor of ``level`` in engine layout."""
        if self.shortcut is None:
            return self.conv_block(x, engine, level, 1) + x
        return self.conv_block(x, engine, level, 2) + self.shortcut(x, engine, level)
