"""Steps of the training programs around the convolutions: rasters in, weight gradients out."""

from dataclasses import dataclass
from math import gcd

from .norms import STEP
from .text import Function, vector

__all__ = ["Outer", "outer_function", "program", "scatter", "weight_gradient"]


def scatter(name, n_pixels, n_channels, table, target, lanes):
    """Step that brings a dense tensor (n_pixels, n_channels) to its raster in the workspace.

    ``table``: first float of the cell of each pixel, int32.
    """
    f, w = Function(name, STEP), gcd(n_channels, lanes)
    cells, target = f.at("%params", table), f.at("%ws", target)
    with f.loop(n_pixels) as pixel:
        row = f.at("%x", f.times(pixel.index, n_channels))
        cell = f.at(target, f.integer(cells, pixel.index))
        for c in range(0, n_channels, w):
            f.store(f.load(row, c, w), cell, c, w)
    return f


@dataclass(frozen=True)
class Outer:
    """Everything that distinguishes one kernel of a weight gradient from another.

    Attributes
    ----------
    n_in, n_out : int
        Channels, n_out a multiple of ``width · vectors``.
    rows : int
        Consecutive inputs of the convolution that are handled at a time.
    n_runs, stride : int
    width, vectors : int
    """

    n_in: int
    n_out: int
    rows: int
    n_runs: int
    stride: int
    width: int
    vectors: int


def outer_function(name, outer):
    """Kernel that adds Σ x[row] · dy[channel] over the pixels of an image, sums in registers.

    Arguments: first input row in the raster, dy, target (rows, n_out), and the table of runs:
    (first float in the raster, first float in dy, pixels), int32.
    """
    f = Function(name, tuple(f"ptr noalias %{a}" for a in ("x", "dy", "out", "runs")))
    w, nv, kind = outer.width, outer.vectors, vector(outer.width)
    with f.loop(outer.n_out, w * nv) as c:
        out = f.at("%out", c.index)
        places = [i * outer.n_out + j * w for i in range(outer.rows) for j in range(nv)]
        sums = [f.load(out, place, w) for place in places]
        with f.loop(outer.n_runs, carried=[(kind, value) for value in sums]) as run:
            entry = f.at("%runs", f.times(run.index, 3), "i32")
            x = f.at("%x", f.integer(entry, 0))
            dy = f.at(f.at("%dy", f.integer(entry, 1)), c.index)
            carried = [("ptr", x), ("ptr", dy), *((kind, value) for value in run.values)]
            with f.loop(f.integer(entry, 2), carried=carried) as pixel:
                x, dy, *sums = pixel.values
                row = [f.load(dy, j * w, w) for j in range(nv)]
                for i in range(outer.rows):
                    value = f.splat(f.load(x, i), w)
                    for j in range(nv):
                        sums[i * nv + j] = f.fma(value, row[j], sums[i * nv + j], w)
                pixel.next = [f.at(x, outer.stride * outer.n_in), f.at(dy, outer.n_out), *sums]
            run.next = pixel.next[2:]
        for place, value in zip(places, run.next, strict=True):
            f.store(value, out, place, w)
    return f


def weight_gradient(name, raster, table, n_out, calls):
    """Step that adds the gradient of the weights, (inputs of a tap, tap by tap; n_out).

    ``calls``: (kernel, offset of its first input in cells' floats, its row) of each part.
    """
    f = Function(name, STEP)
    x, runs = f.at("%ws", raster), f.at("%params", table)
    for kernel, offset, row in calls:
        first, out = f.at(x, offset), f.at("%out", row * n_out)
        f.line(f"call void @{kernel}(ptr {first}, ptr %dy, ptr {out}, ptr {runs})")
    return f


def program(name, steps, sizes, chunk=1):
    """Entry point ``name(n, x, dy, out, values, workspace, parameters)``; n > 0.

    ``sizes``: floats of x, dy, out and values per image, 0 if it is the same for all images;
    ``chunk`` images share one part of out.
    """
    f = Function(name, ("i64 %n", *STEP))
    with f.loop("%n") as n:
        part = n.index if chunk == 1 else f.value(f"udiv i64 {n.index}, {chunk}")
        indices = {"%x": n.index, "%dy": n.index, "%out": part, "%values": n.index}
        pointers = [
            f.at(pointer, f.times(index, size) if size else 0)
            for (pointer, index), size in zip(indices.items(), sizes, strict=True)
        ]
        arguments = ", ".join(f"ptr {p}" for p in (*pointers, "%ws", "%params"))
        for step in steps:
            f.line(f"call void @{step}({arguments})")
    return f
