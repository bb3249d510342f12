"""Attention's product z = x · s · g on dense tensors, and the gradients of its weights.

The values of an image are s, one per channel, and g, one per pixel.
"""

from .norms import STEP
from .text import Function, vector

__all__ = ["gate", "gate_sums"]


def gate(name, norm):
    """Step: z; with dz in place of x, the gradient of x.

    ``norm`` (`ctapipe_gammalearn.nn.runtiled.norms.Norm`) gives the sizes.
    """
    f, w = Function(name, STEP), norm.width
    channel_weights = _channel_weights(f, norm)
    with f.loop(norm.n_pixels) as pixel:
        g, row = _pixel(f, norm, pixel.index)
        x, out = f.at("%x", row), f.at("%out", row)
        for k, s in enumerate(channel_weights):
            factor = f.binary("fmul", s, g, w)
            f.store(f.binary("fmul", f.load(x, k * w, w), factor, w), out, k * w, w)
    return f


def gate_sums(name, norm):
    """Step: gradients of s, Σ x · dz · g over pixels, and of g, Σ x · dz · s over channels."""
    f, w = Function(name, STEP), norm.width
    channel_weights = _channel_weights(f, norm)
    zero = vector(w), f.constant(0, w)
    with f.loop(norm.n_pixels, carried=[zero] * len(channel_weights)) as pixel:
        g, row = _pixel(f, norm, pixel.index)
        x, dy, parts = f.at("%x", row), f.at("%dy", row), []
        for k, (s, total) in enumerate(zip(channel_weights, pixel.values, strict=True)):
            product = f.binary("fmul", f.load(x, k * w, w), f.load(dy, k * w, w), w)
            pixel.next.append(f.fma(product, g, total, w))
            parts.append(f.binary("fmul", product, s, w))
        total = f.lanes_total(f.total(parts, w), w)
        f.store(total, f.at("%out", norm.n_channels), pixel.index)
    for k, total in enumerate(pixel.next):
        f.store(total, "%out", k * w, w)
    return f


def _channel_weights(f, norm):
    """Vectors of s."""
    return [f.load("%values", c, norm.width) for c in range(0, norm.n_channels, norm.width)]


def _pixel(f, norm, index):
    """One pixel's g in all lanes, and where its row begins."""
    g = f.splat(f.load(f.at("%values", norm.n_channels), index), norm.width)
    return g, f.times(index, norm.n_channels)
