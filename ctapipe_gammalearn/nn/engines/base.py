"""What the engines that use torch's own operations have in common."""

import torch
from torch import nn

__all__ = ["Engine"]


class Engine(nn.Module):
    """Base of engines; see `ctapipe_gammalearn.nn.engines`."""

    def compiled(self):
        """No code for training."""
        return None

    def micro_batch(self, x, training):
        """8 images on a CPU: activations then stay in the cache."""
        return 0 if training or x.is_cuda else 8

    def concatenate(self, parts):
        """Join chunks along the batch."""
        return torch.cat(parts)

    def gate(self, x, s, q, level):
        """Product x ⊙ s ⊙ (1 + q) with channel weights (N, C) and pixel weights, or None."""
        x = x * s.reshape(s.shape + (1,) * (x.ndim - 2))
        return x if q is None else x * (1 + q)

    def freeze(self, backbone):
        """Nothing to prepare beyond the folded norms."""
        return backbone
