"""Untrained models: random weights whose outputs have a sensible size for real showers."""

from datetime import UTC, datetime

import torch

from .. import __version__
from ..nn import Architecture, GammaPhysNet
from ..nn.layers import BatchNorm
from ..nn.likelihood import AXIS_SIZE, MODE_SIZE
from .card import ModelCard, camera_section, class_task
from .store import Model
from .synthetic import synthetic_images

__all__ = ["default_tasks", "random_model", "trained_model"]

PREPROCESSING = {"nan_image": 0.0, "nan_time": 0.0, "cleaning": None, "dtype": "float32"}
N_IMAGES = 32
#: mean and spread of each output over synthetic images: log10(E/TeV), deg, km, logits
OUTPUT_SCALE = {"energy": (-0.4, 0.3), "direction": (0, 0.5), "impact": (0, 0.1), "class": (0, 1)}
_LAST_LAYER = {
    "energy": "energy.en_out",
    "impact": "impact",
    "direction": "direction",
    "class": "classifier",
}


def default_tasks(tasks=tuple(OUTPUT_SCALE), class_ids=(0, 101)):
    """Task section of a card for new models.

    Parameters
    ----------
    tasks : sequence of str
        Among energy, direction, impact, class.
    class_ids : sequence of int
        CORSIKA particle numbers; 0 (gamma) must be among them.
    """
    known = {
        "energy": {"transform": "log10", "unit": "TeV"},
        "direction": {"frame": "telescope", "unit": "deg", "axes": ["fov_lon", "fov_lat"]},
        "impact": {"frame": "ground", "unit": "km"},
        "class": class_task(class_ids),
    }
    return {task: known[task] for task in tasks}


def random_model(lattice, camera_name, architecture=None, *, tasks=None, mapping=None, seed=0):
    """Randomly initialised model of a camera.

    Parameters
    ----------
    lattice : CameraLattice
    camera_name : str
    architecture : Architecture, optional
    tasks : dict, optional
        Task section of the card; default: `default_tasks` of the architecture's outputs.
    mapping : Mapping, optional
        For the Cartesian variant.
    seed : int
        Same seed, same model.

    Returns
    -------
    Model
        With status "untrained".
    """
    architecture = architecture or Architecture()
    tasks = default_tasks(architecture.outputs) if tasks is None else tasks
    generator = torch.Generator().manual_seed(seed)
    network = GammaPhysNet(architecture, lattice, mapping)
    network.reset_parameters(generator)
    calibrate(network, torch.tensor(_images(lattice, architecture, seed)))
    card = ModelCard(
        architecture=architecture,
        tasks=tasks,
        camera=camera_section(lattice, camera_name),
        preprocessing=PREPROCESSING,
        provenance=_provenance([f"random weights, seed {seed}"]),
        channels=("image", "peak_time")[: architecture.num_channels],
        status="untrained",
        licence="CC0-1.0",
    )
    return Model(card, network.eval().requires_grad_(False), lattice, mapping)


def trained_model(network, lattice, camera_name, *, class_ids=(0, 101), **sections):
    """Model of a network with its own input stage.

    Parameters
    ----------
    network : GammaPhysNet
        With ``shower``.
    lattice : CameraLattice
    camera_name : str
    class_ids : sequence of int
    **sections
        Sections of the card: training, calibration, validity.

    Returns
    -------
    Model
    """
    architecture, shower = network.architecture, network.shower.settings
    tasks = default_tasks(architecture.outputs, class_ids)
    if architecture.outputs.get("energy") == 2:
        tasks["energy"]["scale"] = "laplace"
    size = architecture.outputs.get("direction", 2)
    if size == AXIS_SIZE:
        tasks["direction"]["head"] = "axis_sign"
    elif size > 2:
        tasks["direction"]["modes"] = size // MODE_SIZE
    if "impact" in tasks:
        tasks["impact"] = {"frame": "tilted", "unit": "hm"}
    card = ModelCard(
        architecture=architecture,
        tasks=tasks,
        camera=camera_section(lattice, camera_name),
        preprocessing=PREPROCESSING,
        provenance=_provenance([]),
        shower=shower.to_dict(),
        licence="CC0-1.0",
        **sections,
    )
    return Model(card, network, lattice, network.mapping)


def _provenance(assumed):
    """Provenance section of a model made here."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "source_file_sha256": None,
        "converter": f"ctapipe_gammalearn {__version__}",
        "gammalearn": None,
        "assumed": assumed,
    }


def _images(lattice, architecture, seed):
    """Images to calibrate on."""
    return synthetic_images(lattice, N_IMAGES, architecture.num_channels, seed + 1)


def calibrate(network, images):
    """Take normalisation statistics from images, then scale the heads to `OUTPUT_SCALE`.

    Parameters
    ----------
    network : GammaPhysNet
        Changed in place.
    images : Tensor, shape (n_images, n_channels, n_pixels)
    """
    norms = [m for m in network.modules() if isinstance(m, BatchNorm)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        network.train()(images)
        for norm in norms:
            del norm.momentum  # back to the class's
            norm.running_var.clamp_(min=1e-6)
        for task, output in network.eval()(images).items():
            layer = network.get_submodule(_LAST_LAYER[task])
            mean, spread = OUTPUT_SCALE[task]
            factor = spread / output.std(dim=0).clamp(min=1e-6)
            layer.weight *= factor[:, None]
            layer.bias.copy_(mean + factor * (layer.bias - output.mean(dim=0)))
