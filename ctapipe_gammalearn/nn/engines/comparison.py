"""Test of the code of a training: values and gradients against torch's operations."""

import functools
from types import SimpleNamespace

import torch
from torch.nn import functional as F

from .cells import BatchNormActivation

__all__ = ["largest_deviation"]


@torch.inference_mode(False)
@torch.enable_grad()
def largest_deviation(raster, engine, code):
    """Largest difference of a value or gradient, relative to the largest of its tensor.

    Parameters
    ----------
    raster : RasterEngine
    engine : CellEngine
        Of the same lattice.
    code : TrainingCode
        Of the engine.
    """
    worst = torch.zeros(())
    for operations in (
        _convolutions(raster, engine, code),
        _norms(raster, code),
        _gates(raster, engine, code),
    ):
        for ours, expected, inputs in operations:
            for a, b in zip(_results(ours, inputs), _results(expected, inputs), strict=True):
                worst = torch.maximum(worst, (a - b).abs().max() / b.abs().max())  # keeps NaN
    return float(worst)


def _results(function, inputs):
    """Value of a function and its gradients, for a random gradient of the value."""
    y = function(*inputs)
    dy = _random(*y.shape, seed=1).detach().to(y.dtype)
    return y.detach(), *torch.autograd.grad(y, inputs, dy)


def _convolutions(raster, engine, code):
    """All convolutions, and those of the raster engine."""
    for level, stride, n_in, n_out in code.convolutions:
        fine, place = level - (stride - 1), (level, stride)

        def expected(x, weight, bias, fine=fine, place=place):
            conv = SimpleNamespace(weight=weight, bias=bias)
            return raster.leave(raster.conv(_on_raster(raster, x, fine), conv, *place), place[0])

        def ours(x, weight, bias, place=place):
            return engine.conv(x, SimpleNamespace(weight=weight, bias=bias), *place)

        x = _random(3, n_in, raster.levels[fine].n_cells)
        weight, bias = _random(n_out, n_in, len(raster.taps), seed=2), _random(n_out, seed=3)
        yield ours, expected, (x, weight, bias)


def _norms(raster, code):
    """All norms, and torch's, which is accurate in float64."""
    for level, n_channels, plain in code.norms:

        def expected(x, weight, bias, plain=plain):
            y = F.batch_norm(x.double(), None, None, weight.double(), bias.double(), True)
            return y if plain else raster.activation(y)

        def ours(*inputs, key=(level, n_channels, plain)):
            n = inputs[0].numel() // key[1]
            return BatchNormActivation.apply(*inputs, code, key, 1e-5, n, lambda value: value)[0]

        x = _random(3, n_channels, raster.levels[level].n_cells)
        weight, bias = _random(n_channels, seed=2), _random(n_channels, seed=3)
        yield ours, expected, (x, weight, bias)


def _gates(raster, engine, code):
    """The products of the attention, and torch's."""
    for level, n_channels in code.gates:
        n = raster.levels[level].n_cells
        x, s, q = (
            _random(3, n_channels, n),
            _random(3, n_channels, seed=2),
            _random(3, 1, n, seed=3),
        )
        expected = functools.partial(raster.gate, level=level)
        yield functools.partial(engine.gate, level=level), expected, (x, s, q)


def _on_raster(raster, x, level):
    """Cells (N, C, n_cells) on the raster of a level."""
    mask = getattr(raster, f"mask{level}")
    cells = x.new_zeros(*x.shape[:2], mask.numel())
    return cells.index_copy(2, getattr(raster, f"real{level}"), x).unflatten(2, mask.shape[2:])


def _random(*shape, seed=0):
    """Random tensor with gradient, the same each time."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.requires_grad_()
