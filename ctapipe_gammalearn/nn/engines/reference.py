"""Reference engine: the arithmetic of `indexedconv` itself (``engine: indexedconv``).

Slow, kept to check the others.  It inherits the library's semantics: missing neighbours
are read from cell 0 and multiplied by 0, so input must be finite.
"""

from types import SimpleNamespace

import torch

from ...exceptions import DeviceError
from .rows import RowEngine

__all__ = ["IndexedConvEngine"]


class IndexedConvEngine(RowEngine):
    """Convolutions by ``indexedconv.engine.IndexedConv``."""

    def __init__(self, lattice, n_levels, activation):
        super().__init__(lattice, n_levels, activation)
        try:
            from indexedconv.engine import IndexedConv
            from indexedconv.utils import prepare_mask
        except ImportError as error:
            raise DeviceError(
                f"engine indexedconv: {error}; pip install indexedconv, or choose engine auto"
            ) from None
        self._forward = IndexedConv.forward
        for i, level in enumerate(self.levels):
            for stride in (1, 2):
                indices, mask = prepare_mask(torch.as_tensor(level.neighbours(stride)))
                self.register_buffer(f"indices{i}_{stride}", indices, persistent=False)
                self.register_buffer(f"mask{i}_{stride}", mask, persistent=False)

    def micro_batch(self, x, training):
        """All images at once, as the library does it."""
        return 0

    def conv(self, x, conv, level, stride=1):
        """Convolution onto ``level``; a stride of 2 reads the level below."""
        key = f"{level - (stride - 1)}_{stride}"
        indices = getattr(self, f"indices{key}")
        # IndexedConv owns its weights; ours belong to the network, so that all engines
        # share them: only the forward function is borrowed
        layer = SimpleNamespace(
            indices_=indices,
            mask_=getattr(self, f"mask{key}").to(x.dtype),
            output_width=indices.shape[1],
            out_channels=len(conv.weight),
            weight=conv.weight,
            bias=conv.bias,
        )
        return self._forward(layer, x)
