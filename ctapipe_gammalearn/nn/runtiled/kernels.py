"""Tile kernels: a convolution of a few pixels of one row, with all sums in registers.

A tile is ``pixels`` consecutive pixels of a row.  For each block of output channels

    acc[pixel][vector] = bias
    for each group of taps that follow each other in memory:
        for each input value of the group:
            acc[pixel] += input[pixel] · weights            (one broadcast, ``vectors`` FMAs)

and an epilogue on the registers.  Inputs, outputs and the residual are channel-last.
"""

from dataclasses import dataclass

from .activations import Activation, activate
from .text import Function, vector

__all__ = ["EPILOGUES", "Tile", "layer_function", "tile_function"]

#: what happens to the sums ``a`` of a tile (``y``: residual, ``t``: output, σ: activation)
EPILOGUES = {
    "store": "y = a",
    "activate": "t = σ(a)",
    "enter": "y = t = σ(a)",
    "add": "y += a",
    "add_activate": "y += a; t = σ(scale · y + shift)",
    "dot": "t = shift[0] + Σ scale · max(a, 0) over channels: one number per pixel",
}
_TILE = tuple(
    f"ptr noalias %{name}" for name in ("in", "t", "y", "weight", "bias", "scale", "shift", "taps")
)
STEP = ("ptr %ws", "ptr %image", "ptr %result", "ptr %params")


@dataclass(frozen=True)
class Tile:
    """Everything that distinguishes one tile kernel from another.

    Attributes
    ----------
    n_in, n_out : int
        Channels, n_out a multiple of ``width · vectors``.
    n_taps, n_groups : int
    pixels, stride : int
    width, vectors : int
        Lanes of a vector, and vectors of output channels at a time.
    epilogue : str
        Key of `EPILOGUES`.
    activation : Activation
    spacing : int
        Pixels from one output to the next; those between are another tile's.
    """

    n_in: int
    n_out: int
    n_taps: int
    n_groups: int
    pixels: int
    stride: int
    width: int
    vectors: int
    epilogue: str
    activation: Activation
    spacing: int = 1


def tile_function(name, tile):
    """Kernel of a tile; its arguments point at the first pixel."""
    f = Function(name, _TILE)
    with f.loop(tile.n_out, tile.width * tile.vectors) as block:
        sums = _sums(f, tile, block.index)
        if tile.epilogue == "dot":
            _dot(f, tile, block.index, sums)
        else:
            _epilogue(f, tile, block.index, sums)
    return f


def _sums(f, tile, channel):
    """Names of the accumulators, pixel by pixel, after all taps."""
    w, kind = tile.width, vector(tile.width)
    weights = f.at("%weight", f.times(channel, tile.n_taps * tile.n_in))
    bias = f.at("%bias", channel)
    start = [f.load(bias, j * w, w) for j in range(tile.vectors)] * tile.pixels
    step = tile.n_in if tile.n_in % 4 else 4
    carried = [("ptr", weights), *((kind, name) for name in start)]
    with f.loop(tile.n_groups, carried=carried) as group:
        first = f.times(group.index, 2)
        values = f.at("%in", f.integer("%taps", first))
        n = f.integer(f.at("%taps", 1, "i32"), first)
        weights, *sums = group.values
        inner = [("ptr", values), ("ptr", weights), *((kind, name) for name in sums)]
        with f.loop(n, step, inner) as k:
            values, weights, *sums = k.values
            for c in range(step):
                sums = _rank_one(f, tile, c, values, weights, sums)
            block = w * tile.vectors
            k.next = [f.at(values, step), f.at(weights, step * block), *sums]
        group.next = k.next[1:]
    return group.next[1:]


def _rank_one(f, tile, c, values, weights, sums):
    """Accumulators after one input value of every pixel."""
    w, nv = tile.width, tile.vectors
    row = [f.load(weights, (c * nv + j) * w, w) for j in range(nv)]
    after = []
    for i in range(tile.pixels):
        value = f.splat(f.load(values, i * tile.stride * tile.n_in + c), w)
        after += [f.fma(value, row[j], sums[i * nv + j], w) for j in range(nv)]
    return after


def _epilogue(f, tile, channel, sums):
    """Everything but "dot"; long activations in a second, rolled pass over the tile."""
    w, nv, kind = tile.width, tile.vectors, tile.epilogue
    y, t = f.at("%y", channel), f.at("%t", channel)
    adds, activates = "add" in kind, kind in ("activate", "enter", "add_activate")
    short = tile.activation.short
    if kind == "add_activate":
        scale, shift = (
            [f.load(f.at(name, channel), j * w, w) for j in range(nv)]
            for name in ("%scale", "%shift")
        )
    for n, value in enumerate(sums):
        i, j = divmod(n, nv)
        place = i * tile.spacing * tile.n_out + j * w
        if adds:
            value = f.binary("fadd", value, f.load(y, place, w), w)
        if adds or kind == "store":
            f.store(value, y, place, w)
        if kind == "add_activate":
            value = f.fma(value, scale[j], shift[j], w)
        if activates:
            value = activate(f, tile.activation, value, w) if short else value
            f.store(value, t, place, w)
        if kind == "enter" and short:
            f.store(value, y, place, w)
    if activates and not short:
        _activate_later(f, tile, t, y)


def _activate_later(f, tile, t, y):
    """Activation of a stored tile."""
    with f.loop(tile.pixels) as pixel:
        row = f.times(pixel.index, tile.n_out)
        t, y = f.at(t, row), f.at(y, row)
        for j in range(0, tile.vectors * tile.width, tile.width):
            value = activate(f, tile.activation, f.load(t, j, tile.width), tile.width)
            f.store(value, t, j, tile.width)
            if tile.epilogue == "enter":
                f.store(value, y, j, tile.width)


def _dot(f, tile, channel, sums):
    """Spatial attention before its sigmoid; blocks of channels add up in memory."""
    w, nv = tile.width, tile.vectors
    scale = f.at("%scale", channel)
    scales = [f.load(scale, j * w, w) for j in range(nv)]
    first = f.value(f"icmp eq i64 {channel}, 0")
    shift = f.load("%shift")
    for i in range(tile.pixels):
        values = [f.intrinsic("maxnum", (a, f.constant(0, w)), w) for a in sums[i * nv :][:nv]]
        products = [f.binary("fmul", v, s, w) for v, s in zip(values, scales, strict=True)]
        part = f.lanes_total(f.total(products, w), w)
        before = f.value(f"select i1 {first}, float {shift}, float {f.load('%t', i)}")
        f.store(f.binary("fadd", part, before, 1), "%t", i)


def layer_function(name, pointers, table, n_tiles, kernels, arguments=STEP):
    """Step that runs the tile kernels of one convolution over the camera.

    Parameters
    ----------
    name : str
    pointers : dict of str to (str, int)
        Base ("%ws" or "%params") and offset in floats of each argument of a kernel.
    table : int
        Offset in the parameters of (pixels, input, output, residual) of each tile, int32,
        the last three in floats.
    n_tiles : int
    kernels : dict of int to str
        Names of the kernels by number of pixels.
    arguments : tuple of str
        Of the step.
    """
    f = Function(name, arguments)
    base = {key: f.at(*place) for key, place in pointers.items()}
    rows = f.at("%params", table)
    with f.loop(n_tiles) as tile:
        entry = f.at(rows, f.times(tile.index, 4), "i32")
        n = f.value(f"load i32, ptr {entry}")
        for i, key in enumerate(("in", "t", "y"), 1):
            base[key] = f.at(base[key], f.integer(entry, i))
        cases = " ".join(f"i32 {size}, label %tile{size}" for size in kernels)
        f.line(f"switch i32 {n}, label %done [{cases}]")
        arguments = ", ".join(f"ptr {p}" for p in base.values())
        for size, kernel in kernels.items():
            f.label(f"tile{size}")
            f.line(f"call void @{kernel}({arguments})")
            f.line("br label %done")
        f.label("done")
    return f
