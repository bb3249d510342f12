"""Engines: how a network's arithmetic on a camera is carried out.

An engine is a module without parameters.  Its whole interface, used by the layers:

``kernel``
    Shape of its convolution weights behind (n_out, n_in).
``enter(x)``, ``leave(x, level)``
    From (N, C, n_pixels) in model order to the engine's own layout and back to
    (N, C, n_cells), cells in row-major order.
``conv(x, conv, level, stride)``, ``pixelwise(x, conv)``
    Convolutions with the weights of a `Conv`.
``normalise(x, norm, level)``, ``activate(x, norm, level)``, ``mean(x, level)``
    Statistics and activations over real cells.
``gate(x, s, q, level)``
    Product with the weights of an attention.
``micro_batch(x, training)``, ``concatenate(parts)``
    How many images at once.
``affine(scale, shift, level)``, ``freeze(backbone)``
    Preparation for inference, see `ctapipe_gammalearn.nn.freeze`.
``compiled()``
    Code that takes over some inputs in training, or None.
"""

from ...exceptions import DeviceError
from .cartesian import CartesianEngine, Mapping
from .gather import GatherEngine
from .interpolation import camera_mapping
from .raster import RasterEngine
from .reference import IndexedConvEngine
from .runtiled import RunTiledEngine

__all__ = [
    "ENGINES",
    "CartesianEngine",
    "GatherEngine",
    "IndexedConvEngine",
    "Mapping",
    "RasterEngine",
    "RunTiledEngine",
    "camera_mapping",
    "make_engine",
]

#: engines for lattices by configuration name; "auto" is the fastest exact one
ENGINES = {
    "auto": RunTiledEngine,
    "runtiled": RunTiledEngine,
    "raster": RasterEngine,
    "gather": GatherEngine,
    "indexedconv": IndexedConvEngine,
}


def make_engine(name, architecture, lattice=None, mapping=None):
    """Engine of a network.

    Parameters
    ----------
    name : str
        Key of `ENGINES`; Cartesian networks know "auto" only.
    architecture : Architecture
    lattice : CameraLattice
        For the indexed variant.
    mapping : Mapping
        For the Cartesian variant.

    Raises
    ------
    DeviceError
        Unknown name, or an engine that does not apply.
    """
    if name not in ENGINES:
        raise DeviceError(f"unknown engine {name!r}; known: {', '.join(ENGINES)}")
    activation = architecture.make_activation()
    if architecture.variant == "cartesian":
        if name != "auto":
            raise DeviceError(f"engine {name} is for indexed models; choose engine auto")
        return CartesianEngine(mapping, activation, architecture.output_size)
    return ENGINES[name](lattice, len(architecture.block_features), activation)
