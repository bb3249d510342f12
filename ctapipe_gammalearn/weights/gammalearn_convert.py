"""From a GammaLearn checkpoint to a model, strictly: every tensor used, every fact stated."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from math import isqrt
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from ..exceptions import CheckpointError, GammaLearnError, LatticeError
from ..lattice import TAPS, CameraLattice, neighbour_table
from ..nn import GammaPhysNet
from .card import ModelCard, camera_section, class_task
from .gammalearn_facts import Facts, with_preset
from .gammalearn_import import read_checkpoint
from .gammalearn_keys import sort_tensors
from .shapes import architecture_from_shapes
from .store import Model
from .tables import check_neighbours, walk

__all__ = ["convert_checkpoint", "lattice_from_tables"]

#: largest deviation of the displacement to one neighbour from the lattice's, in pitches
MAX_DEVIATION = 0.01


def convert_checkpoint(path, camera, facts=None, *, mapping=None, hints=None):
    """Model from a checkpoint of GammaLearn 0.7 to 0.16.

    Parameters
    ----------
    path : path-like
    camera : tuple
        (name, pix_x, pix_y), m, pixels in the order of the checkpoint.
    facts : Facts, optional
        What the checkpoint does not say.
    mapping : Mapping, optional
        Needed for Cartesian networks.
    hints : dict, optional
        From `read_hints`; shown where a fact is missing.

    Returns
    -------
    Model
        Each assumption is a line of ``card.provenance["assumed"]``.

    Raises
    ------
    CheckpointError
        One line that names the file, and the option where a fact is missing.
    """
    state = read_checkpoint(path)
    try:
        tensors = sort_tensors(state)
        _check_numbers(tensors.weights)
        facts, sources = with_preset(facts or Facts(), tensors.layout)
        architecture = _architecture(tensors.weights, mapping)
        _check_facts(architecture.outputs, architecture.num_channels, facts, sources, hints or {})
        architecture = replace(architecture, activation=facts.activation)
        if architecture.variant == "cartesian":
            lattice = CameraLattice.from_positions(*camera[1:])
            if lattice.n_pixels != mapping.n_pixels:
                raise LatticeError(
                    f"camera {camera[0]} has {lattice.n_pixels} pixels, the mapping table"
                    f" {mapping.n_pixels}; give the --camera it was made for"
                )
        else:
            lattice = lattice_from_tables(tensors.tables, architecture, *camera)
        network = _network(architecture, lattice, mapping, tensors.weights)
        card = ModelCard(
            architecture=architecture,
            tasks=_tasks(architecture.outputs, facts),
            camera=camera_section(lattice, camera[0]),
            channels=("image", "peak_time")[: architecture.num_channels],
            preprocessing={
                "nan_image": 0.0,
                "nan_time": float(facts.nan_time or 0.0),
                "cleaning": None,
                "dtype": "float32",
            },
            provenance=_provenance(path, architecture, facts, sources, tensors.layout),
        )
    except GammaLearnError as error:
        raise CheckpointError(f"{path}: {error}") from None
    return Model(card, network, lattice, mapping)


def _check_numbers(weights):
    """float32, finite, positive variances."""
    for name, array in weights.items():
        if array.dtype != np.float32:
            raise CheckpointError(f"tensor {name} is {array.dtype}, not float32")
        if not np.isfinite(array).all():
            raise CheckpointError(f"tensor {name} has non-finite values; take another epoch")
        if name.endswith("running_var") and not (array > 0).all():
            raise CheckpointError(f"tensor {name} is not positive; take another epoch")


def _architecture(weights, mapping):
    """Hyper-parameters from shapes; the activation is still open."""
    shapes = {name: array.shape for name, array in weights.items()}
    kernel = shapes["backbone.cv0.weight"][2:]
    if kernel == (7,):
        return architecture_from_shapes(shapes, "relu")
    if kernel != (3, 3):
        raise CheckpointError(f"first kernel of shape {kernel} (square pixels?) is not supported")
    if mapping is None:
        raise CheckpointError(
            "a Cartesian network does not contain its interpolation; give --mapping-table FILE.npz"
        )
    flat = shapes.get("fusion.weight", shapes.get("classifier.weight", (1, 0)))[1]
    n_features = architecture_from_shapes(shapes, "relu", output_size=(1, 1)).block_features[-1]
    side = isqrt(flat // n_features)
    if side < 1 or side * side * n_features != flat:
        raise CheckpointError("the image before the heads is not square; not supported")
    return architecture_from_shapes(shapes, "relu", output_size=(side, side))


def _check_facts(outputs, num_channels, facts, sources, hints):
    """All facts known that this network needs, none given that it cannot use."""
    needed = ["activation"]
    needed += ["direction"] if "direction" in outputs else []
    needed += ["focal_length_m"] if facts.direction == "camera-metre" else []
    needed += ["class_ids"] if "class" in outputs else []
    needed += ["nan_time"] if num_channels == 2 else []
    facts.require(needed, hints)
    for name, option in (("direction", "--direction"), ("class_ids", "--class-ids")):
        if sources.get(name) == "given" and name not in needed:
            raise CheckpointError(f"{option} given, but the checkpoint has no such head")
    if "class" in outputs and len(facts.class_ids) != outputs["class"]:
        raise CheckpointError(
            f"--class-ids names {len(facts.class_ids)} classes, the network has {outputs['class']}"
        )


def lattice_from_tables(tables, architecture, name, pix_x, pix_y):
    """Camera lattice of a checkpoint from its own buffers and pixel positions.

    Parameters
    ----------
    tables : dict of str to ndarray
        Neighbour table of each convolution, from `sort_tensors`.
    architecture : Architecture
    name : str
        Of the camera, for messages.
    pix_x, pix_y : ndarray, shape (n_pixels,), m

    Returns
    -------
    CameraLattice
        With exactly the tables of the checkpoint.

    Raises
    ------
    LatticeError
        If the tables contradict each other or the pixel positions.
    """
    first = tables.get("backbone.cv0")
    if first is None:
        raise LatticeError("the checkpoint has no lattice buffers of backbone.cv0")
    check_neighbours(first)
    matrix = walk(first)
    if not np.array_equal(neighbour_table(matrix), first):
        raise LatticeError("the lattice buffers of backbone.cv0 are not those of a camera")
    if len(pix_x) != first.shape[1]:
        raise LatticeError(
            f"camera {name} has {len(pix_x)} pixels, the checkpoint {first.shape[1]};"
            " give the --camera it was trained for"
        )
    rotation = _rotation(first, np.stack([pix_x, pix_y]), name)
    lattice = CameraLattice.from_positions(pix_x, pix_y, "hexagonal", rotation)
    levels = lattice.levels(len(architecture.block_features))
    expected = {"backbone.cv0": lattice.neighbours}
    for b in range(len(levels)):
        for n in range(1, architecture.num_layers + 1):
            block, down = f"backbone.block{b}_layer{n}", b > 0 and n == 1
            strided = levels[b - 1].neighbours(2) if down else levels[b].neighbours()
            expected[f"{block}.conv_block.cv1"] = strided
            expected[f"{block}.conv_block.cv2"] = levels[b].neighbours()
            if down:
                expected[f"{block}.shortcut.cv_shortcut"] = strided
    if odd := sorted(set(expected) ^ set(tables)):
        raise LatticeError(f"lattice buffers of {odd[0]} are missing or unexpected")
    for conv, table in expected.items():
        if not np.array_equal(table, tables[conv]):
            raise LatticeError(f"the lattice buffers of {conv} do not follow from the camera")
    return lattice


def _rotation(table, xy, name):
    """Rotation (degrees) that makes a hexagonal first-layer table one of pixel positions.

    Each tap must be one constant displacement of one pitch, turned by 60° steps.
    """
    here, there = xy[:, table[3]], xy[:, table]  # (2, P), (2, 7, P)
    step = np.where(table >= 0, there - here[:, None], np.nan)
    mean = np.nanmean(step, axis=2)  # (2, 7)
    steps = np.array(TAPS["hexagonal"])
    # column +1 at θ, row +1 at θ - 120°: direction of each tap relative to θ
    relative = steps[:, 1] + steps[:, 0] * np.exp(-2j * np.pi / 3)
    turned = (mean[0] + 1j * mean[1]) * relative.conj()
    ring = np.abs(relative) > 0.5
    lattice_step = turned[ring].mean()
    exact = relative * lattice_step
    deviation = np.nanmax(np.hypot(step[0] - exact.real[:, None], step[1] - exact.imag[:, None]))
    if not deviation <= MAX_DEVIATION * abs(lattice_step):
        raise LatticeError(
            f"the pixel order of camera {name} is not that of the checkpoint (neighbours are not"
            " next to each other); give the --camera it was trained for"
        )
    return round(float(np.rad2deg(np.angle(lattice_step))) % 360, 3)


def _network(architecture, lattice, mapping, weights):
    """Network with these weights; no tensor left over, no parameter left at random."""
    network = GammaPhysNet(architecture, lattice, mapping)
    own = network.state_dict()
    missing, unexpected = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    if missing or unexpected:
        parts = [
            f"{len(names)} tensors {kind} (first: {names[0]})"
            for kind, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise CheckpointError(f"{', '.join(parts)}; not a network of this kind")
    state = {}
    for name, array in weights.items():
        shape = tuple(own[name].shape)
        # GammaLearn's spatial attention is one-dimensional also on images
        if array.shape != shape and not (".spa_module." in name and array.shape == shape[:-1]):
            raise CheckpointError(f"tensor {name} has shape {array.shape}, not {shape}")
        state[name] = torch.tensor(array).reshape(shape)
    network.load_state_dict(state, strict=True)
    return network.eval().requires_grad_(False)


def _tasks(outputs, facts):
    """Task section of the card."""
    if facts.direction == "camera-metre":
        direction = {
            "frame": "camera",
            "unit": "m",
            "axes": ["x", "y"],
            "focal_length_m": float(facts.focal_length_m),
            "focal_length": "equivalent",
        }
    else:
        direction = {"frame": "altaz-offset", "unit": "rad", "axes": ["alt", "az"]}
    tasks = {
        "energy": {"transform": "log10", "unit": "TeV"},
        "direction": direction,
        "impact": {"frame": "ground", "unit": "km"},
    }
    if "class" in outputs:
        tasks["class"] = class_task(facts.class_ids, facts.class_output)
    return {task: tasks[task] for task in outputs}


def _sha256(path):
    """Checksum of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _provenance(path, architecture, facts, sources, layout):
    """Where the model comes from, one line for each thing that is not in the checkpoint."""
    assumed = [f"{name}={getattr(facts, name)} ({source})" for name, source in sources.items()]
    assumed += [
        "nan_image=0 (all GammaLearn versions)",
        "cleaning=none (not in the checkpoint)",
        "energy=log10(E/TeV), impact=ground offset in km (all GammaLearn versions)",
        "bn_eps=1e-05 (torch default)",
    ]
    if architecture.output_size:
        assumed.append(f"output_size={'x'.join(map(str, architecture.output_size))} (square)")
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source_file_sha256": _sha256(path),
        "converter": f"ctapipe_gammalearn {__version__}",
        "gammalearn": facts.gammalearn or f"key layout {layout}",
        "assumed": sorted(assumed),
    }
