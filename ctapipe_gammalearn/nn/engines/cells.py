"""Training on a CPU in float32 by machine code, on tensors that hold pixels only.

Tensors are (N, C, n_cells) with channels last in memory, so that batch statistics, means and
element-wise operations are exact without masks.
"""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..parallel import n_processes, total

__all__ = ["BatchNormActivation", "CellEngine", "Convolution", "Gate"]


class CellEngine:
    """What the layers of a backbone call in training; see `ctapipe_gammalearn.nn.engines`.

    Parameters
    ----------
    raster : RasterEngine
        Of the same lattice.
    code : TrainingCode
    """

    def __init__(self, raster, code):
        self._order = raster.cells.flatten()[raster.real0]
        self._activation, self._code = raster.activation, code

    def enter(self, x):
        """(N, C, n_pixels) in model order to level-0 cells."""
        return x.transpose(1, 2).index_select(1, self._order).transpose(1, 2)

    def leave(self, x, level):
        """Cells are what the heads read."""
        return x

    def conv(self, x, conv, level, stride=1):
        """Convolution onto ``level``; a stride of 2 reads the level below."""
        return Convolution.apply(x, conv.weight, conv.bias, self._code, level, stride)

    def pixelwise(self, x, conv):
        """1 x 1 convolution."""
        return F.linear(x.transpose(1, 2), conv.weight[..., 0], conv.bias).transpose(1, 2)

    def normalise(self, x, norm, level):
        """Normalised tensor; ``norm`` may be None."""
        return x if norm is None else self._normalise(x, norm, level, plain=True)

    def activate(self, x, norm, level):
        """σ(norm(x))."""
        if norm is None:
            return self._activation(x)
        return self._normalise(x, norm, level, plain=False)

    def _normalise(self, x, norm, level, plain):
        """Batch norm, and the activation unless ``plain``."""
        n = n_processes() * len(x) * x.shape[2]
        key = level, x.shape[1], plain
        y, mean, var = BatchNormActivation.apply(
            x, norm.weight, norm.bias, self._code, key, norm.eps, n, total
        )
        norm.update(mean, var, n)
        return y

    def gate(self, x, s, q, level):
        """Product x ⊙ s ⊙ (1 + q) with channel weights (N, C) and pixel weights, or None."""
        if q is None:
            return x * s[:, :, None]
        return Gate.apply(x, s, q, self._code, (level, x.shape[1]))

    def mean(self, x, level):
        """Mean over pixels, (N, C)."""
        return x.mean(2)


def rows(x):
    """(N, C, n_cells) as (N, n_cells, C), contiguous: usually a view."""
    return x.transpose(1, 2).contiguous()


class Convolution(torch.autograd.Function):
    """Convolution onto a level."""

    @staticmethod
    def forward(ctx, x, weight, bias, code, level, stride):
        """Tensor (N, n_out, n_cells of the level)."""
        x = rows(x)
        ctx.save_for_backward(x, weight)
        ctx.code, ctx.place = code, (level, stride)
        return code.convolve(ctx.place, x, weight, bias).transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        """Gradients of input, weight and bias."""
        (x, weight), dy = ctx.saved_tensors, rows(dy)
        dx = d_weight = d_bias = None
        if ctx.needs_input_grad[0]:
            dx = ctx.code.input_gradient(ctx.place, dy, weight).transpose(1, 2)
        if any(ctx.needs_input_grad[1:3]):
            d_weight, d_bias = ctx.code.weight_gradient(ctx.place, x, dy, weight)
        return dx, d_weight, d_bias, None, None, None


class BatchNormActivation(torch.autograd.Function):
    """Activation of a batch norm (Ioffe & Szegedy 2015) over the batch of all processes.

    ``n`` counts the batch's pixels; ``add`` adds up tensors of all processes.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, code, key, eps, n, add):
        """Activated tensor, batch mean and biased variance (C,)."""
        x = rows(x)
        # an image's sums are pairwise in float32; those over images are in float64
        means, squares = code.moments(key, x).double().unbind(1)
        mean = add((means.sum(0) * x.shape[1]).float()).double() / n
        squares = squares + x.shape[1] * (means - mean).square()
        var = add(squares.sum(0).float()).double() / n
        inverse = torch.rsqrt(var + eps)
        values = torch.stack([mean, weight * inverse, bias.double()]).float()
        ctx.save_for_backward(x, values, inverse)
        ctx.code, ctx.key, ctx.n, ctx.add = code, key, n, add
        mean, var = mean.float(), var.float()
        ctx.mark_non_differentiable(mean, var)
        return code.apply(key, x, values).transpose(1, 2), mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, _mean, _var):
        """Gradients of input, weight and bias."""
        (x, values, inverse), dy = ctx.saved_tensors, rows(dy)
        sums = ctx.code.reduce(ctx.key, x, dy, values).double().sum(0)
        d_bias, d_weight = sums[0].float(), (sums[1] * inverse).float()
        scale = values[1].double()
        shift = -scale * ctx.add(d_bias) / ctx.n
        slope = -scale * inverse * ctx.add(d_weight) / ctx.n
        values = torch.cat([values, torch.stack([slope, shift]).float()])
        dx = ctx.code.gradient(ctx.key, x, dy, values).transpose(1, 2)
        return dx, d_weight, d_bias, None, None, None, None, None


class Gate(torch.autograd.Function):
    """Product with channel weights s (N, C) and pixel weights 1 + q, q (N, 1, n_cells)."""

    @staticmethod
    def forward(ctx, x, s, q, code, key):
        """Tensor like x."""
        x, values = rows(x), torch.cat([s, 1 + q[:, 0]], 1)
        ctx.save_for_backward(x, values)
        ctx.code, ctx.key = code, key
        return code.gate(key, x, values).transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, dz):
        """Gradients of x, s and q."""
        (x, values), dz = ctx.saved_tensors, rows(dz)
        sums = ctx.code.gate_sums(ctx.key, x, dz, values)
        ds, dq = sums.split([x.shape[2], x.shape[1]], 1)
        return ctx.code.gate(ctx.key, dz, values).transpose(1, 2), ds, dq[:, None], None, None
