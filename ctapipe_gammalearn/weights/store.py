"""Model files: a network, its card and its camera in one .safetensors file.

Tensors: the network's own (float32, names of `GammaPhysNet`); ``lattice.pixel_xy``
(n_pixels, 2) float64, m, model order; ``lattice.neighbours`` (n_taps, n_pixels) int32, or
for Cartesian models ``mapping.pixel``, ``mapping.cell``, ``mapping.weight`` and
``mapping.shape``; ``check.input`` and ``check.output``, a few images and what the network
makes of them.  Everything derived is rebuilt and compared when a file is read.
"""

import hashlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
import torch

from ..exceptions import LatticeError, ModelFileError
from ..lattice import CameraLattice, patch_lattice
from ..nn import GammaPhysNet, Mapping
from .card import ModelCard, camera_section
from .container import read_bytes, seal, unseal, write_bytes
from .shapes import architecture_from_shapes
from .synthetic import synthetic_images
from .tables import check_neighbours

__all__ = ["Model", "network_tensors", "read_model", "weights_sha256", "write_model"]

#: largest difference of the self-test, relative to the largest output
CHECK_TOLERANCE = 1e-4
#: largest number of entries of a Cartesian model's interpolation, n_pixels x n_cells
MAX_INTERPOLATION = 2**28

_COMMON = {"lattice.pixel_xy": "float64", "check.input": "float32", "check.output": "float32"}
_INDEXED = {"lattice.neighbours": "int32"}
_CARTESIAN = {
    "mapping.pixel": "int32",
    "mapping.cell": "int32",
    "mapping.weight": "float32",
    "mapping.shape": "int32",
}


@dataclass(frozen=True, eq=False)
class Model:
    """A network and everything needed to use it.

    Attributes
    ----------
    card : ModelCard
    network : GammaPhysNet
        In evaluation mode.
    lattice : CameraLattice
        Its camera, pixels in the model's order.
    mapping : Mapping or None
        Interpolation of a Cartesian model.
    sha256 : str or None
        Of the file; None before it is written.
    """

    card: ModelCard
    network: GammaPhysNet = field(repr=False)
    lattice: CameraLattice
    mapping: Mapping | None = field(default=None, repr=False)
    sha256: str | None = None


def read_model(path, engine="auto"):
    """Read and verify a model file; nothing in it is executed.

    Parameters
    ----------
    path : path-like
    engine : str
        See `ctapipe_gammalearn.nn.ENGINES`; also runs the self-test.

    Returns
    -------
    Model

    Raises
    ------
    ModelFileError
        One line: path, what is wrong, what to do.
    DeviceError
        Unknown or unsuitable engine.
    """
    try:
        raw = read_bytes(Path(path))
        return _decode(raw, engine)
    except (ModelFileError, LatticeError) as error:
        text = str(error)
        remedy = "" if ";" in text else "; make the file again, or update ctapipe_gammalearn"
        raise ModelFileError(f"{path}: {text}{remedy}") from None


def write_model(path, model, overwrite=False):
    """Write a model file, completely or not at all.

    Parameters
    ----------
    path : path-like
    model : Model
        Hashes in its card are filled in.
    overwrite : bool
        Without it an existing file is never touched.

    Returns
    -------
    Model
        As `read_model` would give it.

    Raises
    ------
    ModelFileError
        If the path cannot be used, or the model would not be readable (NaN weights, …).
    OSError
        If writing fails.
    """
    path = Path(path)
    raw = _encode(model)
    try:
        written = _decode(raw, "auto")
    except (ModelFileError, LatticeError) as error:
        raise ModelFileError(f"{path}: not written: {error}") from None
    write_bytes(path, raw, overwrite)
    return written


def network_tensors(network):
    """Parameters and statistics of a network as float32 arrays by canonical name."""
    return {k: v.detach().cpu().float().numpy() for k, v in network.state_dict().items()}


def weights_sha256(tensors):
    """SHA-256 over sorted tensor names, each followed by its little-endian bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name], "<f4").tobytes())
    return digest.hexdigest()


def _encode(model):
    """File contents of a model."""
    lattice, mapping = model.lattice, model.mapping
    weights = network_tensors(model.network)
    tensors = {"lattice.pixel_xy": np.column_stack([lattice.pix_x, lattice.pix_y]), **weights}
    if mapping is None:
        tensors["lattice.neighbours"] = lattice.neighbours
    else:
        for name in ("pixel", "cell", "weight"):
            dtype = _CARTESIAN[f"mapping.{name}"]
            tensors[f"mapping.{name}"] = np.asarray(getattr(mapping, name), dtype)
        tensors["mapping.shape"] = np.array(mapping.image_shape, "int32")
    images = synthetic_images(lattice, 3, len(model.card.channels))
    tensors["check.input"] = images
    tensors["check.output"] = _outputs(model.network, images)
    return seal(model.card.with_hash(weights_sha256(weights)).to_json(), tensors)


def _decode(raw, engine):
    """Model from file contents."""
    text, tensors = unseal(raw)
    card = ModelCard.from_json(text)
    cartesian = card.architecture.variant == "cartesian"
    extra = {k: tensors.pop(k, None) for k in _COMMON | (_CARTESIAN if cartesian else _INDEXED)}
    _check_extra(extra)
    _check_weights(tensors, card)
    lattice = _lattice(extra, card)
    mapping = _mapping(extra, lattice.n_pixels) if cartesian else None
    shower = card.input_settings()
    _check_flat_size(tensors, card.architecture, lattice, shower)
    network = GammaPhysNet(card.architecture, lattice, mapping, engine, shower)
    _fill(network, tensors)
    if weights_sha256(tensors) != card.weights_sha256:
        raise ModelFileError("weights_sha256 of the model card differs from the weights")
    network.eval().requires_grad_(False)
    _self_test(network, extra, (len(card.channels), lattice.n_pixels))
    return Model(card, network, lattice, mapping, hashlib.sha256(raw).hexdigest())


def _check_extra(extra):
    """Tensors besides the weights: present, of their type, finite."""
    for name, dtype in (_COMMON | _CARTESIAN | _INDEXED).items():
        if name not in extra:
            continue
        if extra[name] is None:
            raise ModelFileError(f"tensor {name} is missing")
        if extra[name].dtype != dtype:
            raise ModelFileError(f"tensor {name} is {extra[name].dtype}, not {dtype}")
        if not np.isfinite(extra[name]).all():
            raise ModelFileError(f"tensor {name} has non-finite values")


def _check_weights(tensors, card):
    """Weights: float32, finite, positive variances, of the card's architecture."""
    for name, array in tensors.items():
        if array.dtype != np.float32:
            raise ModelFileError(f"tensor {name} is {array.dtype}, not float32")
        if not np.isfinite(array).all():
            raise ModelFileError(f"tensor {name} has non-finite values")
        if name.endswith("running_var") and not (array > 0).all():
            raise ModelFileError(f"tensor {name} is not positive")
    claimed = card.architecture
    # before a network is built: its size is then bounded by that of the file
    found = architecture_from_shapes(
        {name: array.shape for name, array in tensors.items()},
        claimed.activation,
        bn_eps=claimed.bn_eps,
        fc_width=claimed.fc_width,
        output_size=claimed.output_size,
    )
    if found != claimed:
        found, claimed = found.to_dict(), claimed.to_dict()
        odd = next(k for k in claimed if found[k] != claimed[k])
        raise ModelFileError(f"tensors have {odd} = {found[odd]}, the model card {claimed[odd]}")


def _lattice(extra, card):
    """Camera rebuilt from its positions, equal to the stored table and the card."""
    xy, camera = extra["lattice.pixel_xy"], card.camera
    if xy.shape != (camera["n_pixels"], 2):
        raise ModelFileError(f"{len(xy)} pixel positions, the card has {camera['n_pixels']}")
    lattice = CameraLattice.from_positions(*xy.T, camera["shape"], camera["pix_rotation_deg"])
    table = extra.get("lattice.neighbours")
    if table is not None:
        check_neighbours(table, lattice.shape)
        if not np.array_equal(table, lattice.neighbours):
            raise LatticeError("neighbour table is not that of the pixel positions and rotation")
    derived = camera_section(lattice, camera["name"])
    derived["pitch_m"] = camera["pitch_m"] if _close(derived, camera, "pitch_m") else None
    for key, value in derived.items():
        if camera[key] != value:
            raise ModelFileError(f"model card: camera.{key} is not that of the pixel positions")
    return lattice


def _close(a, b, key):
    """Whether two numbers agree but for rounding."""
    return abs(a[key] - b[key]) <= 1e-9 * abs(b[key])


def _mapping(extra, n_pixels):
    """Interpolation table of a Cartesian model."""
    shape = tuple(extra["mapping.shape"].tolist())
    if len(shape) != 2 or min(shape) < 1 or n_pixels * prod(shape) > MAX_INTERPOLATION:
        raise ModelFileError(f"mapping.shape {shape} is not the size of an image")
    columns = [extra[f"mapping.{name}"] for name in ("pixel", "cell", "weight")]
    if any(c.ndim != 1 for c in columns):
        raise ModelFileError("mapping tensors must have one axis")
    return Mapping(*columns, shape, n_pixels)


def _check_flat_size(tensors, architecture, lattice, shower):
    """Inputs of the large layers fit the camera (checked before they are allocated)."""
    size = architecture.output_size
    if shower is not None and shower.crop:
        lattice = patch_lattice(lattice, shower.crop)
    n_cells = prod(size) if size else lattice.levels(len(architecture.block_features))[-1].n_cells
    expected = architecture.block_features[-1] * n_cells + architecture.num_scalars
    large = ("trunk.0.weight",) if architecture.trunk else ("fusion.weight", "classifier.weight")
    for name in large:
        if name in tensors and tensors[name].shape[1:] != (expected,):
            raise ModelFileError(
                f"tensor {name} has shape {tensors[name].shape}, not {expected} inputs"
            )
    if size and prod(size) > MAX_INTERPOLATION // lattice.n_pixels:
        raise ModelFileError(f"output_size {size} is too large")


def _fill(network, tensors):
    """Load weights; names and shapes must be exactly the network's."""
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    if odd := sorted(set(own) ^ set(tensors)):
        kind = "missing" if odd[0] in own else "unexpected"
        raise ModelFileError(f"{len(odd)} missing or unexpected tensors; first: {odd[0]} ({kind})")
    for name, array in tensors.items():
        if array.shape != own[name]:
            raise ModelFileError(f"tensor {name} has shape {array.shape}, not {own[name]}")
    network.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()}, strict=True)


def _outputs(network, images):
    """All outputs of a network side by side, shape (n_images, n_outputs), float32."""
    training = network.training
    device = next(network.parameters()).device
    with torch.inference_mode():
        out = network.eval()(torch.tensor(images, device=device))
    network.train(training)
    return np.concatenate([out[task].cpu().numpy() for task in sorted(out)], axis=1)


def _self_test(network, extra, shape):
    """The network must give the stored outputs for the stored images."""
    images, expected = extra["check.input"], extra["check.output"]
    if images.shape[1:] != shape or not 0 < len(images) < 9:
        raise ModelFileError(f"check.input has shape {images.shape}")
    outputs = _outputs(network, images)
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    same = outputs.shape == expected.shape
    if not (same and np.abs(outputs - expected).max() <= CHECK_TOLERANCE * scale):
        raise ModelFileError("the network does not reproduce the outputs stored with it")
