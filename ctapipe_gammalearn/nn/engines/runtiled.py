"""Run-tiled engine: the raster engine, with machine code for work on a CPU in float32.

The code (`ctapipe_gammalearn.nn.runtiled`) is generated for the camera, the architecture and
the processor.  In inference it handles one image at a time in a fixed order, so that an
image's features do not depend on the other images or on the number of threads; in training
(`cells`) there is a program for each layer and its gradients.  Everything else (GPUs, other
precisions, tracing, gradients of the images) is the raster engine's, as is all where no code
can be generated or the code does not pass its test.
"""

import functools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from .cells import CellEngine
from .comparison import largest_deviation
from .raster import RasterEngine

__all__ = ["CompiledBackbone", "CompiledTraining", "RunTiledEngine"]

log = logging.getLogger(__name__)

#: largest difference of features in the test, relative to the largest feature
TOLERANCE = 5e-5


class RunTiledEngine(RasterEngine):
    """Default engine; see `RasterEngine` for the parameters."""

    def compiled(self):
        """Code for training."""
        return CompiledTraining()

    def freeze(self, backbone):
        """Raster form, and code for what it can do faster."""
        backbone = super().freeze(backbone)
        backbone.compiled = CompiledBackbone()
        return backbone


class Compiled:
    """Code of one backbone, made when it is needed first.

    Copies of a backbone share it: neither its code nor what it holds ever changes.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._program, self._failed = None, False

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return type(self), ()

    def accepts(self, x, backbone):
        """Whether there is code for this input; compiles it if need be."""
        weight = backbone.cv0.weight
        shape = weight.shape[1], backbone.engine.levels[0].n_cells  # addresses are not checked
        fits = _is_plain(x) and weight.dtype == x.dtype and x.shape[1:] == shape
        return fits and self._is_ready(backbone)

    def _is_ready(self, backbone):
        """Whether there is code that passed its test."""
        with self._lock:
            if self._program is None and not self._failed:
                try:
                    self._program = self._make(backbone)
                except Exception as error:  # whatever it is, the raster engine works
                    self._failed = True
                    _warn(" ".join(str(error).split())[:200])
            return not self._failed


class CompiledBackbone(Compiled):
    """Code of a frozen backbone, with its weights."""

    def __call__(self, x, backbone):
        """Features (N, C, n_cells) of images (N, num_channels, n_pixels)."""
        return self._program(x)

    def _make(self, backbone):
        """Tested program."""
        return make_program(backbone)


class CompiledTraining(Compiled):
    """Code of the layers of any backbone of one architecture and camera."""

    def accepts(self, x, backbone):
        """As in inference, in training mode."""
        plain = backbone.training and len(x) and backbone.cv0.weight.device.type == "cpu"
        return plain and super().accepts(x, backbone)

    def __call__(self, x, backbone):
        """Features (N, C, n_cells) of images (N, num_channels, n_pixels)."""
        return backbone.features(x, self._program)

    def _make(self, backbone):
        """Tested engine."""
        return make_engine(backbone)


@functools.cache
def _warn(reason):
    """Say once that the code is not used."""
    log.warning("engine runtiled: %s; the slower engine raster takes over", reason)


def _is_plain(x):
    """Whether a tensor holds float32 values on a CPU that nobody differentiates or traces."""
    return (
        type(x) is torch.Tensor
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not (x.requires_grad and torch.is_grad_enabled())
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
    )


def make_program(backbone):
    """Tested program of a backbone frozen by the raster engine.

    Raises
    ------
    ImportError
        llvmlite is not there.
    RuntimeError
        It does not compile, or gives other features than the raster engine.
    """
    from ..runtiled import machine_code, plan_network, processor

    plan = plan_network(backbone, processor())
    program = Program(plan, machine_code(plan.ir, plan.host), backbone)
    shape = 3, backbone.cv0.weight.shape[1], backbone.engine.levels[0].n_cells
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, features = backbone.uncompiled(x), program(x)
    scale = expected.abs().max()
    if not (features - expected).abs().max() <= TOLERANCE * scale:  # also if NaN
        raise RuntimeError("the compiled code failed its test")
    return program


def make_engine(backbone):
    """Tested engine for the training of a backbone.

    Raises
    ------
    ImportError
        llvmlite is not there.
    RuntimeError
        It does not compile, or gives other gradients than the raster engine.
    """
    from ..runtiled import processor
    from .programs import TrainingCode

    raster = backbone.engine
    code = TrainingCode(backbone, processor())
    engine = CellEngine(raster, code)
    if not largest_deviation(raster, engine, code) <= TOLERANCE:  # also if NaN
        raise RuntimeError("the compiled code failed its test")
    return engine


class Program:
    """Machine code with its parameters and workspaces.

    Parameters
    ----------
    plan : ctapipe_gammalearn.nn.runtiled.plan.Plan
    code : callable
        From `machine_code`.
    backbone : Backbone
    """

    def __init__(self, plan, code, backbone):
        self._code = code
        self._parameters = torch.as_tensor(np.concatenate(plan.parameters))
        self._result_shape, self._size = plan.result_shape, plan.workspace
        last = getattr(backbone, f"block{backbone.num_blocks - 1}_layer1")
        self._n_channels = len(last.conv_block.cv2.weight)
        self.workspaces = []  # those nobody uses at the moment

    def __call__(self, x):
        """Features (N, C, n_cells) of images (N, num_channels, n_pixels)."""
        x = x.detach().contiguous()
        result = torch.empty(len(x), *self._result_shape)
        n = min(torch.get_num_threads(), len(x))
        if n > 1:
            parts = zip(x.tensor_split(n), result.tensor_split(n), strict=True)
            with ThreadPoolExecutor(n) as pool:
                list(pool.map(lambda part: self._run(*part), parts))
        elif n:
            self._run(x, result)
        return result[..., : self._n_channels].transpose(1, 2).contiguous()

    def _run(self, x, result):
        """Features of some images, in this thread."""
        try:
            workspace = self.workspaces.pop()
        except IndexError:
            workspace = torch.zeros(self._size)
        tensors = x, result, workspace, self._parameters
        self._code(len(x), *(tensor.data_ptr() for tensor in tensors))
        self.workspaces.append(workspace)
