"""Steps between the convolutions: the image in, the end of a block, the loop over images.

All work on the dense residual y (n_pixels, n_channels), so that means run over pixels only.
Buffers are offsets in floats, in the workspace (``%ws``) or the parameters (``%params``).
"""

from dataclasses import dataclass

from .activations import Activation, activate, sigmoid
from .kernels import STEP
from .text import Function, vector

__all__ = [
    "BlockEnd",
    "SqueezeExcite",
    "block_end",
    "enter",
    "run_images",
    "squeeze_excite",
]

#: pixels summed pairwise before they reach the running sum of a channel; y ends in as many
#: spare pixels of zeros
MEAN_STEP = 16


def enter(name, n_pixels, n_channels, table, target):
    """Step that brings an image (n_channels, n_pixels) to its raster.

    ``table``: (first float of the cell, pixel number) of each pixel, int32.
    """
    f = Function(name, STEP)
    table, target = f.at("%params", table), f.at("%ws", target)
    with f.loop(n_pixels) as pixel:
        entry = f.at(table, f.times(pixel.index, 2), "i32")
        cell = f.at(target, f.integer(entry, 0))
        source = f.at("%image", f.integer(entry, 1))
        for c in range(n_channels):
            f.store(f.load(source, c * n_pixels), cell, c)
    return f


@dataclass(frozen=True)
class SqueezeExcite:
    """Channel weights of `ctapipe_gammalearn.nn.attention`.

    Attributes
    ----------
    y, n_pixels, n_channels, n_reduced : int
    weights : tuple of int
        Reduction (n_reduced, n_channels), its bias, expansion (n_reduced, n_channels), its
        bias.
    buffers : tuple of int
        Means (n_channels,), squeezed (n_reduced,), and the result (n_channels,).
    """

    y: int
    n_pixels: int
    n_channels: int
    n_reduced: int
    weights: tuple
    buffers: tuple


def squeeze_excite(name, squeeze, w):
    """Step that computes channel weights, in vectors of ``w`` lanes."""
    f = Function(name, STEP)
    n_channels, n_reduced = squeeze.n_channels, squeeze.n_reduced
    mean, hidden, gate = (f.at("%ws", place) for place in squeeze.buffers)
    reduction, reduction_bias, expansion, expansion_bias = (
        f.at("%params", place) for place in squeeze.weights
    )
    _mean(f, f.at("%ws", squeeze.y), mean, squeeze.n_pixels, n_channels, w)
    with f.loop(n_reduced) as k:
        row = f.at(reduction, f.times(k.index, n_channels))
        with f.loop(n_channels, w, [(vector(w), f.constant(0, w))]) as c:
            parts = f.load(mean, c.index, w), f.load(row, c.index, w)
            c.next = [f.fma(*parts, c.values[0], w)]
        value = f.lanes_total(c.next[0], w)
        value = f.binary("fadd", value, f.load(reduction_bias, k.index), 1)
        f.store(f.intrinsic("maxnum", (value, f.constant(0, 1)), 1), hidden, k.index)
    with f.loop(n_channels, w) as c:
        bias = f.load(expansion_bias, c.index, w)
        with f.loop(n_reduced, carried=[(vector(w), bias)]) as k:
            row = f.at(expansion, f.times(k.index, n_channels))
            parts = f.splat(f.load(hidden, k.index), w), f.load(row, c.index, w)
            k.next = [f.fma(*parts, k.values[0], w)]
        f.store(sigmoid(f, k.next[0], w), gate, c.index, w)
    return f


def _mean(f, y, mean, n_pixels, n_channels, w):
    """Mean over pixels of each channel."""
    with f.loop(n_channels, w) as c:
        column = f.at(y, c.index)
        with f.loop(n_pixels, MEAN_STEP, [(vector(w), f.constant(0, w))]) as pixel:
            rows = f.at(column, f.times(pixel.index, n_channels))
            part = f.total([f.load(rows, i * n_channels, w) for i in range(MEAN_STEP)], w)
            pixel.next = [f.binary("fadd", pixel.values[0], part, w)]
        f.store(f.binary("fmul", pixel.next[0], f.constant(1 / n_pixels, w), w), mean, c.index, w)


@dataclass(frozen=True)
class BlockEnd:
    """What happens to the residual of a finished block.

    Attributes
    ----------
    y, n_pixels, n_channels : int
    gate : int or None
        Channel weights, if there is attention.
    pixel_gate : int or None
        Logits of the pixel weights, if there is spatial attention; overwritten.
    cells : int
        First float of each pixel's cell in the targets, int32.
    targets : tuple of (int, int, int)
        Raster, scale and shift of each of the next block's activations; empty for the last
        block, whose activated residual is the result.
    """

    y: int
    n_pixels: int
    n_channels: int
    gate: int | None
    pixel_gate: int | None
    cells: int
    targets: tuple


def block_end(name, end, activation: Activation, w, lanes):
    """Step that applies attention and the activations of the next block."""
    f = Function(name, STEP)
    y, cells = f.at("%ws", end.y), f.at("%params", end.cells)
    if end.pixel_gate is not None:
        pixel_gate = f.at("%ws", end.pixel_gate)
        with f.loop(end.n_pixels, lanes) as pixel:
            q = sigmoid(f, f.load(pixel_gate, pixel.index, lanes), lanes)
            q = f.binary("fadd", q, f.constant(1, lanes), lanes)
            f.store(q, pixel_gate, pixel.index, lanes)
    with f.loop(end.n_pixels) as pixel:
        row = f.times(pixel.index, end.n_channels)
        source, target = f.at(y, row), f.at("%result", row)
        cell = f.integer(cells, pixel.index)
        if end.pixel_gate is not None:
            q = f.splat(f.load(pixel_gate, pixel.index), w)
        with f.loop(end.n_channels, w) as c:
            value = f.load(source, c.index, w)
            if end.gate is not None:
                value = f.binary("fmul", value, f.load(f.at("%ws", end.gate), c.index, w), w)
            if end.pixel_gate is not None:
                value = f.binary("fmul", value, q, w)
            if not end.targets:
                f.store(activate(f, activation, value, w), target, c.index, w)
            for raster, *maps in end.targets:
                scale, shift = (f.load(f.at("%params", m), c.index, w) for m in maps)
                mapped = activate(f, activation, f.fma(value, scale, shift, w), w)
                f.store(mapped, f.at(f.at("%ws", raster), cell), c.index, w)
    return f


def run_images(steps, image_size, result_size):
    """The entry point ``run(n, images, results, workspace, parameters)``; n > 0."""
    f = Function("run", ("i64 %n", *(f"ptr %{p}" for p in ("images", "results", "ws", "params"))))
    with f.loop("%n") as n:
        image = f.at("%images", f.times(n.index, image_size))
        result = f.at("%results", f.times(n.index, result_size))
        for step in steps:
            f.line(f"call void @{step}(ptr %ws, ptr {image}, ptr {result}, ptr %params)")
    return f
