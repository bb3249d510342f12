"""Batch norm with the activation behind it, on dense tensors (n_pixels, n_channels).

With the batch's mean, scale = weight / standard deviation and the bias, per channel,

    u = (x - mean) · scale + bias,   y = σ(u),   δ = dy · σ'(u),

and the gradient of x is scale · δ + slope · (x - mean) + shift, where slope and shift come from
the sums of δ and δ · (x - mean) over the batch.
"""

from dataclasses import dataclass

from .activations import Activation, activate, derivative
from .text import Function, vector

__all__ = ["STEP", "Norm", "apply", "column_sums", "gradient", "moments", "reduce"]

#: arguments of a step of the training programs
STEP = tuple(f"ptr %{name}" for name in ("x", "dy", "out", "values", "ws", "params"))
#: pixels that are summed pairwise before they reach the running sum of a channel
UNROLL = 8


@dataclass(frozen=True)
class Norm:
    """What distinguishes the code of one norm from that of another.

    Attributes
    ----------
    n_pixels, n_channels : int
    activation : Activation or None
    width : int
        Lanes of a vector; divides n_channels.
    """

    n_pixels: int
    n_channels: int
    activation: Activation | None
    width: int


def moments(name, norm):
    """Step: mean of x and sum of (x - mean)² over an image's pixels, (2, n_channels)."""
    f, n, w = Function(name, STEP), norm.n_channels, norm.width
    with f.loop(n, w) as c:
        x, out = f.at("%x", c.index), f.at("%out", c.index)
        (total,) = _fold(f, norm, 1, lambda row, i: [_load(f, x, row, i, w)])
        mean = f.binary("fmul", total, f.constant(1 / norm.n_pixels, w), w)

        def square(row, i):
            distance = f.binary("fsub", _load(f, x, row, i, w), mean, w)
            return [f.binary("fmul", distance, distance, w)]

        (squares,) = _fold(f, norm, 1, square)
        f.store(mean, out, 0, w)
        f.store(squares, out, n, w)
    return f


def apply(name, norm):
    """Step: y. Values: mean, scale and bias."""
    f, w = Function(name, STEP), norm.width
    with f.loop(norm.n_channels, w) as c:
        x, out, values = _channel(f, norm, c.index, "%x", "%out")

        def store(row, i):
            _, u = _normal(f, _load(f, x, row, i, w), values, w)
            if norm.activation is not None:
                u = activate(f, norm.activation, u, w)
            f.store(u, f.at(out, row), i, w)
            return []

        _fold(f, norm, 0, store)
    return f


def reduce(name, norm):
    """Step: sums of δ and of δ · (x - mean), (2, n_channels). Values as for `apply`."""
    f, n, w = Function(name, STEP), norm.n_channels, norm.width
    with f.loop(n, w) as c:
        x, dy, values = _channel(f, norm, c.index, "%x", "%dy")

        def terms(row, i):
            distance, u = _normal(f, _load(f, x, row, i, w), values, w)
            delta = _delta(f, norm, u, _load(f, dy, row, i, w))
            return [delta, f.binary("fmul", delta, distance, w)]

        sums = _fold(f, norm, 2, terms)
        out = f.at("%out", c.index)
        for k, total in enumerate(sums):
            f.store(total, out, k * n, w)
    return f


def gradient(name, norm):
    """Step: gradient of x. Values: mean, scale, bias, slope and shift."""
    f, w = Function(name, STEP), norm.width
    with f.loop(norm.n_channels, w) as c:
        x, dy, values = _channel(f, norm, c.index, "%x", "%dy", 5)
        out = f.at("%out", c.index)

        def store(row, i):
            distance, u = _normal(f, _load(f, x, row, i, w), values, w)
            delta = _delta(f, norm, u, _load(f, dy, row, i, w))
            rest = f.fma(distance, values[3], values[4], w)
            f.store(f.fma(delta, values[1], rest, w), f.at(out, row), i, w)
            return []

        _fold(f, norm, 0, store)
    return f


def column_sums(name, norm, offset):
    """Step: adds the sum of dy over pixels, (n_channels,), to ``out`` at an offset."""
    f, w = Function(name, STEP), norm.width
    with f.loop(norm.n_channels, w) as c:
        dy, out = f.at("%dy", c.index), f.at(f.at("%out", c.index), offset)
        (total,) = _fold(f, norm, 1, lambda row, i: [_load(f, dy, row, i, w)])
        f.store(f.binary("fadd", f.load(out, 0, w), total, w), out, 0, w)
    return f


def _load(f, pointer, row, i, w):
    """Vector of one pixel, ``row`` + ``i`` floats behind a pointer."""
    return f.load(f.at(pointer, row), i, w)


def _channel(f, norm, channel, first, second, n_values=3):
    """Pointers to a channel of two tensors, and its constants."""
    w, values = norm.width, f.at("%values", channel)
    constants = [f.load(values, k * norm.n_channels, w) for k in range(n_values)]
    return f.at(first, channel), f.at(second, channel), constants


def _normal(f, x, values, w):
    """Distance from the mean, and u."""
    distance = f.binary("fsub", x, values[0], w)
    return distance, f.fma(distance, values[1], values[2], w)


def _delta(f, norm, u, dy):
    """δ."""
    if norm.activation is None:
        return dy
    return f.binary("fmul", dy, derivative(f, norm.activation, u, norm.width), norm.width)


def _fold(f, norm, n_sums, terms):
    """Visit all pixels, several at a time; sums of what ``terms(row, i)`` gives for each."""
    kind = vector(norm.width)
    sums, done = [f.constant(0, norm.width)] * n_sums, 0
    for step in (UNROLL, 1):
        n = (norm.n_pixels - done) // step * step
        if not n:
            continue
        with f.loop(n, step, [(kind, value) for value in sums]) as pixel:
            row = f.times(pixel.index, norm.n_channels)
            parts = [terms(row, (done + i) * norm.n_channels) for i in range(step)]
            parts = [f.total(list(column), norm.width) for column in zip(*parts, strict=True)]
            pixel.next = [
                f.binary("fadd", value, part, norm.width)
                for value, part in zip(pixel.values, parts, strict=True)
            ]
        sums, done = pixel.next, done + n
    return sums
