"""The plan of a network: its steps, its memory and its parameters.

The code holds sizes and offsets only: it depends on the camera, the architecture and the
processor, but not on the weights, which are packed into one block of parameters.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from . import kernels, passes
from .activations import Activation

__all__ = ["Plan", "filled", "tile_table"]

#: floats; buffers begin at cache lines
LINE = 16
NEUTRAL = Activation("relu")


@dataclass(eq=False)
class Plan:
    """A network laid out for one image at a time.

    Attributes
    ----------
    host : ctapipe_gammalearn.nn.runtiled.machine.Processor
    activation : Activation
    workspace : int
        Size in floats.
    parameters : list of ndarray
        Float32 and int32 arrays, each a multiple of `LINE` long.
    functions : list of ctapipe_gammalearn.nn.runtiled.text.Function
    steps : list of str
        Functions that are run for each image, in order.
    tiles : dict of Tile to str
        Kernels by what they do.
    result_shape : tuple of int
        Of the result of one image.
    """

    host: object
    activation: Activation
    workspace: int = 0
    parameters: list = field(default_factory=list, repr=False)
    functions: list = field(default_factory=list, repr=False)
    steps: list = field(default_factory=list)
    tiles: dict = field(default_factory=dict, repr=False)
    n_parameters: int = 0
    result_shape: tuple = None

    def reserve(self, size):
        """Offset of a new buffer of the workspace, zero until something is written."""
        offset = self.workspace
        self.workspace += -(-size // LINE) * LINE + LINE
        return offset

    def keep(self, array, dtype=np.float32):
        """Offset of a new constant in the block of parameters."""
        flat = np.asarray(array, dtype).ravel().view(np.float32)
        offset = self.n_parameters
        self.parameters.append(np.pad(flat, (0, -len(flat) % LINE)))
        self.n_parameters += len(self.parameters[-1])
        return offset

    def width(self, n_channels):
        """Lanes of the vectors that hold so many channels."""
        return min(self.host.lanes, max(4, 1 << max(n_channels - 1, 0).bit_length()))

    def padded(self, n_channels):
        """Channels in memory: whole vectors; those added are zero throughout."""
        w = self.width(n_channels)
        return -(-max(n_channels, 1) // w) * w

    def step(self, make, *arguments):
        """Add one step, made by a function of `passes` or `kernels`."""
        name = f"step{len(self.steps)}"
        self.functions.append(make(name, *arguments))
        self.steps.append(name)

    def finish(self, image_size, result_shape):
        """Add the entry point; sizes in floats per image."""
        self.result_shape = result_shape
        size = result_shape[0] * result_shape[1]
        self.functions.append(passes.run_images(self.steps, image_size, size))

    @property
    def ir(self):
        """The whole module as text."""
        declarations = {key: d for f in self.functions for key, d in f.declarations.items()}
        return "\n".join([*declarations.values(), *map(str, self.functions)])

    def convolution(self, epilogue, rasters, buffers, conv, stride=1, maps=(0, 0)):
        """Add a convolution.

        Parameters
        ----------
        epilogue : str
        rasters : tuple of Raster
            Input's and output's.
        buffers : dict of str to int
            "in" (an "enter" layer reads the image, whose channels are not padded), "t", "y".
        conv : tuple of ndarray
            Weights (n_out, n_in, n_taps) and bias (n_out,).
        stride : int
        maps : tuple of ndarray
            Scale and shift of the epilogue.
        """
        (fine, coarse), (weight, bias) = rasters, conv
        n_in = weight.shape[1] if epilogue == "enter" else self.padded(weight.shape[1])
        tile = self.tile(weight.shape[0], n_in, fine, stride, epilogue)
        constants = {"weight": _packed(weight, tile)}
        for key, array in zip(("bias", "scale", "shift"), (bias, *maps), strict=True):
            constants[key] = filled(array, tile.n_out)
        pointers = {key: ("%ws", buffers[key]) for key in ("in", "t", "y")}
        pointers |= {key: ("%params", self.keep(a)) for key, a in constants.items()}
        table = tile_table(coarse.tiles(self.longest(tile)), rasters, tile)
        layer = self.layer(tile, fine.tap_groups(), table, pointers)
        self.step(kernels.layer_function, *layer)

    def longest(self, tile):
        """Pixels whose sums fit into the registers."""
        return max(1, self.host.accumulators // tile.vectors)

    def layer(self, tile, groups, table, pointers):
        """Arguments of `kernels.layer_function`: a convolution over the camera.

        Parameters
        ----------
        tile : Tile
            Of any length.
        groups : list of (int, int)
            Taps that follow each other, in cells.
        table : ndarray, shape (n_tiles, 4)
            (pixels, input, output, residual) of each tile, the last three in floats.
        pointers : dict of str to (str, int)
            Arguments of a kernel but its table of taps.
        """
        taps = [[tile.n_in * offset, tile.n_in * n] for offset, n in groups]
        pointers = pointers | {"taps": ("%params", self.keep(taps, np.int32))}
        kernel = {
            int(n): self._kernel(replace(tile, pixels=int(n))) for n in np.unique(table[:, 0])
        }
        return pointers, self.keep(table, np.int32), len(table), kernel

    def tile(self, n_out, n_in, raster, stride, epilogue):
        """Description of the tiles of a convolution, without their length."""
        w, padded = self.width(n_out), self.padded(n_out)
        nv = next(n for n in (2, 3, 1) if padded // w % n == 0)
        groups = len(raster.tap_groups())
        activation = NEUTRAL if epilogue in ("store", "add", "dot") else self.activation
        n_taps = len(raster.taps)
        return kernels.Tile(n_in, padded, n_taps, groups, 0, stride, w, nv, epilogue, activation)

    def _kernel(self, tile):
        """Name of a tile's kernel, written if it is new."""
        if tile not in self.tiles:
            self.tiles[tile] = f"tile{len(self.tiles)}"
            self.functions.append(kernels.tile_function(self.tiles[tile], tile))
        return self.tiles[tile]


def filled(array, n):
    """A number ``n`` times; a vector or rows, followed by zeros up to length ``n``."""
    array = np.asarray(array, float)
    if not array.ndim:
        return np.full(n, array)
    missing = n - array.shape[-1]
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)])


def _packed(weight, tile):
    """(n_out, n_in, n_taps) in the order in which a tile reads: [block][tap][n_in][block]."""
    full = np.zeros((tile.n_out, tile.n_in, tile.n_taps))
    full[: len(weight), : weight.shape[1]] = weight
    block = tile.width * tile.vectors
    return full.reshape(-1, block, tile.n_in, tile.n_taps).transpose(0, 3, 2, 1)


def tile_table(tiles, rasters, tile):
    """(pixels, input, output, residual) of each tile, the last three in floats."""
    fine, coarse = rasters
    start, n = np.array(tiles).T
    centre = fine.addresses(tile.stride * coarse.row[start], tile.stride * coarse.column[start])
    target = coarse.pixels[start] * (1 if tile.epilogue == "dot" else tile.n_out)
    return np.stack([n, centre * tile.n_in, target, start * tile.n_out], 1)
