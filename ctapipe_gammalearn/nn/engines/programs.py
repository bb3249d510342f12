"""Machine code of a training: packs weights, hands out memory, shares images between threads."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.nn import functional as F

from ..attention import SpatialAttention
from ..layers import ResidualLayer
from ..runtiled import machine_codes
from ..runtiled.activations import Activation
from ..runtiled.training import CHUNK, Convolution, TrainingPlan

__all__ = ["TrainingCode"]


class TrainingCode:
    """Operations of the backbone's layers on dense tensors (N, n_pixels, C), float32.

    Images are independent of each other but in weight gradients, whose sums over `CHUNK`
    images do not depend on the threads either.

    Parameters
    ----------
    backbone : Backbone
        Its shapes and its lattice are used, not its weights.
    host : ctapipe_gammalearn.nn.runtiled.machine.Processor
    """

    def __init__(self, backbone, host):
        self._plan = plan = TrainingPlan.of(backbone.engine.levels, host)
        self.convolutions, self.norms, self.gates = shapes(backbone)
        self._parts = {}  # taps of a transposed convolution
        for shape in self.convolutions:
            plan.convolution(shape)
            level, stride = shape[:2]
            parts = plan.parts(level - (stride - 1), stride)
            self._parts[level, stride] = [torch.tensor(taps) for _, taps in parts]
        for level, n_channels, plain in self.norms:
            activation = None if plain else Activation.of(backbone.engine.activation)
            plan.norm(level, n_channels, activation)
        for level, n_channels in self.gates:
            plan.gate(level, n_channels)
        names = {key: plan.name(key) for key in plan.sizes}
        codes = machine_codes(plan.plan.ir, host, names.values(), 6)
        self._codes = {key: codes[name] for key, name in names.items()}
        self._parameters = torch.as_tensor(np.concatenate(plan.plan.parameters))
        self.workspaces = []  # those nobody uses at the moment

    def convolve(self, place, x, weight, bias):
        """Convolution onto (level, stride)."""
        shape = self._shape(place, weight)
        result = self._run(("forward", *shape), x, values=self._packed(weight, bias, [slice(None)]))
        return result.view(len(x), -1, self._padded(shape.n_out))[..., : shape.n_out]

    def input_gradient(self, place, dy, weight):
        """Gradient of a convolution's input."""
        shape = self._shape(place, weight)
        values = self._packed(weight.transpose(0, 1).flip(2), parts=self._parts[place])
        result = self._run(("inputs", *shape), dy, values=values)
        return result.view(len(dy), -1, self._padded(shape.n_in))[..., : shape.n_in]

    def weight_gradient(self, place, x, dy, weight):
        """Gradients of a convolution's weight and bias."""
        shape = self._shape(place, weight)
        padded = self._padded(shape.n_out)
        if padded != shape.n_out:
            dy = F.pad(dy, (0, padded - shape.n_out))
        parts = self._run(("weights", *shape), x, dy, chunk=CHUNK)
        total = parts.sum(0).view(-1, padded)[:, : shape.n_out]  # taps · n_in + 1 rows
        d_weight = total[:-1].unflatten(0, (-1, shape.n_in)).permute(2, 1, 0)
        return d_weight.contiguous(), total[-1].contiguous()

    def moments(self, key, x):
        """Mean and sum of squares around it of each image, (N, 2, C); key as in `norms`."""
        return self._run(("moments", *key[:2]), x).view(len(x), 2, -1)

    def apply(self, key, x, values):
        """Normalised and activated tensor; see `ctapipe_gammalearn.nn.runtiled.norms`."""
        return self._run(("apply", *key), x, values=values).view(x.shape)

    def reduce(self, key, x, dy, values):
        """Sums of the backward pass of each image, (N, 2, C)."""
        return self._run(("reduce", *key), x, dy, values).view(len(x), 2, -1)

    def gradient(self, key, x, dy, values):
        """Gradient of a norm's input."""
        return self._run(("gradient", *key), x, dy, values).view(x.shape)

    def gate(self, key, x, values):
        """Product with channel weights and pixel weights, (N, C + n_pixels); key as in `gates`."""
        return self._run(("gate", *key), x, values=values).view(x.shape)

    def gate_sums(self, key, x, dz, values):
        """Gradients of these weights."""
        return self._run(("gate_sums", *key), x, dz, values)

    @staticmethod
    def _shape(place, weight):
        """Key of a convolution."""
        return Convolution(*place, weight.shape[1], weight.shape[0])

    def _padded(self, n_channels):
        """Channels of an output in memory."""
        return self._plan.plan.padded(n_channels)

    def _packed(self, weight, bias=None, parts=()):
        """Weights in the order in which a tile reads, part by part of the taps, and bias.

        Each part has the order [block][tap][n_in][block].
        """
        n_out, n_in, _ = weight.shape
        tile = self._plan.tile(n_in, n_out)
        if bias is None:
            bias = weight.new_zeros(n_out)
        if missing := tile.n_out - n_out:
            weight = F.pad(weight, (0, 0, 0, 0, 0, missing))
            bias = F.pad(bias, (0, missing))
        blocks = weight.unflatten(0, (-1, tile.width * tile.vectors)).permute(0, 3, 2, 1)
        return torch.cat([*(blocks[:, part].flatten() for part in parts), bias])

    def _run(self, key, x, dy=None, values=None, chunk=1):
        """Result of a program, (N / chunk, floats)."""
        size_x, size_dy, size, size_values = self._plan.sizes[key]
        new = x.new_empty if chunk == 1 else x.new_zeros
        result = new(-(-len(x) // chunk), size)
        sizes = (x, size_x, 1), (dy, size_dy, 1), (result, size, chunk), (values, size_values, 1)
        sizes = [(0 if t is None else t.data_ptr(), 4 * n, images) for t, n, images in sizes]

        def run(first, last):
            workspace = self._workspace()
            addresses = (start + first // images * n for start, n, images in sizes)
            fixed = workspace.data_ptr(), self._parameters.data_ptr()
            self._codes[key](last - first, *addresses, *fixed)
            self.workspaces.append(workspace)

        share(run, len(x))
        return result

    def _workspace(self):
        """Memory for one thread, zero where no pixel is."""
        try:
            return self.workspaces.pop()
        except IndexError:
            return torch.zeros(self._plan.plan.workspace, dtype=torch.float32, device="cpu")


def shapes(backbone):
    """Shapes of a backbone: convolutions, norms (level, n_channels, no activation) and gates."""
    size = lambda conv: tuple(conv.weight.shape[1::-1])  # noqa: E731
    convolutions, norms, gates = {Convolution(0, 1, *size(backbone.cv0)): None}, {}, {}
    for name, module in backbone.named_modules():
        level = int(name.partition("block")[2].split("_")[0].split(".")[0] or 0)
        if isinstance(module, ResidualLayer):
            block, stride = module.conv_block, 1 if module.shortcut is None else 2
            convolutions[Convolution(level, stride, *size(block.cv1))] = None
            convolutions[Convolution(level, 1, *size(block.cv2))] = None
            if block.bn1 is not None:
                norms[level - (stride - 1), len(block.bn1.weight), False] = None
            if block.bn2 is not None:
                norms[level, len(block.bn2.weight), False] = None
        elif isinstance(module, SpatialAttention):
            norms[level, len(module.bn.weight), True] = None
            gates[level, module.down.weight.shape[1]] = None
    return list(convolutions), list(norms), list(gates)


def share(run, n):
    """Call ``run(first, last)`` for whole chunks of n images, in as many threads as torch has."""
    n_chunks = -(-n // CHUNK)
    n_threads = min(torch.get_num_threads(), n_chunks)
    if n_threads > 1:
        cuts = [min(n, CHUNK * (n_chunks * i // n_threads)) for i in range(n_threads + 1)]
        list(_pool(os.getpid(), n_threads, _flushes()).map(run, cuts[:-1], cuts[1:]))
    elif n:
        run(0, n)


def _flushes():
    """Whether this thread takes denormal numbers for zero, as those it starts then do."""
    return bool(torch.tensor(1e-40) * 1 == 0)


@functools.cache
def _pool(process, n_threads, flushes):
    """Threads of this process; those of a process that was forked are not there."""
    return ThreadPoolExecutor(n_threads)
