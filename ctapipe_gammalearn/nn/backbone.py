"""The residual backbone of γ-PhysNet, written once for all engines."""

from torch import nn

from .attention import Attention
from .layers import Conv, ResidualLayer

__all__ = ["Backbone"]


class Backbone(nn.Module):
    """Images (N, C, n_pixels) to features (N, C_last, n_cells of the last level).

    Parameters
    ----------
    architecture : Architecture
    engine : nn.Module
        One of `ctapipe_gammalearn.nn.engines`; holds tables, no parameters.
    """

    def __init__(self, architecture, engine):
        super().__init__()
        self.engine = engine
        self.compiled = engine.compiled()  # features of the inputs that it accepts
        self.num_layers = architecture.num_layers
        features = architecture.block_features
        self.num_blocks = len(features)
        kernel = engine.kernel
        pixelwise = (1,) * len(kernel)
        self.cv0 = Conv(architecture.num_channels, features[0], kernel)
        n_in = features[0]
        for b, n_out in enumerate(features):
            for n in range(1, self.num_layers + 1):
                first = n == 1
                layer = ResidualLayer(
                    architecture,
                    kernel,
                    n_in,
                    n_out,
                    pre_activation=not (b == 0 and first),
                    down=b > 0 and first,
                )
                self.add_module(f"block{b}_layer{n}", layer)
                n_in = n_out
            if architecture.attention != "none":
                attention = Attention(architecture, n_out, architecture.reduced[b], pixelwise)
                self.add_module(f"attention_block{b}", attention)

    def forward(self, x):
        """Features of images in the model's pixel order; every value must be finite."""
        if self.compiled is not None and self.compiled.accepts(x, self):
            return self.compiled(x, self)
        return self.uncompiled(x)

    def uncompiled(self, x):
        """Features by the engine's own operations."""
        engine = self.engine
        chunk = engine.micro_batch(x, self.training)
        if chunk and len(x) > chunk:
            return engine.concatenate([self.features(part, engine) for part in x.split(chunk)])
        return self.features(x, engine)

    def features(self, x, engine):
        """Features of one chunk of images, by an engine for the same lattice."""
        x = engine.activate(engine.conv(engine.enter(x), self.cv0, 0), None, 0)
        for b in range(self.num_blocks):
            for n in range(1, self.num_layers + 1):
                x = getattr(self, f"block{b}_layer{n}")(x, engine, b)
            if hasattr(self, f"attention_block{b}"):
                x = getattr(self, f"attention_block{b}")(x, engine, b)
        return engine.leave(engine.activate(x, None, b), b)
