"""Attention on camera images: squeeze-and-excitation and dual attention.

Sun et al. 2020, "SAUNet", arXiv:2001.07645; Hu et al. 2018, arXiv:1709.01507.
"""

import torch
from torch import nn

from .layers import BatchNorm, Conv

__all__ = ["Attention", "SpatialAttention", "SqueezeExcite"]


class SqueezeExcite(nn.Module):
    """Weight of each channel from the channel means over pixels."""

    def __init__(self, n_channels, n_reduced):
        super().__init__()
        self.reduction = nn.Linear(n_channels, n_reduced)
        self.expand = nn.Linear(n_reduced, n_channels)

    def forward(self, mean):
        """Channel weights in (0, 1), shape (N, C), from means of shape (N, C)."""
        return torch.sigmoid(self.expand(torch.relu(self.reduction(mean))))


class SpatialAttention(nn.Module):
    """Weight of each pixel from its own channels."""

    def __init__(self, architecture, n_channels, pixelwise):
        super().__init__()
        self.down = Conv(n_channels, n_channels // 2, pixelwise, bias=False)
        # GammaLearn normalises here whatever the normalisation of the backbone
        self.bn = BatchNorm(n_channels // 2, architecture.bn_eps)
        self.phi = Conv(n_channels // 2, 1, pixelwise)

    def forward(self, x, engine, level):
        """Pixel weights in (0, 1), one channel, engine layout."""
        x = engine.normalise(engine.pixelwise(x, self.down), self.bn, level)
        return torch.sigmoid(engine.pixelwise(torch.relu(x), self.phi))


class Attention(nn.Module):
    """x ⊙ s, or x ⊙ s ⊙ (1 + q) with spatial attention q."""

    def __init__(self, architecture, n_channels, n_reduced, pixelwise):
        super().__init__()
        self.se_module = SqueezeExcite(n_channels, n_reduced)
        self.spa_module = (
            SpatialAttention(architecture, n_channels, pixelwise)
            if architecture.attention == "dual"
            else None
        )

    def forward(self, x, engine, level):
        """Tensor like ``x``, engine layout."""
        s = self.se_module(engine.mean(x, level))  # (N, C)
        q = None if self.spa_module is None else self.spa_module(x, engine, level)
        return engine.gate(x, s, q, level)
