"""The plan of a frozen backbone, layer by layer."""

from dataclasses import dataclass

import numpy as np

from . import passes
from .activations import Activation
from .plan import Plan, filled
from .raster import Raster

__all__ = ["plan_network"]


@dataclass(frozen=True, eq=False)
class _Level:
    """Buffers of one level: residual y (dense) and rasters that convolutions read.

    ``t`` is what the first convolution of a layer reads, ``v`` the second, ``s`` the
    shortcut of the next block.
    """

    raster: Raster
    n_channels: int
    y: int
    t: int
    v: int
    s: int

    @classmethod
    def of(cls, plan, level, n_channels):
        """Reserve the buffers of a level."""
        raster, n = Raster.of(level), plan.padded(n_channels)
        spare = -raster.n_pixels % passes.MEAN_STEP
        y = plan.reserve((raster.n_pixels + spare) * n)
        return cls(raster, n, y, *(plan.reserve(raster.n_cells * n) for _ in "tvs"))


def plan_network(backbone, host):
    """Steps, memory and parameters of a backbone that the raster engine has frozen.

    Parameters
    ----------
    backbone : ctapipe_gammalearn.nn.backbone.Backbone
    host : ctapipe_gammalearn.nn.runtiled.machine.Processor

    Returns
    -------
    Plan
        Whose results are (n_cells of the last level, channels in memory) per image.
    """
    engine = backbone.engine
    plan = Plan(host, Activation.of(engine.activation))
    n_blocks = backbone.num_blocks
    widths = [_layer(backbone, b, 1).conv_block.cv2.weight.shape[0] for b in range(n_blocks)]
    levels = [_Level.of(plan, level, n) for level, n in zip(engine.levels, widths, strict=True)]
    scratch = {"pixel_gate": plan.reserve(levels[0].raster.n_pixels + host.lanes)}
    widest = max(level.n_channels for level in levels)
    scratch |= {"gate": plan.reserve(widest), "mean": plan.reserve(widest)}
    _first(plan, backbone, levels[0])
    for b in range(n_blocks):
        for n in range(1, backbone.num_layers + 1):
            _residual(plan, backbone, levels, b, n)
        _block_end(plan, backbone, levels[b], b, scratch)
    last = levels[-1]
    plan.finish(
        backbone.cv0.weight.shape[1] * levels[0].raster.n_pixels,
        (last.raster.n_pixels, last.n_channels),
    )
    return plan


def _layer(backbone, block, n):
    """A residual layer."""
    return getattr(backbone, f"block{block}_layer{n}")


def _kernel(engine, conv):
    """Weights (n_out, n_in, n_taps) and bias of a convolution."""
    return conv.weight.flatten(2)[..., engine.taps].numpy(), conv.bias.numpy()


def _maps(engine, norm, level):
    """Scale and shift of a frozen norm; they are the same on all pixels."""
    if norm is None:
        return 1.0, 0.0
    return tuple(engine.leave(m, level)[0, :, 0].numpy() for m in (norm.scale, norm.shift))


def _first(plan, backbone, level):
    """Image to raster, and the first convolution."""
    engine, n_channels = backbone.engine, backbone.cv0.weight.shape[1]
    raster = level.raster
    image = plan.reserve(raster.n_cells * n_channels)
    pixels = engine.cells.flatten()[engine.real0].numpy()
    table = plan.keep(np.stack([raster.pixels * n_channels, pixels], 1), np.int32)
    plan.step(passes.enter, raster.n_pixels, n_channels, table, image)
    buffers = {"in": image, "t": level.t, "y": level.y}
    plan.convolution("enter", (raster, raster), buffers, _kernel(engine, backbone.cv0))


def _residual(plan, backbone, levels, b, n):
    """One residual layer; its first activation is there already."""
    engine, layer, here = backbone.engine, _layer(backbone, b, n), levels[b]
    before, stride = here, 1
    if layer.shortcut is not None:
        before, stride = levels[b - 1], 2
        rasters = before.raster, here.raster
        conv = _kernel(engine, layer.shortcut.cv_shortcut)
        buffers = {"in": before.s, "t": here.v, "y": here.y}
        plan.convolution("store", rasters, buffers, conv, 2)
    block = layer.conv_block
    buffers = {"in": before.t, "t": here.v, "y": here.y}
    rasters = before.raster, here.raster
    plan.convolution("activate", rasters, buffers, _kernel(engine, block.cv1), stride)
    buffers = {"in": here.v, "t": here.t, "y": here.y}
    rasters, conv = (here.raster, here.raster), _kernel(engine, block.cv2)
    if n == backbone.num_layers:
        plan.convolution("add", rasters, buffers, conv)
    else:
        maps = _maps(engine, _layer(backbone, b, n + 1).conv_block.bn1, b)
        plan.convolution("add_activate", rasters, buffers, conv, maps=maps)


def _block_end(plan, backbone, here, b, scratch):
    """Attention, and the activations that the next block reads."""
    engine, attention = backbone.engine, getattr(backbone, f"attention_block{b}", None)
    gate = pixel_gate = None
    w = plan.width(here.n_channels)
    if attention is not None:
        gate = scratch["gate"]
        _squeeze_excite(plan, attention.se_module, here, scratch, w)
        if attention.spa_module is not None:
            pixel_gate = scratch["pixel_gate"]
            _spatial(plan, attention.spa_module, here, pixel_gate)
    targets = ()
    if b + 1 < backbone.num_blocks:
        layer = _layer(backbone, b + 1, 1)
        norms = (here.t, layer.conv_block.bn1), (here.s, layer.shortcut.bn_shortcut)
        targets = tuple(
            (raster, *(plan.keep(filled(m, here.n_channels)) for m in _maps(engine, norm, b)))
            for raster, norm in norms
        )
    cells = plan.keep(here.raster.pixels * here.n_channels, np.int32)
    sizes = here.raster.n_pixels, here.n_channels
    end = passes.BlockEnd(here.y, *sizes, gate, pixel_gate, cells, targets)
    plan.step(passes.block_end, end, plan.activation, w, plan.host.lanes)


def _squeeze_excite(plan, module, here, scratch, w):
    """Channel weights."""
    n, n_reduced = here.n_channels, len(module.reduction.weight)
    arrays = (
        filled(module.reduction.weight.numpy(), n),
        module.reduction.bias.numpy(),
        filled(module.expand.weight.numpy().T, n),
        filled(module.expand.bias.numpy(), n),
    )
    squeeze = passes.SqueezeExcite(
        here.y,
        here.raster.n_pixels,
        n,
        n_reduced,
        tuple(map(plan.keep, arrays)),
        (scratch["mean"], plan.reserve(n_reduced), scratch["gate"]),
    )
    plan.step(passes.squeeze_excite, squeeze, w)


def _spatial(plan, module, here, pixel_gate):
    """Logits of the pixel weights: two convolutions of one tap, on pixels only."""
    dense = Raster.dense(here.raster.n_pixels)
    buffers = {"in": here.y, "t": pixel_gate, "y": here.y}
    conv = module.down.weight.flatten(2).numpy(), module.down.bias.numpy()
    maps = module.phi.weight.flatten().numpy(), module.phi.bias.numpy()
    plan.convolution("dot", (dense, dense), buffers, conv, maps=maps)
